"""A group as it is open in one process: two sides, the control store, and its collections."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import attrs

from polystore.capabilities import CONDITIONS, Capabilities, Freshness, Scope
from polystore.capacity import Capacity
from polystore.config import Group
from polystore.driver import Driver
from polystore.driver.side import Promised, Side
from polystore.effects import Signal
from polystore.errors import ConfigError, InvalidRequest
from polystore.identity import WriteIds
from polystore.migration.breaker import Breaker
from polystore.migration.ledger import SLOTS, Ledger
from polystore.migration.load import Load
from polystore.migration.movement import MovedSide, Movement
from polystore.migration.stages import BUCKETS, SOURCE, TARGET, Setting, Stage, bucket_of
from polystore.observe import Counters, Event
from polystore.observe.events import nobody
from polystore.pacing.limiter import Limiter
from polystore.pacing.pace import Pace
from polystore.route.bound import Bound
from polystore.schema import HALT, Collection
from polystore.values import Key


@attrs.frozen(eq=False)
class Bounds:
    """One collection bound to the source alone, to both sides, and to the target alone."""

    source: Bound
    both: Bound
    target: Bound

    def during(self, stage: Stage) -> Bound:
        """What applications see in a stage: the meet from prepare on, until one side is left."""
        if stage in (Stage.SOURCE_ONLY, Stage.ARMED):
            return self.source
        if stage in (Stage.PREPARE, Stage.DUAL_WRITE, Stage.DUAL_READ):
            return self.both
        return self.target


def can_be_home(promised: Capabilities) -> bool:
    """Whether a database can decide for its records: conditional writes, commits over all."""
    return (
        can_be_mirror(promised)
        and promised.transactions.scope is Scope.STORE
        and promised.writes.conditions == CONDITIONS
    )


def can_be_mirror(promised: Capabilities) -> bool:
    """Whether it can be brought what others decide: by strong reads of what it has."""
    return promised.reads.point is Freshness.STRONG


class OpenGroup:
    """A group's sides, control store and collections.

    Args:
        config: the group's declaration.
        collections: its collections, by name.
        source, target, control: open drivers; ``control`` may be one of the other two.
        ids: makes write ids.
        promised: what a driver promises for a collection, lowered by plugins.
        signal: guards the limits of the sides.
        notify: told of rare events.

    Attributes:
        counters: what happened to this group in this process.
        limiters: the limits of each side.
        breakers: of each side, as the mirror of this process.
        copying: the limit of a copy that this process makes.
        load: the rates and policies that this process was told of.
        slots: the slots bound to each side.
    """

    def __init__(
        self,
        config: Group,
        collections: Mapping[str, Collection],
        source: Driver,
        target: Driver,
        control: Driver,
        ids: WriteIds,
        promised: Promised,
        signal: Signal,
        notify: Callable[[Event], None] = nobody,
    ) -> None:
        self.config = config
        self.collections = MappingProxyType(dict(collections))
        self.counters = Counters()
        self.load = Load()
        self.limiters = MappingProxyType(
            {
                name: Limiter(name, signal, self.counters.add, config.capacity.get(name))
                for name in (SOURCE, TARGET)
            }
        )
        self.copying = Limiter(
            "copy", signal, self.counters.add, Capacity(rate=config.backfill_rate)
        )
        self.ids = ids
        self._notify = notify
        ruling = Side("control", control, promised)
        self.ledger = Ledger(ruling, config.name, ids)
        promises = [promised(target, collection) for collection in self.collections.values()]
        goal = Side(
            TARGET,
            target,
            promised,
            Pace(self.limiters[TARGET]),
            may_be_home=all(map(can_be_home, promises)),
        )
        if any(one.writes.conditions != CONDITIONS for one in promises):
            table = Movement(ruling, config.name, ids, config.lease, config.quarantine)
            goal = MovedSide(goal, table)
        origin = Side(SOURCE, source, promised, Pace(self.limiters[SOURCE]))
        self.sides = MappingProxyType({SOURCE: origin, TARGET: goal})
        self.breakers = MappingProxyType({name: Breaker() for name in self.sides})
        self.bounds = {name: self._bounds(c) for name, c in self.collections.items()}
        self.slots = {name: Bound(SLOTS, (side,)) for name, side in self.sides.items()}

    def _bounds(self, collection: Collection) -> Bounds:
        source, target = self.sides.values()
        return Bounds(
            Bound(collection, (source,)),
            Bound(collection, (source, target)),
            Bound(collection, (target,)),
        )

    def tell(self, kind: str, **details: object) -> None:
        """Tell plugins of a rare event of :mod:`polystore.observe.events`."""
        self._notify(Event(kind, self.config.name, details))

    def collection(self, name: str) -> Collection:
        """A collection by name. Raises ConfigError where the group has none of this name."""
        if name not in self.collections:
            raise ConfigError(
                f"group {self.config.name!r} has no collection {name!r}: is the configuration "
                "of this process older than that of others?"
            )
        return self.collections[name]

    @property
    def limited(self) -> bool:
        """Whether any of the sides has a limit just now."""
        return any(limiter.active for limiter in self.limiters.values())

    def overload(self, collection: Collection) -> str:
        """What becomes of an operation where a side is at its capacity."""
        return self.load.policy(collection.name, collection.overload)

    def halts(self, collection: Collection) -> bool:
        """Whether a foreign record of a collection stops the run; else it is adopted."""
        return (collection.foreign or self.config.foreign) == HALT

    def heed(self, load: Load) -> None:
        """Rates and policies from now on."""
        if load == self.load:
            return
        self.load = load
        for name, limiter in self.limiters.items():
            configured = self.config.capacity.get(name, Capacity())
            limiter.change(load.capacity(name, configured))
        self.copying.change(Capacity(rate=load.backfill(self.config.backfill_rate)))

    def bucket(self, key: Key) -> int:
        """The bucket of a key."""
        return bucket_of(key, self.config.colocate)

    def home(self, setting: Setting, key: Key) -> Side:
        """The side that decides for a key."""
        return self.sides[setting.home(self.bucket(key))]

    def other(self, side: Side) -> Side:
        """The other one of the two sides."""
        return self.sides[TARGET if side.name == SOURCE else SOURCE]

    def batch(self, asked: int | None) -> int:
        """How many buckets freeze at a time where an operator asks for so many.

        Raises:
            InvalidRequest: none, more than there are, or some where all have to move at once.
        """
        if asked is None:
            return self.step
        if self.config.colocate is None:
            raise InvalidRequest("without `colocate` all buckets move at once: leave the batch out")
        if not 1 <= asked <= BUCKETS:
            raise InvalidRequest(f"a batch is of 1 to {BUCKETS} buckets, not {asked}")
        return asked

    @property
    def step(self) -> int:
        """Most buckets that freeze at a time: without colocation transactions need them all."""
        return BUCKETS if self.config.colocate is None else 16
