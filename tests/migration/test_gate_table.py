"""Every gate, by a table: shut for real, refused by name, seen the same by the dry run."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest

from polystore.capabilities import Capabilities, Freshness, Scope, Transactions
from polystore.config import Agreed
from polystore.driver import NativeExpiry, Write
from polystore.errors import DriverError, GateClosed, InvalidRequest, MigrationError
from polystore.migration.checks import Gate
from polystore.migration.coordinator import Coordinator
from polystore.migration.foreign import note
from polystore.migration.gates import names
from polystore.migration.ledger import CONTROL, SLOTS
from polystore.migration.request import Request
from polystore.migration.stages import SOURCE, TARGET, Setting, Stage
from polystore.schema import Collection
from polystore.testing.simulator import ITEMS, REQUEST, Operator, Sent
from polystore.testing.simulator.faults import lost, refused
from polystore.testing.simulator.imitation import Imitation
from polystore.values import Fields
from tests.migration.scene import Scene, commits, mirrors, slot_write

KEY = ("ann", 1)
WORDS = attrs.evolve(REQUEST, why="the database team said so")


class NoCommits(Imitation):
    """A database without transactions."""

    def capabilities(self, collection: Collection) -> Capabilities:
        promised = super().capabilities(collection)
        return attrs.evolve(promised, transactions=Transactions(scope=Scope.NONE))


class StaleControl(Imitation):
    """A database whose control collection is read late."""

    def capabilities(self, collection: Collection) -> Capabilities:
        promised = super().capabilities(collection)
        if collection is not CONTROL:
            return promised
        reads = attrs.evolve(promised.reads, point=Freshness.EVENTUAL)
        return attrs.evolve(promised, reads=reads)


class Expiring(Imitation):
    """A database that removes what has expired."""

    def native_expiry(self, collection: Collection) -> NativeExpiry:
        return NativeExpiry(True, f"{collection.name}: it does")


def nothing(_: Scene) -> None:
    """The gate is shut from the beginning."""


def source_without_commits(scene: Scene) -> None:
    scene.fleet.drivers[SOURCE].__class__ = NoCommits


def target_without_commits(scene: Scene) -> None:
    scene.fleet.drivers[TARGET].__class__ = NoCommits


def stale_control(scene: Scene) -> None:
    scene.fleet.drivers[SOURCE].__class__ = StaleControl


def without_slots(scene: Scene) -> None:
    scene.fleet.drivers[TARGET].drop(SLOTS)


def expires_natively(scene: Scene) -> None:
    scene.fleet.drivers[TARGET].__class__ = Expiring


def full_target(scene: Scene) -> None:
    scene.fleet.plant(TARGET, Write(ITEMS, KEY, {"owner": "ann", "item": 1, "v": 1}))


def without_preflight(scene: Scene) -> None:
    for stored in scene.fleet.do(
        scene.operator.member, scene.operator.member.group.ledger.all("preflight/")
    ):
        scene.fleet.do(scene.operator.member, scene.operator.member.group.ledger.delete(stored))


def closed_for_long(scene: Scene) -> None:
    """A member that is shut out, and a mirror that its intents cannot be brought to."""
    scene.operator.verify()
    scene.rule(lambda s: lost(s) if mirrors(s) or s.call.side == TARGET else None)
    scene.put(scene.members[0], KEY)
    scene.fleet.crash(scene.members[0])
    scene.fleet.pass_time(8)


def backlog(scene: Scene) -> None:
    """A member that has not acknowledged the newest epoch: the mirror lacks what it wrote."""
    scene.operator.copy()
    scene.rule(lambda s: lost(s) if mirrors(s) else None)
    scene.put(scene.members[0], KEY)
    coordinator = Coordinator(scene.operator.member.group, patience=1.0)
    with pytest.raises(MigrationError, match="not acknowledged"):
        scene.fleet.do(scene.operator.member, coordinator.advance(WORDS))
    scene.fleet.pass_time(1.0)
    assert scene.fleet.setting.stage is Stage.DUAL_WRITE  # given up; only it has not heard of that


def old_member(scene: Scene) -> None:
    """A member of a release that speaks another version."""

    def spoke(fields: Fields | None) -> Fields | None:
        assert fields is not None
        return {**fields, "speaks": 0}

    member = scene.operator.member
    item = scene.incarnation(0).item
    scene.fleet.do(member, member.group.ledger.change(item, spoke))


def lag(scene: Scene) -> None:
    """A mirror that has not answered for longer than the limit."""
    scene.operator.verify()
    scene.rule(lambda s: lost(s) if mirrors(s) else None)
    scene.put(scene.members[0], KEY)
    scene.fleet.pass_time(10)


def source_refuses(scene: Scene) -> None:
    """A source that takes no mirror write of this process: as where it may only read there."""
    scene.put(scene.members[0], KEY)
    operator = scene.operator
    scene.rule(
        lambda s: (
            refused(DriverError("not allowed"))
            if s.process == operator.member.name and s.call.side == SOURCE and backwards(s)
            else None
        )
    )
    found = operator.verify()
    assert "not allowed" in found["items"].way_back
    assert found["items"].open == 0


def backwards(sent: Sent) -> bool:
    """Whether a call brings a record of the target to the source."""
    write = sent.call.arguments[0]
    return sent.method == "write" and write.collection is ITEMS and write.stamp is not None


def verified_long_ago(scene: Scene) -> None:
    scene.operator.verify()
    agree(scene, verified=5.0)
    scene.fleet.pass_time(10)


def foreign(scene: Scene) -> None:
    member = scene.operator.member
    scene.fleet.do(member, note(member.group.ledger, scene.fleet.setting, "items"))


def differing(scene: Scene) -> None:
    """A read that finds the mirror wrong, and repairs it."""
    scene.put(scene.members[0], KEY)
    scene.fleet.plant(TARGET, Write(ITEMS, KEY, None))
    scene.get(scene.members[0], KEY)
    scene.fleet.pass_time(10)
    scene.operator.verify()


def short_window(scene: Scene) -> None:
    scene.operator.verify()
    agree(scene, window=3600.0)


def unanswered(scene: Scene) -> None:
    """A commit of which nobody knows whether it was applied, nor whether it was not."""
    scene.rule(lambda s: lost(s) if commits(s) or slot_write(s) else None)
    scene.fleet.spawn(scene.members[0], scene.load.put(scene.members[0], KEY), "client")
    scene.fleet.pass_time(12)  # its deadline, and a heartbeat


def agree(scene: Scene, **gates: float) -> None:
    """What the operator's group is configured for."""
    AGREED[scene] = Agreed(**gates)  # type: ignore[arg-type]


AGREED: dict[Scene, Agreed] = {}


def verified(scene: Scene) -> None:
    scene.operator.verify()


@attrs.frozen(kw_only=True)
class Case:
    """One gate: where it is, what shuts it, and whether it is firm."""

    gate: str
    stage: Stage
    shut: Callable[[Scene], None]
    dial: float = 0.0
    to: float | None = None
    request: Request = WORDS
    firm: bool = False
    beside: str = ""
    held: bool = False
    """Whether the network has to be mended, too, for the step to end."""


CASES = [
    Case(gate="control-able", stage=Stage.SOURCE_ONLY, shut=stale_control, firm=True),
    Case(gate="homes-able", stage=Stage.SOURCE_ONLY, shut=source_without_commits, firm=True),
    Case(gate="target-able", stage=Stage.SOURCE_ONLY, shut=target_without_commits),
    Case(gate="collections-there", stage=Stage.SOURCE_ONLY, shut=without_slots),
    Case(gate="members-know", stage=Stage.ARMED, shut=old_member, firm=True),
    Case(gate="preflight", stage=Stage.ARMED, shut=without_preflight),
    Case(
        gate="sole-access",
        stage=Stage.ARMED,
        shut=nothing,
        request=attrs.evolve(WORDS, sole=False),
    ),
    Case(gate="native-expiry-off", stage=Stage.ARMED, shut=expires_natively),
    Case(gate="target-empty", stage=Stage.PREPARE, shut=full_target),
    Case(gate="copied", stage=Stage.DUAL_WRITE, shut=nothing),
    Case(gate="verified", stage=Stage.DUAL_READ, shut=nothing, to=10.0, beside="way-back-proven"),
    Case(gate="verified-lately", stage=Stage.DUAL_READ, shut=verified_long_ago, to=10.0),
    Case(gate="way-back-proven", stage=Stage.DUAL_READ, shut=source_refuses, to=10.0, held=True),
    Case(gate="backlog-young", stage=Stage.DUAL_READ, shut=lag, to=10.0, held=True),
    Case(gate="reads-agree", stage=Stage.DUAL_READ, shut=differing, to=10.0),
    Case(gate="no-foreign", stage=Stage.DUAL_READ, dial=50.0, shut=foreign, to=100.0),
    Case(gate="all-acked", stage=Stage.DUAL_WRITE, shut=backlog, firm=True),
    Case(gate="nobody-closed", stage=Stage.DUAL_READ, shut=closed_for_long, to=10.0, firm=True),
    Case(
        gate="dial-at-100",
        stage=Stage.DUAL_READ,
        dial=50.0,
        shut=verified,
        firm=True,
    ),
    Case(gate="window-over", stage=Stage.DUAL_READ, dial=100.0, shut=short_window),
    Case(gate="verified-since-turned", stage=Stage.DUAL_READ, dial=100.0, shut=nothing),
    Case(
        gate="name-typed",
        stage=Stage.DUAL_READ,
        dial=100.0,
        shut=verified,
        request=attrs.evolve(WORDS, confirm="shopp"),
        firm=True,
    ),
    Case(gate="nothing-owed", stage=Stage.TARGET_ONLY, shut=unanswered, held=True),
]


def test_the_table_has_every_gate() -> None:
    assert {case.gate for case in CASES} == names()


@pytest.mark.rule("GATE-1", "GATE-9", "GATE-10", "GATE-11", "GATE-12")
@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.gate}-{c.stage.value}")
def test_a_gate_holds_its_step_back_and_opens_to_an_override_with_a_reason(case: Case) -> None:
    with Scene(case.stage, case.dial) as scene:
        case.shut(scene)
        member = Operator(scene.fleet).member  # who opens the group now: promises are asked once
        member.group.config = attrs.evolve(member.group.config, gates=AGREED.pop(scene, Agreed()))
        coordinator = Coordinator(member.group, patience=1.0)

        def look(request: Request) -> list[Gate]:
            return scene.fleet.do(member, coordinator.gates(request, dial=case.to))

        def step(request: Request) -> Setting:
            if case.to is not None:
                return scene.fleet.do(member, coordinator.dial(case.to, request))
            if case.stage is Stage.SOURCE_ONLY:
                return scene.fleet.do(member, coordinator.start(request))
            return scene.fleet.do(member, coordinator.advance(request))

        def held(request: Request) -> GateClosed:
            before = scene.fleet.setting
            with pytest.raises(GateClosed) as caught:
                step(request)
            assert attrs.evolve(scene.fleet.setting, barrier=before.barrier) == before
            return caught.value

        def override(why: str) -> Request:
            return attrs.evolve(
                case.request, why=why, override=frozenset({case.gate, case.beside or case.gate})
            )

        shut = [g for g in look(case.request) if not g.open]
        assert {g.name for g in shut} == {case.gate, case.beside or case.gate}
        gate = next(g for g in shut if g.name == case.gate)
        assert gate.firm == case.firm
        assert gate.seen
        assert gate.limit
        error = held(case.request)
        assert error.gates == tuple(g.name for g in shut)
        assert gate.says in str(error)
        assert f"needs {gate.limit}" in str(error)
        with pytest.raises(GateClosed if case.firm else InvalidRequest):
            step(override(" "))
        with pytest.raises(InvalidRequest, match="there is no gate"):
            step(attrs.evolve(case.request, override=frozenset({"no-such-gate"})))
        assert not overrides(scene)
        if case.firm:
            assert "no override" in str(held(override("it has to be")))
            assert not overrides(scene)
            return
        before = scene.fleet.setting
        if case.held:
            scene.fleet.network.rules.clear()
        step(override("it has to be"))
        assert scene.fleet.setting.epoch > before.epoch
        said = {(h["who"], h["why"]) for h in overrides(scene)}
        assert said == {("operator", "it has to be")}


def overrides(scene: Scene) -> list[dict[str, object]]:
    """What the history has of gates that were passed."""
    ledger = scene.operator.member.group.ledger
    history = scene.fleet.do(scene.operator.member, ledger.history())
    return [dict(h) for h in history if str(h["what"]).startswith("override")]
