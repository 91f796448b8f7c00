"""A whole migration of one group, every stage and dial step, as an operator would walk it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from polystore import Store
from polystore.migration.backfill import Copier
from polystore.migration.coordinator import Coordinator
from polystore.migration.request import Request
from polystore.migration.stages import Stage
from polystore.migration.verify import Verifier

DIALS = (10.0, 50.0, 0.0, 100.0)


def walk(store: Store, group: str, between: Callable[[str], None] = lambda _: None) -> int:
    """Take a group from source-only to clean.

    Args:
        store: a store of this process, which takes part as a member.
        group: name of the group.
        between: called with the name of each stage and dial step once all work under it.

    Returns:
        How many differences the verifications found. Nothing may differ.
    """
    return sum(_step(store, group, between))


def _step(store: Store, group: str, between: Callable[[str], None]) -> Iterator[int]:
    member, run = store._databases.member(group), store._databases.runner.run
    request = Request("walk", "a figure", confirm=group, sole=True)
    coordinator = Coordinator(member.group)
    member.enter()
    run(member.session.join())

    def verified() -> int:
        found = run(Verifier(member.session, coordinator.fleet).run())
        return sum(len(one.discrepancies) for one in found.values())

    between(Stage.SOURCE_ONLY.value)
    run(coordinator.preflight(request))
    _to(run(coordinator.start(request)).stage, Stage.ARMED, between)
    _to(run(coordinator.advance(request)).stage, Stage.PREPARE, between)
    _to(run(coordinator.advance(request)).stage, Stage.DUAL_WRITE, between)
    run(Copier(member.group).run())
    _to(run(coordinator.advance(request)).stage, Stage.DUAL_READ, between)
    yield verified()
    for percent in DIALS:
        run(coordinator.dial(percent, request))
        between(f"{Stage.DUAL_READ.value} {percent:g} %")
    yield verified()
    _to(run(coordinator.advance(request)).stage, Stage.TARGET_ONLY, between)
    _to(run(coordinator.advance(request)).stage, Stage.CLEAN, between)


def _to(stage: Stage, expected: Stage, between: Callable[[str], None]) -> None:
    assert stage is expected, f"expected {expected.value}, this is {stage.value}"
    between(stage.value)
