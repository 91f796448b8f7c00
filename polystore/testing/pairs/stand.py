"""A group between two real databases, at a place of its way, and the clients that work on it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import count
from typing import Any

from polystore.conditions import Condition, If
from polystore.driver import Consistency, Stored, Write
from polystore.effects import Procedure
from polystore.errors import PolystoreError
from polystore.migration.stages import SOURCE, TARGET, Setting, Stage
from polystore.reading import Reading
from polystore.records import KEEP, Change, Expiry, Record, Version
from polystore.schema import Collection
from polystore.serving import Asked
from polystore.testing.pairs.pair import Pair
from polystore.testing.pairs.placed import Placed
from polystore.testing.simulator.choices import Choices
from polystore.testing.simulator.fleet import (
    ITEMS,
    TOTALS,
    SimulatedFleet,
    SimulatedMember,
    Times,
)
from polystore.testing.simulator.operator import Operator
from polystore.testing.simulator.watch import difference
from polystore.transaction import Attempts, Draft
from polystore.values import Fields, Key, moment_at

NAMES = Collection("names", ["text:str", "number:int", "raw:bytes"], partition=2)
"""Records whose key has a part of each type."""

TIMES = Times(lease=4.0, poll=1.0, fast_poll=0.05, quarantine=6.0)

_owners = count(1)


class Stand:
    """A fleet of two clients and an operator over both databases of a pair.

    Args:
        pair: the databases.
        entry: the setting to begin under, both databases being empty; without, from the beginning.
        seed: of what the simulator decides: how long calls take.
        clients: how many processes of the application there are.
    """

    def __init__(
        self, pair: Pair, entry: Setting | None = None, *, seed: int = 1, clients: int = 2
    ) -> None:
        self.pair = pair
        self.sides: dict[str, Placed] = pair.open()
        self.fleet = SimulatedFleet(
            Choices.seeded(seed),
            databases=self.sides,
            collections=(ITEMS, TOTALS, NAMES),
            times=TIMES,
            width=128,
        )
        if entry is not None:
            self.fleet.enter(entry)
        self.clients = [self.fleet.member(f"c{i}") for i in range(clients)]
        self.operator = Operator(self.fleet)

    def close(self) -> None:
        """End everything, and remove what was made."""
        self.fleet.close()
        for side in self.sides.values():
            side.close()

    @property
    def stage(self) -> Stage:
        """The stage that the control store says."""
        return self.fleet.setting.stage

    @staticmethod
    def owner() -> str:
        """A first part of keys that no other test has."""
        return f"o{next(_owners)}"

    def moment(self, seconds: float) -> datetime:
        """The time of day in so many seconds."""
        return moment_at(self.fleet.scheduler.wall() + round(seconds * 1_000_000))

    # -- what a client asks for ---------------------------------------------------------------

    def run(self, client: int, procedure: Procedure[Any]) -> Any:
        """Let a client run a procedure to its end."""
        return self.fleet.do(self.clients[client], procedure)

    def put(
        self,
        client: int,
        record: Mapping[str, Any],
        when: Condition = If.any,
        expires_at: datetime | None = None,
        *,
        of: Collection = ITEMS,
    ) -> Version:
        """``collection.put(record, when=…, expires_at=…)``."""
        put = self.clients[client].operations[of.name].put(record, when, None, expires_at)
        version: Version = self.run(client, put)
        return version

    def get(self, client: int, key: Key, *, of: Collection = ITEMS) -> Record | None:
        """``collection.get(*key)``."""
        return self.get_many(client, [key], of=of)[0]

    def get_many(
        self, client: int, keys: Sequence[Key], *, of: Collection = ITEMS
    ) -> list[Record | None]:
        """``collection.get_many(keys)``."""
        get = self.clients[client].operations[of.name].get_many(keys, "strong", None)
        found: list[Record | None] = self.run(client, get)
        return found

    def update(
        self,
        client: int,
        key: Key,
        *changes: Change,
        when: Condition = If.present,
        expires_at: Expiry = KEEP,
    ) -> Version:
        """``collection.update(*key, *changes, when=…, expires_at=…)``."""
        items = self.clients[client].operations["items"]
        version: Version = self.run(client, items.update((*key, *changes), when, None, expires_at))
        return version

    def delete(self, client: int, key: Key, when: Condition = If.any) -> None:
        """``collection.delete(*key, when=…)``."""
        self.run(client, self.clients[client].operations["items"].delete(key, when, None))

    def query(self, client: int, **asked: Any) -> list[Record]:
        """``list(collection.query(…))``."""
        found: list[Record] = []
        cursor: str | None = None
        while True:
            reading = Reading(self.clients[client].operations["items"], Asked(**asked), None)
            page = self.run(client, reading.page(cursor))
            found += page.records
            cursor = page.cursor
            if cursor is None:
                return found

    def count(self, client: int, **asked: Any) -> int:
        """``collection.count(…)``."""
        reading = Reading(self.clients[client].operations["items"], Asked(**asked), None)
        number: int = self.run(client, reading.count())
        return number

    def transaction(self, client: int, function: Callable[[Draft], Awaitable[Any]]) -> Any:
        """``store.transaction(function)``."""
        return self.run(client, self.attempts(client, function))

    async def attempts(self, client: int, function: Callable[[Draft], Awaitable[Any]]) -> Any:
        """The same as a procedure."""
        accesses = {name: o.access for name, o in self.clients[client].operations.items()}
        runs = Attempts(accesses.__getitem__, None, self.fleet.times.operation)
        while True:
            draft = await runs.begin()
            try:
                result = await function(draft)
            except PolystoreError as error:
                if await runs.excused(draft, error):
                    continue
                raise
            if await runs.committed(draft):
                return result

    # -- what the databases hold --------------------------------------------------------------

    def plant(self, record: Fields) -> None:
        """An item on the source as another program would have written it."""
        key = (record["owner"], record["item"])
        self.fleet.plant(SOURCE, Write(ITEMS, key, record))  # type: ignore[arg-type]

    def settled(self) -> None:
        """Wait until nobody owes the mirror anything."""
        self.fleet.run_until(self.fleet.settled, 60.0, "everybody to owe nothing")

    def stored(self, side: str, keys: Sequence[Key], of: Collection = ITEMS) -> list[Stored | None]:
        """What a side holds under keys, tombstones included."""
        driver = self.sides[side]
        limit = driver.capabilities(of).batches.read_keys
        size = limit.most if limit else len(keys) or 1
        found: list[Stored | None] = []
        for start in range(0, len(keys), size):
            reply = driver.read(of, keys[start : start + size], Consistency.STRONG)
            assert not reply.unprocessed
            found += reply.records
        return found

    def agree(self, keys: Sequence[Key], of: Collection = ITEMS) -> None:
        """MIR-6 of some keys: where a mirror is kept, both sides hold the same."""
        if not self.fleet.setting.stage.mirrored:
            return
        self.settled()
        sides = (self.stored(side, keys, of) for side in (SOURCE, TARGET))
        for key, source, target in zip(keys, *sides, strict=True):
            found = difference(self.fleet.setting, source, target)
            assert found is None, f"{of.name} {key}: {found}"

    def peeks(self, key: Key, of: Collection = ITEMS) -> list[Any]:
        """What both databases have under a key, read around their drivers."""
        return [side.peek(of, key) for side in self.sides.values()]

    def replace(self, client: int, name: str) -> SimulatedMember:
        """Kill the process of a client; another one takes its place."""
        self.fleet.crash(self.clients[client])
        self.clients[client] = self.fleet.member(name)
        return self.clients[client]


@contextmanager
def standing(pair: Pair, entry: Setting | None = None, **how: int) -> Iterator[Stand]:
    """A stand for a while."""
    stand = Stand(pair, entry, **how)
    try:
        yield stand
    finally:
        stand.close()
