"""What a trial is like: how long, how many, how rough. Data, so that tests vary it."""

from __future__ import annotations

import attrs

from polystore.migration.stages import Stage
from polystore.testing.simulator.faults import ROUGH, Faults
from polystore.testing.simulator.fleet import Times


@attrs.frozen(kw_only=True)
class Plan:
    """What a trial is like.

    Attributes:
        seconds: of load under faults.
        members: processes of the application.
        threads: clients of each.
        start: stages to start from; one of them is drawn.
        dials: in %; where it starts from in dual-read, one of them is drawn.
        furthest: the stage that the operator does not go beyond.
        faults: what goes wrong with calls.
        crash, pause, outage: how often in 100 seconds a process dies, one stands still, and the
            mirror's database is gone.
        pause_seconds, outage_seconds: how long at most.
        drift: how far clocks are off.
        owners: first parts of the keys.
        items: how many records each of them has; one of these numbers is drawn. Few make races,
            many let a difference stay.
        think: most seconds between two operations of a client.
        times: of the group.
        patience: seconds that the operator waits for acknowledgements.
        careless: how often, in %, an operator leaves out what a gate will ask for.
        onward: of so many moves of an operator before dual-read one goes back.
        operators: how many there are at once; one of these numbers is drawn.
        pair: names of the databases that source and target imitate.
        operations: the run goes on until there were so many; then it also has at least one crash,
            one late call and one way back. 0 asks for none of this.
    """

    seconds: float = 25.0
    members: int = 3
    threads: int = 2
    start: tuple[Stage, ...] = (
        Stage.SOURCE_ONLY, Stage.PREPARE, Stage.DUAL_WRITE, Stage.DUAL_READ, Stage.DUAL_READ,
        Stage.TARGET_ONLY,
    )  # fmt: skip
    dials: tuple[float, ...] = (0.0,)
    furthest: Stage = Stage.DETACHED
    faults: Faults = ROUGH
    crash: float = 8.0
    pause: float = 8.0
    outage: float = 3.0
    pause_seconds: float = 5.0
    outage_seconds: float = 4.0
    drift: float = 0.04
    owners: tuple[str, ...] = ("ann", "bob", "cy")
    items: tuple[int, ...] = (2, 8)
    think: float = 0.2
    patience: float = 20.0
    careless: float = 10.0
    onward: int = 5
    operators: tuple[int, ...] = (1,)
    pair: tuple[str, str] = ("memory", "memory")
    operations: int = 0
    times: Times = attrs.field(factory=Times)


PAIRS = Plan(
    start=(
        Stage.SOURCE_ONLY, Stage.PREPARE, Stage.DUAL_WRITE, Stage.DUAL_READ, Stage.DUAL_READ,
        Stage.DUAL_READ, Stage.TARGET_ONLY,
    ),
    dials=(0.0, 50.0, 100.0),
    seconds=4.5, operations=200, operators=(1, 2, 2), think=0.2, crash=10.0, pause=15.0,
    outage=10.0, pause_seconds=2.0, outage_seconds=2.0,
    faults=attrs.evolve(ROUGH, timeout=0.3, hold_seconds=(0.5, 3.5), plain_hold=1.5),
    times=Times(lease=0.8, poll=0.25, fast_poll=0.1, quarantine=4.0),
)  # fmt: skip
"""Short and dense, for many seeds; ``attrs.evolve(PAIRS, pair=(source, target))``."""

MIRRORED = attrs.evolve(
    PAIRS,
    start=(Stage.SOURCE_ONLY, Stage.DUAL_WRITE, Stage.DUAL_READ, Stage.DUAL_READ),
    dials=(0.0,),
    furthest=Stage.DUAL_READ,
)
"""The same for a target that can only be a mirror."""
