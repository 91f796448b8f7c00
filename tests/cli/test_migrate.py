"""A whole migration by commands alone, forwards and back."""

from __future__ import annotations

from pathlib import Path
from time import sleep

import pytest

import polystore
from tests.cli.conftest import Polystore, everything, run

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


@pytest.mark.rule("STG-6", "STG-11", "CLI-1")
def test_there_and_back_and_there_again(migrate: Polystore, config: Path) -> None:
    before = everything(config)
    forward(migrate, *TO_DUAL_READ, ("dial", "50", *WHY), ("dial", "0", *WHY))
    with polystore.open(config) as store:
        store["cities"].put({"country": "c9", "city": 99, "state": "new"})
        store["cities"].delete("c1", 1)
    assert migrate("clean", *WHY).code == 1
    forward(migrate, *[("back", *WHY)] * 3)
    assert stage(migrate) == "source-only"
    after = before | {("c9", 99): {"country": "c9", "city": 99, "state": "new"}}
    del after["c1", 1]
    assert everything(config) == after
    refused = migrate("clean", "--copies", *WHY)
    assert refused.code == 1
    assert "--confirm geo" in refused.err
    found = migrate("clean", "--copies", "--confirm", "geo", *WHY, "--json").data
    assert found["tombstones"] == 1
    assert found["copies"] == len(before) + 2  # a note, the city that is new, a tombstone
    forward(migrate, ("start", *WHY))
    assert migrate("status", "--json").data["setting"]["run"] == 3
    assert run("preflight", "--config", str(config)).code == 0
    forward(migrate, *TO_DUAL_READ[1:])
    assert everything(config) == after


@pytest.mark.rule("STA-1")
def test_the_status_shows_segments_where_asked_and_what_became_of_writes(
    migrate: Polystore, config: Path
) -> None:
    forward(migrate, *TO_DUAL_READ[:-1])
    with polystore.open(config) as store:
        store["cities"].put({"country": "c1", "city": 900, "state": ""})
        data = migrate("status", "--json", "--segments").data
        for _ in range(50):
            if data["writes"]["acknowledged"]:
                break
            sleep(0.1)  # its next heartbeat tells
            data = migrate("status", "--json", "--segments").data
        text = migrate("status", "--segments").out
    assert "segment 1 of 4: at its end" in text
    assert "acknowledged 1 = 1 mirrored + 0 caught up + 0 open" in text
    assert "gate of the dial: shut  verified: never" in text
    assert {s["collection"] for s in data["segments"]} == {"cities", "notes"}
    assert "segment 1" not in migrate("status").out
