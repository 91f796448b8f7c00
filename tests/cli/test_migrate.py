"""A whole migration by commands alone, forwards and back."""

from __future__ import annotations

from pathlib import Path

import pytest

import polystore
from tests.cli.conftest import Polystore, everything

pytestmark = [pytest.mark.usefixtures("filled"), pytest.mark.timeout(120)]
WHY = ("--why", "a test")


def stage(migrate: Polystore) -> str:
    """The stage that ``status`` shows."""
    return str(migrate("status", "--json").data["setting"]["stage"])


def forward(migrate: Polystore, *steps: tuple[str, ...]) -> None:
    """Commands that must all succeed."""
    for step in steps:
        done = migrate(*step)
        assert (done.code, done.err) == (0, ""), (step, done)


TO_DUAL_READ = (
    ("start", *WHY),
    ("advance", *WHY, "--sole-access"),
    ("advance", *WHY),
    ("backfill",),
    ("advance", *WHY),
    ("verify",),
)


@pytest.mark.rule("CLI-1", "STG-1", "STG-2")
def test_the_whole_way_by_commands(migrate: Polystore, config: Path) -> None:
    before = everything(config)
    forward(migrate, *TO_DUAL_READ)
    assert stage(migrate) == "dual-read"
    for percent in ("10", "50", "0", "100"):
        forward(migrate, ("dial", percent, *WHY))
        assert everything(config) == before
    forward(migrate, ("verify",), ("advance", *WHY, "--confirm", "geo"))
    assert stage(migrate) == "target-only"
    forward(migrate, ("advance", *WHY), ("advance", *WHY))
    assert stage(migrate) == "detached"
    assert everything(config) == before
    told = migrate("history", "--json").data["history"]
    assert [(e["what"], e["why"]) for e in told][-1] == ("advance → detached", "a test")


@pytest.mark.rule("STG-6", "CLI-1")
def test_there_and_back_and_there_again(migrate: Polystore, config: Path) -> None:
    before = everything(config)
    forward(migrate, *TO_DUAL_READ, ("dial", "50", *WHY), ("dial", "0", *WHY))
    with polystore.open(config) as store:
        store["cities"].put({"country": "c9", "city": 99, "state": "new"})
    forward(migrate, *[("back", *WHY)] * 3)
    assert stage(migrate) == "source-only"
    assert everything(config) == before | {
        ("c9", 99): {"country": "c9", "city": 99, "state": "new"}
    }
    forward(migrate, ("start", *WHY))
    assert migrate("status", "--json").data["setting"]["run"] == 3
