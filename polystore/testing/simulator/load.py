"""What the application does while everything moves: operations on few keys, each one recorded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Hashable
from datetime import UTC, datetime, timedelta
from typing import Any

from polystore.conditions import If
from polystore.driver import Write
from polystore.effects import Sleep
from polystore.errors import (
    PolystoreError,
)
from polystore.migration.stages import SOURCE
from polystore.queries import Position, QueryPlan
from polystore.records import Increment, Version
from polystore.testing.history import Model, Operation, check, pair, register
from polystore.testing.simulator.choices import Choices
from polystore.testing.simulator.fleet import ITEMS, SimulatedFleet, SimulatedMember
from polystore.testing.simulator.journal import Journal
from polystore.testing.simulator.scheduler import Task
from polystore.testing.simulator.watch import Violation
from polystore.transaction import Attempts, Draft
from polystore.values import Key

STEP = 1000
"""Values that are written are multiples of it; increments add one."""

PAIRED = 0
"""Number of the item of each owner that only transactions write, with the owner's total."""


class Load:
    """Clients of a fleet, and the history of what they asked and were answered.

    Args:
        fleet: what they run on.
        owners: first parts of their keys.
        items: how many items of each owner there are, beside the paired one.
        think: most seconds between two operations of a client.

    Attributes:
        history: all operations.
        failed: those that ended with an error that is no refusal, with the error.
        written: values that were ever asked to be written, by key.
        running: set it to false to end the clients.
    """

    def __init__(
        self,
        fleet: SimulatedFleet,
        *,
        owners: tuple[str, ...] = ("ann", "bob", "cy"),
        items: int = 2,
        think: float = 0.2,
    ) -> None:
        self.fleet = fleet
        self.owners = owners
        self.items = items
        self.think = think
        self.journal = Journal(fleet)
        self.history = self.journal.history
        self.failed = self.journal.failed
        self.written = self.journal.written
        self.running = True
        self.clients: list[Task] = []
        self._clients: Counter[str] = Counter()
        self._value = 0

    def check(self) -> int:
        """Whether the history is linearizable; how many operations it has."""
        return check(self.history, _model)

    # -- clients ------------------------------------------------------------------------------

    def preload(self) -> None:
        """Let about half of the records be there from before: no stamp, no write id."""
        choices = self.fleet.scheduler.choices.of("preload")
        for owner in self.owners:
            for item in range(1, self.items + 1):
                if choices.below(2):
                    key, value = (owner, item), self.value()
                    self.fleet.plant(SOURCE, Write(ITEMS, key, _item(key, value)))
                    self.journal.before(key, value)

    def start(self, member: SimulatedMember, threads: int = 1) -> None:
        """Let a member serve so many clients."""
        for _ in range(threads):
            self._clients[member.name] += 1
            name = f"client{self._clients[member.name]}"
            client = self.client(member, self.fleet.scheduler.choices.of(f"{member.name}.{name}"))
            self.clients.append(self.fleet.spawn(member, client, name, vital=True))

    def end(self, limit: float = 120.0) -> None:
        """Let all clients end what they are at."""
        self.running = False
        self.fleet.run_until(
            lambda: all(task.done or not task.process.alive for task in self.clients),
            limit,
            "clients to end",
        )

    def read_all(self, member: SimulatedMember) -> None:
        """Read everything once more: what was acknowledged must be there (P3)."""
        for owner in self.owners:
            for item in range(1, self.items + 1):
                self.fleet.do(member, self.get(member, (owner, item)))
            self.fleet.do(member, self.both(member, owner))

    async def client(self, member: SimulatedMember, choices: Choices) -> None:
        """One thread of the application, until the load is told to stop."""
        seen: dict[Key, tuple[Any, Version]] = {}
        while self.running:
            act = choices.below(22)
            if act > 0:
                await self._act(member, act - 1, choices, seen)
            await Sleep(self.think * (100 - choices.below(100)) / 100)

    async def _act(
        self,
        member: SimulatedMember,
        act: int,
        choices: Choices,
        seen: dict[Key, tuple[Any, Version]],
    ) -> None:
        owner = choices.pick(self.owners)
        if act < 14:
            await self.single(member, (owner, 1 + choices.below(self.items)), act, seen)
        elif act < 17:
            await self.move(member, owner)
        elif act < 19:
            await self.both(member, owner)
        elif act < 20:
            await self.query(member, owner)
        else:
            await self.glimpse(member, owner, choices)

    def value(self) -> int:
        """A number that no operation has written yet; small sums of it neither."""
        self._value += STEP
        return self._value

    async def single(
        self,
        member: SimulatedMember,
        key: Key,
        act: int,
        seen: dict[Key, tuple[Any, Version]],
    ) -> None:
        """One operation on one record."""
        items = member.operations["items"]
        known = seen.get(key)
        if act < 4:
            await self.get(member, key, seen)
        elif act < 7:
            new = self.value()
            await self._write(
                member, key, "put", new, items.put(_item(key, new), If.any, None, _expiry(new))
            )
        elif act < 9:
            new = self.value()
            put = items.put(_item(key, new), If.absent, None, _expiry(new))
            await self._write(member, key, "insert", new, put)
        elif act < 11 and known is not None:
            new = self.value()
            put = items.put(_item(key, new), If.version(known[1]), None)
            await self._write(member, key, "replace", (known[0], new), put)
        elif act < 12:
            update = items.update((*key, Increment("v")), If.present, None)
            await self._write(member, key, "add", 1, update)
        elif act < 13 and known is not None:
            remove = items.delete(key, If.version(known[1]), None)
            await self._write(member, key, "remove", known[0], remove)
        else:
            await self._write(member, key, "delete", None, items.delete(key, If.any, None))

    async def get(
        self,
        member: SimulatedMember,
        key: Key,
        seen: dict[Key, tuple[Any, Version]] | None = None,
    ) -> Any:
        """Read one record, and remember its version."""
        operation = self.journal.begin(member, key, "get", None)
        record = await self.journal.ended(
            operation, member.operations["items"].get(key, "strong", None)
        )
        if record is not None and seen is not None:
            seen[key] = (record["v"], record.version)
        if not operation.open:
            operation.outcome = None if record is None else record["v"]
        return operation.outcome

    async def put(self, member: SimulatedMember, key: Key) -> Operation:
        """Write one record whatever is there."""
        new = self.value()
        put = member.operations["items"].put(_item(key, new), If.any, None, _expiry(new))
        return await self._write(member, key, "put", new, put)

    async def delete(self, member: SimulatedMember, key: Key) -> Operation:
        """Take one record away."""
        delete = member.operations["items"].delete(key, If.any, None)
        return await self._write(member, key, "delete", None, delete)

    async def _write(
        self,
        member: SimulatedMember,
        key: Key,
        verb: str,
        argument: Any,
        procedure: Awaitable[Any],
    ) -> Operation:
        operation = self.journal.begin(member, key, verb, argument)
        await self.journal.ended(operation, procedure)
        return operation

    async def query(self, member: SimulatedMember, owner: str) -> None:
        """Read all items of an owner by a query: as good as a read of each."""
        keys = [(owner, 1 + i) for i in range(self.items)]
        reads = [self.journal.begin(member, key, "get", None) for key in keys]
        found: dict[Key, Any] = {}
        try:
            after: Position | None = None
            while True:
                bound = member.operations["items"].access.bound()
                plan = QueryPlan(None, (owner,))
                page = await member.route.query(bound, plan, after, 2, self.fleet.times.operation)
                found.update((record.key, record["v"]) for record in page.records)
                after = page.next
                if after is None:
                    break
        except PolystoreError as error:
            self.journal.gone(reads)
            self.failed.append((reads[0], error))
            return
        for read in reads:
            read.outcome = found.get(read.cell)  # type: ignore[call-overload]
            self.journal.returned(read)

    async def glimpse(self, member: SimulatedMember, owner: str, choices: Choices) -> None:
        """Read what need not be new, by key and by index: but never what nobody wrote."""
        items = member.operations["items"]
        index = next(iter(items.access.collection.indexes), None)
        records: list[Any] = []
        try:
            if index is None or choices.below(2):
                key = (owner, 1 + choices.below(self.items))
                records.append(await items.get(key, "eventual", None))
            else:
                plan = QueryPlan(index, ("open",))
                bound, timeout = items.access.bound(), self.fleet.times.operation
                records += (await member.route.query(bound, plan, None, 4, timeout)).records
        except PolystoreError:
            return
        for record in records:
            if record is not None and record["item"] != PAIRED:
                written = record["v"] - record["v"] % STEP
                if written not in self.written.get(record.key, ()):
                    raise Violation(f"P5: {record.key} showed {record['v']}, which nobody wrote")

    # -- transactions -------------------------------------------------------------------------

    async def move(self, member: SimulatedMember, owner: str) -> Operation:
        """Take from the paired item what is given to the total."""
        amount = self.value()

        async def run(draft: Draft) -> None:
            one, other = await _pair(draft, owner)
            item, total = draft.collection("items"), draft.collection("totals")
            await item.put(_item((owner, PAIRED), (one or 0) - amount), If.any)
            await total.put({"owner": owner, "v": (other or 0) + amount}, If.any)

        operation = self.journal.begin(member, ("pair", owner), "move", amount)
        await self.journal.ended(operation, self._transaction(member, run))
        return operation

    async def both(self, member: SimulatedMember, owner: str) -> None:
        """Read both as one."""
        operation = self.journal.begin(member, ("pair", owner), "both", None)
        outcome = await self.journal.ended(
            operation, self._transaction(member, lambda draft: _pair(draft, owner))
        )
        if not operation.open:
            operation.outcome = outcome

    async def _transaction(
        self, member: SimulatedMember, function: Callable[[Draft], Awaitable[Any]]
    ) -> Any:
        accesses = {name: o.access for name, o in member.operations.items()}
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


def _expiry(value: int) -> datetime | None:
    """When a record with this value expires: half of them, long after the run."""
    return None if value % 2000 else datetime(2999, 1, 1, tzinfo=UTC) + timedelta(seconds=value)


def _item(key: Key, value: int) -> dict[str, Any]:
    owner, item = key
    return {"owner": owner, "item": item, "v": value, "state": "open", "rank": item}


async def _pair(draft: Draft, owner: str) -> tuple[Any, Any]:
    one = await draft.collection("items").get((owner, PAIRED))
    other = await draft.collection("totals").get((owner,))
    return (None if one is None else one["v"], None if other is None else other["v"])


def _model(cell: Hashable) -> Model:
    return pair if isinstance(cell, tuple) and cell[0] == "pair" else register
