"""`polystore rehearse`: every stage, there and back and all the way, on a sample."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from polystore.cli.crew.contents import everything
from polystore.cli.place import opened
from polystore.cli.rehearse.command import markdown
from polystore.driver import Write
from polystore.migration.ledger import CONTROL, SLOTS
from polystore.migration.preflight.shape import KINDS
from polystore.values import Key

from .conftest import Polystore, run

SMALL = ("--records", "60", "--operations", "60", "--processes", "2", "--rate", "5000", "--json")


def rows(config: Path) -> dict[tuple[str, str, Key], object]:
    """All rows of both files, the bookkeeping included."""
    with opened(config, "geo") as member:
        group = member.group
        places = [
            (s, c) for s in group.sides.values() for c in (*group.collections.values(), SLOTS)
        ]
        return {
            (side.name, collection.name, stored.key): attrs.astuple(stored, recurse=False)
            for side, collection in (*places, (group.ledger.side, CONTROL))
            for stored in everything(side.driver, collection)
        }


@pytest.mark.slow
@pytest.mark.rule("REH-2", "REH-3", "REH-4")
def test_every_stage_is_walked_there_and_back_and_all_the_way(filled: Path, tmp_path: Path) -> None:
    forgotten = ("--forget-observed", "--no-scan", "--why", "test")
    assert run("preflight", "--config", str(filled), *forgotten).code == 0
    before = rows(filled)
    report = tmp_path / "report.md"
    done = run("rehearse", "--config", str(filled), *SMALL, "--report", str(report))
    assert (done.code, done.data["problems"]) == (0, [])
    assert done.data["verdict"] == "ready"
    assert done.data["sample"] == {"cities": 60, "notes": 1}
    there, all_the_way = done.data["legs"]
    assert [row["stage"] for row in there["stages"]] == [
        "source-only", "prepare", "dual-write", "dual-read", "dial 10 %", "dial 50 %",
        "dial 100 %", "dial 0 %", "back: dual-write", "back: prepare", "back: source-only",
    ]  # fmt: skip
    assert [row["stage"] for row in all_the_way["stages"]][-3:] == [
        "target-only", "clean", "detached",
    ]  # fmt: skip
    every = [row for leg in done.data["legs"] for row in leg["stages"]]
    assert all(row["operations"] >= 60 and row["errors"] == 0 for row in every)
    assert not done.data["shape"]["observed"]
    assert {kind for row in every for kind in row["kinds"]} == set(KINDS)
    assert report.read_text() == "\n".join(markdown(done.data)) + "\n"
    assert rows(filled) == before


@pytest.mark.rule("REH-2")
def test_a_place_of_the_group_itself_is_refused(filled: Path) -> None:
    own = f"sqlite:///{filled.parent}/new.db"
    done = run("rehearse", "--config", str(filled), *SMALL, "--local-target", own)
    assert (done.code, done.data["error"]) == (2, "config")
    assert "database of the group itself" in done.data["message"]


@pytest.mark.rule("REH-2")
def test_under_a_migration_no_sample_is_taken(filled: Path, migrate: Polystore) -> None:
    assert migrate("start", "--why", "test").code == 0
    assert migrate("advance", "--why", "test", "--sole-access").code == 0
    done = run("rehearse", "--config", str(filled), *SMALL)
    assert (done.code, done.data["error"]) == (1, "illegal-edge")
    assert "rehearse first" in done.data["message"]


def test_a_source_without_records_says_so(created: Path) -> None:
    done = run("rehearse", "--config", str(created), *SMALL)
    assert (done.code, done.data["error"]) == (2, "invalid-request")


@pytest.mark.rule("REH-5")
def test_what_the_target_would_refuse_ends_it_before_any_stage(tmp_path: Path) -> None:
    config = tmp_path / "polystore.toml"
    config.write_text(
        f"""
[collections.notes]
key = ["id:int"]
[groups.g]
collections = ["notes"]
source = "sqlite:///{tmp_path}/old.db"
target = "dynamodb://eu-central-1"
"""
    )
    with opened(config, "g") as member:  # nothing of polystore is there, only the application's
        notes, driver = member.group.collection("notes"), member.group.sides["source"].driver
        driver.create(notes)
        driver.write(Write(notes, (1,), {"id": 1, "text": "x" * 500_000}))
    done = run("rehearse", "--config", str(config), *SMALL)
    assert done.code == 1
    assert done.data["verdict"] == "not ready"
    assert done.data["problems"][0].startswith("preflight: settle these")
    assert [f["kind"] for f in done.data["preflight"]] == ["refuse"]
    assert done.data["legs"] == []
