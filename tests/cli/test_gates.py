"""Gates that are shut, differences that are found: exit code 1, one JSON object, what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest

from polystore.cli.place import opened
from polystore.driver import Segment, Write
from polystore.migration.group import OpenGroup
from tests.cli.conftest import Polystore
from tests.cli.test_migrate import TO_DUAL_READ, WHY, forward, stage

pytestmark = [pytest.mark.usefixtures("filled"), pytest.mark.timeout(120)]


@contextmanager
def group_of(config: Path) -> Iterator[OpenGroup]:
    """The group, to go past the library."""
    with opened(config, None) as member:
        yield member.group


def refused(migrate: Polystore, step: tuple[str, ...], gate: str, says: str, *more: str) -> None:
    """A step that a gate holds back, for people and for programs; the stage stays."""
    before = stage(migrate)
    done = migrate(*step)
    assert (done.code, done.out) == (1, ""), done
    assert gate in done.err
    assert says in done.err
    told = migrate(*step, "--json")
    assert (told.code, told.data["error"], told.data["gates"]) == (1, "gate-closed", [gate, *more])
    assert says in told.data["message"]
    assert stage(migrate) == before


@pytest.mark.rule("CLI-1", "CLI-2", "CLI-3", "GATE-6")
def test_each_gate_that_is_shut_is_named_and_says_what_to_do(migrate: Polystore) -> None:
    forward(migrate, ("start", *WHY))
    refused(migrate, ("advance", *WHY), "sole-access", "--sole-access")
    forward(migrate, ("advance", *WHY, "--sole-access"), ("advance", *WHY))
    refused(migrate, ("advance", *WHY), "copied", "migrate backfill")
    forward(migrate, ("backfill",), ("advance", *WHY))
    refused(migrate, ("dial", "50", *WHY), "verified", "migrate verify", "way-back-proven")
    forward(migrate, ("verify",), ("dial", "100", *WHY), ("verify",))
    refused(migrate, ("advance", *WHY), "name-typed", "--confirm geo")
    refused(migrate, ("advance", *WHY, "--confirm", "gee"), "name-typed", "nothing leads back")


@pytest.mark.rule("CLI-1")
def test_a_dry_run_looks_at_the_gates_and_changes_nothing(migrate: Polystore) -> None:
    forward(migrate, ("start", *WHY))
    shut = migrate("advance", *WHY, "--dry-run", "--json")
    assert shut.code == 1
    assert {g["name"]: g["open"] for g in shut.data["gates"]}["sole-access"] is False
    open_ = migrate("advance", *WHY, "--dry-run", "--sole-access")
    assert (open_.code, open_.err) == (0, "")
    assert stage(migrate) == "armed"


@pytest.mark.rule("CLI-1", "GATE-9")
def test_every_step_has_a_dry_run(migrate: Polystore) -> None:
    def gates(*step: str) -> dict[str, bool]:
        before = migrate("status", "--json").data["setting"]
        told = migrate(*step, *WHY, "--dry-run", "--json")
        found = {g["name"]: g["open"] for g in told.data["gates"]}
        assert told.code == (0 if all(found.values()) else 1), told
        assert migrate("status", "--json").data["setting"] == before
        return found

    every = {"all-acked": True, "nobody-closed": True}
    assert set(gates("start")) == {
        *every,
        "members-know",
        "control-able",
        "homes-able",
        "target-able",
        "collections-there",
    }
    assert migrate("back", *WHY, "--dry-run").code == 1
    forward(migrate, *TO_DUAL_READ[:3])
    assert gates("advance") == {**every, "copied": False}
    assert migrate("advance", "clean", *WHY, "--dry-run").code == 1
    assert migrate("start", *WHY, "--dry-run").code == 1
    assert migrate("dial", "10", *WHY, "--dry-run").code == 1
    forward(migrate, ("backfill",), ("advance", *WHY))
    assert gates("dial", "10") == {
        **every,
        "target-able": True,
        "verified": False,
        "verified-lately": True,
        "way-back-proven": False,
        "backlog-young": True,
        "reads-agree": True,
        "no-foreign": True,
    }
    assert gates("dial", "0") == every
    assert gates("back") == every
    forward(migrate, ("verify",), ("dial", "50", *WHY))
    assert "dial" in migrate("back", *WHY, "--dry-run").err


@pytest.mark.rule("GATE-1")
@pytest.mark.parametrize("blank", [("--who", "ann", "--why", " "), ("--who", "", "--why", "empty")])
def test_an_override_without_a_reason_is_refused(
    migrate: Polystore, blank: tuple[str, ...]
) -> None:
    forward(migrate, *TO_DUAL_READ[:3])
    done = migrate("advance", *blank, "--override", "copied")
    assert done.code != 0
    assert "--why" in done.err
    assert stage(migrate) == "dual-write"
    assert not [e for e in migrate("history", "--json").data["history"] if "override" in e["what"]]


@pytest.mark.rule("CLI-1")
def test_an_override_passes_a_gate_and_is_recorded(migrate: Polystore) -> None:
    forward(migrate, *TO_DUAL_READ[:3])
    forward(migrate, ("advance", "--why", "it is empty", "--who", "ann", "--override", "copied"))
    assert stage(migrate) == "dual-read"
    told = [e for e in migrate("history", "--json").data["history"] if "override" in e["what"]]
    assert [(e["who"], e["why"]) for e in told] == [("ann", "it is empty")]


@pytest.mark.rule("CLI-1", "STG-1", "STG-2")
def test_a_way_that_is_none_is_refused(migrate: Polystore) -> None:
    for step in (("advance", *WHY), ("back", *WHY), ("dial", "10", *WHY), ("backfill",)):
        done = migrate(*step)
        assert (done.code, done.out) == (1, ""), step
        assert "source-only" in done.err or "no migration has been started" in done.err
    forward(migrate, *TO_DUAL_READ, ("dial", "50", *WHY))
    assert "dial" in migrate("back", *WHY).err
    assert "leads to target-only" in migrate("advance", "clean", *WHY).err


@pytest.mark.rule("CLI-1", "CLI-2")
def test_differences_are_exit_code_1_and_one_object(migrate: Polystore, config: Path) -> None:
    forward(migrate, *TO_DUAL_READ)
    with group_of(config) as group:
        cities = group.collection("cities")
        driver = group.sides["target"].driver
        (stored,) = driver.scan(cities, Segment(), None, 1).records
        assert stored.fields is not None
        fields = {**stored.fields, "state": "changed behind our back"}
        driver.write(
            Write(cities, stored.key, fields, write_id=stored.write_id, stamp=stored.stamp)
        )
    found = migrate("verify", "--no-repair", "--json")
    assert found.code == 1
    assert found.data["verified"]["cities"]["open"] == 1
    assert found.data["verified"]["cities"]["keys"] == [list(map(str, stored.key))]
    assert "--repair" in found.err
    repaired = migrate("verify", "--json")
    assert (repaired.code, repaired.data["verified"]["cities"]["repaired"]) == (0, 1)
    assert migrate("verify", "--no-repair", "--sample", "100").code == 0
    assert migrate("verify", "--sample", "0").code == 2


@pytest.mark.rule("HIS-1", "HIS-3")
def test_the_history_tells_when_and_how_it_ended_and_refuses_a_novel(migrate: Polystore) -> None:
    refused_ = migrate("start", "--why", "because " * 1000)
    assert refused_.code != 0
    assert "say it shorter" in refused_.err
    assert migrate("history", "--json").data["history"] == []
    forward(migrate, ("start", *WHY))
    (event,) = migrate("history", "--json").data["history"]
    assert datetime.fromisoformat(event["at"]).tzinfo is not None
    assert event["outcome"].startswith("done; epoch ")
    assert f"{event['at']} epoch 0: start → armed" in migrate("history").out


@pytest.mark.rule("DIA-6")
def test_the_dial_is_told_in_percent_or_in_buckets(migrate: Polystore) -> None:
    forward(migrate, *TO_DUAL_READ, ("dial", "--buckets", "1", *WHY))
    assert migrate("status", "--json").data["setting"]["moved"] == 1
    forward(migrate, ("dial", "--buckets", "5", "--batch", "2", *WHY))
    assert migrate("status", "--json").data["setting"]["moved"] == 5
    for wrong in (("50", "--buckets", "1"), (), ("--buckets", "257"), ("50", "--batch", "0")):
        assert migrate("dial", *wrong, *WHY).code == 2
    assert migrate("dial", "--buckets", "0", *WHY, "--dry-run").code == 0
    assert migrate("status", "--json").data["setting"]["moved"] == 5
