"""``polystore conformance``: the conformance suite, held against a driver."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from itertools import chain, combinations_with_replacement
from pathlib import Path
from random import randrange
from tempfile import TemporaryDirectory
from typing import Any

import click

from polystore.cli.output import Output, json_option, reported
from polystore.errors import ConfigError
from polystore.plugin.registry import default_registry

PROFILES = ("smoke", "default", "remote", "nightly")
"""How much is tried."""

NEEDED = ("pytest", "hypothesis")
"""What the suite needs and an application does not."""


@click.command()
@click.argument("drivers", nargs=-1, metavar="[DRIVER…]")
@click.option(
    "--pair",
    "pairs",
    nargs=2,
    multiple=True,
    metavar="A B",
    help="Migrate from A to B, and from B to A, through every stage and back.",
)
@click.option(
    "--all-pairs",
    is_flag=True,
    help="Every ordered pair of the installed drivers that bring a harness; each with itself too.",
)
@click.option(
    "--one-way", is_flag=True, help="Only from A to B, where the other way is tried elsewhere."
)
@click.option(
    "--profile",
    type=click.Choice(PROFILES),
    default="default",
    show_default=True,
    help="How much is tried: smoke takes seconds, default minutes, nightly hours; remote makes "
    "so many calls.",
)
@click.option(
    "--allow-unavailable",
    is_flag=True,
    help="Leave out a driver whose database cannot be reached, instead of failing.",
)
@click.option("-k", "select", metavar="EXPRESSION", help="Only tests with such names.")
@click.option("--rule", metavar="ID", help="Only tests of this rule of spec/.")
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Write what was found to PATH.json, and as a page to PATH.md.",
)
@click.option(
    "--seed", type=int, metavar="N", help="Of what is drawn: that of a report draws the same again."
)
@click.option("-x", "first", is_flag=True, help="Stop at the first failure.")
@json_option
@reported
def conformance(
    drivers: tuple[str, ...],
    *,
    pairs: tuple[tuple[str, str], ...],
    all_pairs: bool,
    one_way: bool,
    profile: str,
    allow_unavailable: bool,
    select: str | None,
    rule: str | None,
    report: Path | None,
    seed: int | None,
    first: bool,
    as_json: bool,
) -> None:
    """Try what the contract of drivers promises on each DRIVER: its name, options after a "?".

    With --pair two drivers are tried together: a migration between them. The drivers' harnesses
    say where. It is pytest that runs, as with
    pytest --pyargs polystore.testing.suite --polystore=DRIVER --polystore-pair=A:B.

    Exit code 1: a promise is broken, or a database cannot be reached.
    """
    require_suite()
    if all_pairs:
        pairs += tuple(combinations_with_replacement(with_a_harness(), 2))
    if not drivers and not pairs:
        raise click.UsageError("name a driver, or two with --pair")
    for name in (*drivers, *chain.from_iterable(pairs)):
        default_registry().spec(name.partition("?")[0])  # raises where there is none
    suite = Path(__file__).parents[1] / "testing" / "suite"
    arguments = [
        "-c", str(suite / "conformance.ini"), f"--rootdir={suite}",
        "-p", "polystore.testing.plugin", "-p", "no:cacheprovider",
        f"--polystore={','.join(drivers)}",
        *(f"--polystore-pair={pair}" for pair in _ordered(pairs, one_way=one_way)),
        f"--polystore-profile={profile}",
        f"--hypothesis-seed={randrange(2**32) if seed is None else seed}",
    ]  # fmt: skip
    arguments += ["-q"] * bool(pairs)  # their cases come in the order of places, not of files
    arguments += ["--allow-unavailable"] * allow_unavailable + ["-x"] * first
    arguments += [] if select is None else ["-k", select]
    arguments += [] if report is None else [f"--polystore-traces={report.absolute().parent}"]
    arguments += [] if rule is None else [f"--polystore-rule={rule}"]
    with TemporaryDirectory(prefix="polystore-conformance-") as folder:
        path = (report or Path(folder) / "report").absolute()
        code = _run([*arguments, f"--polystore-report={path}", str(suite)], quiet=as_json)
        found = path.with_suffix(".json")
        if found.exists():
            data = json.loads(found.read_text())
            Output(as_json=as_json).result(data, *grid(data["reports"]))
    sys.exit(code)


def require_suite() -> None:
    """Raises ConfigError where a package that the suite needs is not installed."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"the suite needs {' and '.join(missing)}: pip install 'polystore-core[conformance]'"
        )


def with_a_harness() -> list[str]:
    """The drivers that can be tried."""
    return [spec.name for spec in default_registry().specs() if spec.harness is not None]


def _ordered(pairs: tuple[tuple[str, str], ...], *, one_way: bool) -> list[str]:
    """Pairs as pytest takes them; both ways of each, once."""
    ways = [way for a, b in pairs for way in ((a, b), *(() if one_way else ((b, a),)))]
    return [f"{source}:{target}" for source, target in dict.fromkeys(ways)]


def grid(reports: Sequence[Mapping[str, Any]]) -> list[str]:
    """What was found of pairs, as a Markdown table: a row for each source; empty without pairs."""
    found = {(r["source"]["driver"], r["target"]["driver"]): r for r in reports if "source" in r}
    if not found:
        return []
    targets = sorted({target for _, target in found})
    lines = [f"| from ↓ to → | {' | '.join(targets)} |", "|---" * (len(targets) + 1) + "|"]
    for source in sorted({source for source, _ in found}):
        cells = (_cell(found.get((source, target))) for target in targets)
        lines.append(f"| {source} | {' | '.join(cells)} |")
    return lines


def _cell(report: Mapping[str, Any] | None) -> str:
    if report is None:
        return ""
    tests = report["tests"]
    failed = f", **{tests['failed']} failed**" if tests["failed"] else ""
    return f"{tests['passed']} passed{failed}, {report['calls']} calls, {report['seconds']} s"


def _run(arguments: list[str], *, quiet: bool) -> int:
    """Run pytest, on standard error where the output is for programs; 0 or 1.

    In a process of its own: what this one has imported would not be rewritten for pytest.
    """
    command = [sys.executable, "-m", "pytest", *arguments]
    env = {**os.environ, "PYTEST_ADDOPTS": ""}
    done = subprocess.run(command, check=False, env=env, stdout=sys.stderr if quiet else None)
    return min(done.returncode, 1)
