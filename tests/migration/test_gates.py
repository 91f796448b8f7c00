"""Gates: what a stage change needs, and who may pass all the same."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest

from polystore.capabilities import Capabilities, Scope, Transactions
from polystore.driver import NativeExpiry, Write
from polystore.errors import GateClosed, Throttled
from polystore.migration.coordinator import Coordinator
from polystore.migration.ledger import SLOTS
from polystore.migration.request import Request
from polystore.migration.stages import SOURCE, TARGET, Stage
from polystore.schema import Collection
from polystore.testing.simulator import ITEMS, REQUEST, Operator
from polystore.testing.simulator.faults import lost
from polystore.testing.simulator.imitation import Imitation
from tests.migration.scene import Scene, mirrors

KEY = ("ann", 1)


def refused(scene: Scene, call: Callable[[], object], *gates: str) -> str:
    """The message of a change that is refused by exactly these gates."""
    before = scene.fleet.setting
    with pytest.raises(GateClosed) as caught:
        call()
    assert caught.value.gates == gates
    for gate in gates:
        assert gate in str(caught.value)
    after = attrs.evolve(scene.fleet.setting, barrier=before.barrier)
    assert after == before
    return str(caught.value)


@pytest.mark.rule("GATE-1")
def test_a_gate_says_what_to_do_and_an_override_is_recorded() -> None:
    with Scene(Stage.DUAL_WRITE) as scene:
        coordinator, member = scene.operator.coordinator, scene.operator.member
        refused(scene, scene.operator.advance, "copied")
        forced = attrs.evolve(REQUEST, why="a test", override=frozenset({"copied"}))
        scene.fleet.do(member, coordinator.advance(forced))
        assert scene.fleet.setting.stage is Stage.DUAL_READ
        history = scene.fleet.do(member, member.group.ledger.history())
        (line,) = [h for h in history if str(h["what"]).startswith("override copied")]
        assert (line["who"], line["why"]) == ("operator", "a test")


@pytest.mark.rule("GATE-2", "DRV-9")
def test_prepare_needs_capabilities_that_meet_and_the_word_of_the_operator() -> None:
    with Scene(Stage.ARMED) as scene:
        coordinator, member = scene.operator.coordinator, scene.operator.member
        silent = Request("operator", "no word")
        refused(scene, lambda: scene.fleet.do(member, coordinator.advance(silent)), "sole-access")
        scene.fleet.drivers[TARGET].drop(SLOTS)
        text = refused(scene, scene.operator.advance, "collections-there")
        assert "create" in text
        scene.fleet.drivers[TARGET].create(SLOTS)
        scene.fleet.drivers[TARGET].drop(ITEMS)
        scene.fleet.drivers[TARGET].create(Collection(ITEMS.name, ["other:int"]))
        assert "the key is (other:int) there" in (
            refused(scene, scene.operator.advance, "collections-there")
        )
        scene.fleet.drivers[TARGET].drop(ITEMS)
        scene.fleet.drivers[TARGET].create(ITEMS)
        scene.operator.advance()


class Weak(Imitation):
    """A database without transactions."""

    def capabilities(self, collection: Collection) -> Capabilities:
        promised = super().capabilities(collection)
        return attrs.evolve(promised, transactions=Transactions(scope=Scope.NONE))


@pytest.mark.rule("GATE-2")
def test_a_side_that_can_be_no_home_is_refused_at_the_start() -> None:
    with Scene() as scene:
        scene.fleet.drivers[SOURCE].__class__ = Weak
        operator = Operator(scene.fleet)  # who opens the group now: promises are asked once
        refused(scene, operator.start, "homes-able")


@pytest.mark.rule("GATE-7")
@pytest.mark.parametrize("side", [SOURCE, TARGET])
def test_prepare_needs_databases_that_remove_nothing_by_themselves(
    side: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Scene(Stage.ARMED) as scene:
        coordinator, member = scene.operator.coordinator, scene.operator.member
        driver = scene.fleet.drivers[side]
        told = NativeExpiry(True, "it does; turn it off so")
        monkeypatch.setattr(driver, "native_expiry", lambda _: told)
        text = refused(scene, scene.operator.advance, "native-expiry-off")
        assert f"{side}: it does; turn it off so" in text
        told = NativeExpiry(None, "nobody knows; ask there")
        silent = Request("operator", "no word")
        text = refused(
            scene,
            lambda: scene.fleet.do(member, coordinator.advance(silent)),
            "sole-access",
            "native-expiry-off",
        )
        assert "nobody knows; ask there" in text
        busy = [Throttled("ten a second")] * 3

        def asked(_: Collection) -> NativeExpiry:
            if busy:
                raise busy.pop()
            return told

        monkeypatch.setattr(driver, "native_expiry", asked)
        assert scene.operator.advance().stage is Stage.PREPARE  # with the operator's word
        assert not busy


@pytest.mark.rule("GATE-3")
def test_dual_write_needs_a_target_that_is_empty_or_of_this_run() -> None:
    with Scene(Stage.PREPARE) as scene:
        scene.fleet.plant(TARGET, Write(ITEMS, KEY, {"owner": "ann", "item": 1, "v": 1}))
        refused(scene, scene.operator.advance, "target-empty")
        scene.fleet.empty(TARGET, "items")
        scene.operator.advance()
        scene.put(scene.members[0], KEY)
        scene.operator.back()
        scene.operator.advance()
        scene.rest()


@pytest.mark.rule("GATE-4", "BF-5")
def test_dual_read_needs_a_finished_copy_of_this_dual_write() -> None:
    with Scene(Stage.DUAL_WRITE) as scene:
        refused(scene, scene.operator.advance, "copied")
        scene.operator.copy()
        scene.operator.back()
        scene.operator.advance()
        refused(scene, scene.operator.advance, "copied")  # what was copied before counts no more
        scene.operator.copy()
        scene.operator.advance()
        scene.rest()


@pytest.mark.rule("GATE-5")
def test_the_first_dial_step_needs_a_verification_with_nothing_open() -> None:
    with Scene(Stage.DUAL_READ) as scene:
        refused(scene, lambda: scene.operator.dial(10), "verified", "way-back-proven")
        scene.put(scene.members[0], KEY)
        scene.fleet.plant(TARGET, Write(ITEMS, KEY, None))
        assert scene.operator.verify(repair=False)["items"].open == 1
        refused(scene, lambda: scene.operator.dial(10), "verified")
        scene.operator.verify()
        scene.operator.dial(10)
        scene.operator.dial(0)
        scene.operator.back()
        scene.operator.advance()
        refused(
            scene, lambda: scene.operator.dial(10), "verified", "way-back-proven"
        )  # of this dual-read


@pytest.mark.rule("GATE-5")
def test_nobody_may_be_closed_and_unrecovered() -> None:
    with Scene(Stage.DUAL_READ) as scene:
        scene.operator.verify()
        fleet, victim = scene.fleet, scene.members[0]
        scene.rule(lambda s: lost(s) if mirrors(s) or s.call.side == TARGET else None)
        scene.put(victim, KEY)
        fleet.crash(victim)
        fleet.pass_time(8)  # closed by the others, who cannot reach the mirror
        coordinator = scene.operator.coordinator
        gates = fleet.do(scene.operator.member, coordinator.gates(REQUEST, dial=10))
        assert {g.name: g.open for g in gates}["nobody-closed"] is False
        fleet.network.rules.clear()
        fleet.pass_time(8)
        gates = fleet.do(scene.operator.member, coordinator.gates(REQUEST, dial=10))
        assert all(g.open for g in gates)
        scene.rest()


@pytest.mark.rule("GATE-6")
def test_target_only_needs_dial_100_a_reverse_verification_and_the_name() -> None:
    with Scene(Stage.DUAL_READ) as scene:
        fleet, member, coordinator = scene.fleet, scene.operator.member, scene.operator.coordinator
        scene.operator.verify()
        text = refused(scene, scene.operator.advance, "dial-at-100")
        assert "migrate dial 100" in text
        scene.operator.dial(100)
        refused(scene, scene.operator.advance, "verified-since-turned")
        scene.put(scene.members[0], KEY)
        scene.fleet.plant(SOURCE, Write(ITEMS, KEY, None))
        scene.operator.verify(repair=False)
        refused(scene, scene.operator.advance, "verified-since-turned")
        scene.operator.verify()
        for typed in ("", "Shop", "shop "):
            unsure = attrs.evolve(REQUEST, confirm=typed)
            text = refused(
                scene,
                lambda unsure=unsure: fleet.do(member, coordinator.advance(unsure)),  # type: ignore[misc]
                "name-typed",
            )
            assert "nothing leads back" in text
        scene.operator.advance()
        assert scene.fleet.setting.stage is Stage.TARGET_ONLY
        scene.rest()


def test_gates_can_be_looked_at_without_changing_anything() -> None:
    with Scene(Stage.DUAL_WRITE) as scene:
        before = scene.fleet.setting
        coordinator = Coordinator(scene.operator.member.group)
        gates = scene.fleet.do(scene.operator.member, coordinator.gates(REQUEST))
        assert {g.name: g.open for g in gates} == {
            "all-acked": True,
            "nobody-closed": True,
            "copied": False,
        }
        assert scene.fleet.setting == before
