"""``python -m benchmarks.pairs_page REPORT.json … > docs/pairs.md``: what was found of pairs.

The reports are those of ``tox run -e figures -- conformance --only "ordered pairs"``, which leaves
them in ``.reports``, or of ``polystore conformance --pair … --report PATH``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from polystore.cli.conformance import grid

HEAD = """\
# Pairs

What `polystore conformance --pair` found of every ordered pair of the drivers of this repository,
on {day} (`benchmarks/pairs_page.py` makes this page of its reports). Each runs the real procedures
of a migration over both real engines, every stage forwards and backwards: at `default` all cases,
at `remote`, for engines that take milliseconds for a call, a share of those that differ little.
What is empty was not run that day.
"""


def page(reports: Sequence[Mapping[str, Any]], day: str) -> str:
    """The page."""
    engines = {
        side["driver"]: f"{side['engine']}{'' if side['real'] else ', an imitation'}"
        for report in reports
        for side in (report["source"], report["target"])
    }
    profiles = {(r["source"]["driver"], r["target"]["driver"]): r["profile"] for r in reports}
    remote = sorted(f"{a} → {b}" for (a, b), profile in profiles.items() if profile == "remote")
    lines = [HEAD.format(day=day), *grid(reports), ""]
    lines += [f"- {name}: {engine}" for name, engine in sorted(engines.items())]
    lines += [f"- at `remote`: {', '.join(remote)}"] * bool(remote)
    return "\n".join([*lines, ""])


def main() -> None:
    """Print the page."""
    found = [json.loads(Path(name).read_text())["reports"] for name in sys.argv[1:]]
    reports = [report for some in found for report in some]
    sys.stdout.write(page(reports, datetime.now(UTC).date().isoformat()))


if __name__ == "__main__":
    main()
