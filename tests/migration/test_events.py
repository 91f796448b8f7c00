"""Plugins are told of the rare events of a migration, in the process where they happen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import polystore
from polystore import Collection, Config, Group
from polystore.driver import Write
from polystore.migration.backfill import Copier
from polystore.migration.coordinator import Coordinator
from polystore.migration.recovery import close
from polystore.migration.request import Request
from polystore.migration.verify import Verifier
from polystore.plugin import Registry, hookimpl


class Hears:
    """A plugin that remembers events."""

    def __init__(self) -> None:
        self.heard: list[Mapping[str, Any]] = []

    @hookimpl
    def polystore_event(self, event: Mapping[str, Any]) -> None:
        self.heard.append(event)


class Fails:
    """A plugin that fails at each."""

    @hookimpl
    def polystore_event(self) -> None:
        raise RuntimeError("broken")


@pytest.mark.rule("PLG-3")
def test_plugins_are_told_once_and_none_that_fails_changes_anything(tmp_path: Path) -> None:
    registry, hears = Registry(), Hears()
    registry.register(Fails(), "fails")
    registry.register(hears, "hears")
    notes = Collection("notes", ["folder", "id"])
    place = f"memory://events-{tmp_path.name}"
    group = Group(
        name="g", collections=("notes",), source=f"{place}-a", target=f"{place}-b", colocate=1,
        call_timeout=0.5, quarantine=1.0,
    )  # fmt: skip
    config = Config(collections={"notes": notes}, groups={"g": group})
    with polystore.open(config, registry=registry) as store:
        store.create()
        store["notes"].put({"folder": "f", "id": "a"})
        member, run = store._databases.member("g"), store._databases.runner.run
        coordinator = Coordinator(member.group)
        request = Request("test", "events", sole=True, override=frozenset({"preflight"}))
        run(coordinator.start(request))
        for _ in ("prepare", "dual-write"):
            run(coordinator.advance(request))
        run(Copier(member.group).run())
        run(coordinator.advance(request))
        target = member.group.sides["target"].driver
        target.write(Write(notes, ("f", "a"), {"folder": "f", "id": "a", "secret": "never told"}))
        found = run(Verifier(member.session, coordinator.fleet).run())
        assert sum(each.open + each.repaired for each in found.values()) == 1
        run(coordinator.dial(10, request))
        (mine,) = run(coordinator.fleet.members())
        run(close(member.group, mine))
    kinds = [event["kind"] for event in hears.heard]
    assert kinds == [*["stage-changed"] * 4, "discrepancy", "dial-changed", "member-closed"]
    stages = [event["stage"] for event in hears.heard[:4]]
    assert stages == ["armed", "prepare", "dual-write", "dual-read"]
    assert hears.heard[4]["key"] == ("f", "a")
    assert all(event["group"] == "g" for event in hears.heard)
    assert "never told" not in str(hears.heard)
