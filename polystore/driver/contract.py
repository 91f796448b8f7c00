"""What a driver is: one class with these methods, and the records that go in and out.

A driver has no policy. Requests are validated, within the limits that the driver itself declared,
and free of duplicate keys; a driver never splits, retries, logs or checks again. It may be called
from several threads at once. Native exceptions are simply raised: the core hands each to
:meth:`Driver.translate`.

Every record that polystore wrote carries bookkeeping beside its fields, in names that start with
``_ps_``: the write id ``_ps_w``, where the application gave one the expiry ``_ps_exp``, and while
a migration runs the stamp ``_ps_v`` and, for a tombstone, ``_ps_del``. Records of other writers
carry none and read as they are. A driver returns what has expired like everything else: hiding it
is the core's part.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from typing import Any, TypeAlias, TypeVar

import attrs

from polystore.capabilities import Capabilities
from polystore.driver.tariff import Tariff
from polystore.errors import Contention, PolystoreError, Unavailable, Unsupported
from polystore.queries import Position, QueryPlan
from polystore.schema import Collection
from polystore.values import Fields, Key

T = TypeVar("T")

NOT_APPLIED = (Unavailable, Contention, Unsupported)
"""What one write of many may fail with, the others being carried out."""

Token: TypeAlias = Any
"""What a driver compares at commit; opaque to the core. Two states never share one."""


class Consistency(Enum):
    """How fresh a read must be."""

    STRONG = "strong"
    EVENTUAL = "eventual"


@attrs.define(eq=False)
class Stored:
    """One record as a database holds it.

    Attributes:
        key: the key, of the declared types.
        fields: all fields, key fields included, made for this reply; ``None`` for a tombstone.
        token: compares this state in :class:`Unchanged`.
        write_id: ``_ps_w``, or ``None``.
        stamp: ``_ps_v``, an int from 1 to 2⁶³−1, or ``None``.
        expires: ``_ps_exp``: microseconds since 1970; ``None`` for never.
    """

    key: Key
    fields: Fields | None
    token: Token
    write_id: str | None = None
    stamp: int | None = None
    expires: int | None = None


class Anything:
    """Condition: whatever is there."""

    __slots__ = ()


class Nothing:
    """Condition: nothing is there, not even a tombstone."""

    __slots__ = ()


@attrs.frozen
class Unchanged:
    """Condition: the record is in the state that this token came with."""

    token: Token


@attrs.frozen
class OlderThan:
    """Condition: nothing is there, or what is there has no stamp or a smaller one."""

    stamp: int


ANYTHING = Anything()
NOTHING = Nothing()
Condition: TypeAlias = Anything | Nothing | Unchanged | OlderThan


@attrs.define(eq=False)
class Write:
    """One put, tombstone or delete.

    ``fields`` is the whole record, key fields included: a put. Without ``fields`` it is a
    tombstone where ``stamp`` is given, and otherwise a delete that leaves nothing behind; a
    delete of nothing succeeds under every condition but ``Unchanged``. Only a put has an expiry
    (``expires``, as in :class:`Stored`). A driver changes nothing of it, and keeps none of its
    lists and maps.
    """

    collection: Collection
    key: Key
    fields: Fields | None
    condition: Condition = ANYTHING
    write_id: str | None = None
    stamp: int | None = None
    expires: int | None = None


@attrs.define(eq=False)
class Sizes:
    """What a put takes, in bytes of the database's own accounting; the limits count these.

    A driver measures what it limits and leaves the rest at 0.

    Attributes:
        record: the whole record, bookkeeping included.
        name: the longest field name, at any depth.
        text: the longest text or bytes that no index holds.
        partition, sort, part, whole: of the key, as in ``capabilities.Keys``.
        indexed, first, rest: the largest under a declared index, as in ``capabilities.Indexes``.
    """

    record: int
    name: int = 0
    text: int = 0
    partition: int = 0
    sort: int = 0
    part: int = 0
    whole: int = 0
    indexed: int = 0
    first: int = 0
    rest: int = 0


@attrs.define(eq=False)
class Check:
    """A condition on a record that a commit does not write; ``Nothing`` or ``Unchanged``."""

    collection: Collection
    key: Key
    condition: Nothing | Unchanged


@attrs.frozen
class Written:
    """The write was applied. ``token`` compares the new state; ``None`` after a delete."""

    token: Token


@attrs.frozen
class Refused:
    """The condition was false; nothing was written.

    ``told`` says whether the database told what it found; then ``current`` is that record, or
    ``None`` for nothing.
    """

    told: bool = False
    current: Stored | None = None


@attrs.frozen
class Unprocessed:
    """One write of many that the database did not get to; surely not applied."""

    error: PolystoreError


@attrs.frozen
class Committed:
    """All writes of a commit were applied. ``tokens`` in the order of the writes."""

    tokens: tuple[Token, ...]


@attrs.frozen
class Rejected:
    """Nothing of a commit was applied.

    ``refusals`` has an entry for each write and then each check: ``None`` where that condition
    held. It is empty where the database does not say which condition was false.
    """

    refusals: tuple[Refused | None, ...] = ()


def alone(outcome: Committed | Rejected) -> Written | Refused:
    """The outcome of one write that was sent as a commit; for authors of drivers."""
    if isinstance(outcome, Committed):
        return Written(outcome.tokens[0])
    return next((refused for refused in outcome.refusals if refused is not None), Refused())


@attrs.define(eq=False)
class ReadReply:
    """Records in the order of the keys asked for, ``None`` where there is none.

    ``unprocessed`` holds the positions of keys that the database did not get to; their entry in
    ``records`` says nothing.
    """

    records: list[Stored | None]
    unprocessed: tuple[int, ...] = ()


@attrs.define(eq=False)
class QueryPage:
    """One page of a query, in its order; tombstones may be among the records.

    ``next`` is where the next page goes on; ``None`` where the query is at its end. A page may be
    short or empty and not be the last. The next one shows what is there when it is asked for, also
    where the record of ``next`` was changed or is gone by then.
    """

    records: list[Stored]
    next: Position | None


@attrs.frozen(eq=False)
class Unreadable:
    """A record that a driver cannot make out: another program wrote it.

    Attributes:
        key: its key, or what the database has in that place.
        error: why it cannot be read; what a read of it raises.
    """

    key: Key
    error: PolystoreError


@attrs.define(eq=False)
class ScanPage:
    """One page of a scan, tombstones included.

    ``cursor`` is ``None`` at the segment's end, else text, from which any process goes on.
    ``unreadable`` holds what lies between the records and cannot be made out: one bad record does
    not hide the others.
    """

    records: list[Stored]
    cursor: str | None
    unreadable: list[Unreadable] = attrs.field(factory=list)

    def whole(self) -> ScanPage:
        """This page, for who needs every record. Raises what the first unreadable one does."""
        for found in self.unreadable:
            raise found.error
        return self


def readable(
    rows: Iterable[T],
    stored: Callable[[T], Stored | None],
    key: Callable[[T], Key],
    translate: Callable[[Exception], PolystoreError],
) -> tuple[list[Stored], list[Unreadable]]:
    """What a page of a scan holds, and what of it cannot be made out; for authors of drivers.

    Args:
        rows: as the database gave them.
        stored: makes a record of one; ``None`` where it is no record of the collection.
        key: its key, or what lies in that place: must not fail.
        translate: the error that a native exception stands for.
    """
    records, unreadable = [], []
    for row in rows:
        try:
            record = stored(row)
        except Exception as error:  # noqa: BLE001  # whatever a stranger's record makes a codec do
            unreadable.append(Unreadable(key(row), translate(error)))
        else:
            if record is not None:
                records.append(record)
    return records, unreadable


@attrs.frozen
class Segment:
    """One of ``count`` disjoint parts of a collection; together they are the whole.

    Attributes:
        index, count: which of them, and how many there are.
        path: which half of that, which half of the half, and so on: ``0`` or ``1`` for each
            halving. Only where :meth:`Driver.halve` has said so of each of them.
        snapshot: whether pages may show the part as it was at one moment, no earlier than the call
            for the first of them: a database that can read so holds nobody up by it. A driver
            whose database cannot pays no heed to this.
    """

    index: int = 0
    count: int = 1
    snapshot: bool = False
    path: str = ""

    def halves(self) -> tuple[Segment, Segment]:
        """Two segments that are disjoint, and together this one."""
        first, second = (attrs.evolve(self, path=self.path + half) for half in "01")
        return first, second

    def modulo(self) -> tuple[int, int]:
        """``(i, n)`` of the same part, where segments are a hash of the key modulo n."""
        half = sum(int(bit) << place for place, bit in enumerate(self.path))
        return self.index + self.count * half, self.count << len(self.path)


@attrs.frozen
class NativeExpiry:
    """Whether a database removes records of a collection by itself once they have expired.

    Attributes:
        on: whether it does, or may still; ``None`` where it does not tell.
        says: what is so, and how that is changed; for people.
    """

    on: bool | None
    says: str


@attrs.frozen
class Description:
    """What is really there for a collection.

    Attributes:
        exists: whether the table, kind or file is there.
        problems: what differs from the declaration, each a sentence that says what to do.
        expiry: whether records are removed by the database itself. ``store.describe()`` adds it:
            opening a store does not ask.
    """

    exists: bool
    problems: tuple[str, ...] = ()
    expiry: NativeExpiry | None = None


class Driver(ABC):
    """The code for one kind of database, opened on one place.

    Attributes:
        name: the name it is registered by.
    """

    name: str

    @abstractmethod
    def capabilities(self, collection: Collection) -> Capabilities:
        """What this opened, configured driver promises for one collection. Pure; no call.

        Raises:
            ConfigError: the collection's placement cannot be used.
        """

    @abstractmethod
    def measure(self, write: Write) -> Sizes:
        """What a put would take, in this database's own accounting. Pure; no call."""

    def tariff(self, collection: Collection) -> Tariff:
        """What this database counts for calls on a collection. Pure; no call.

        The default is that of a database which bills nothing.
        """
        return Tariff()

    @abstractmethod
    def read(
        self, collection: Collection, keys: Sequence[Key], consistency: Consistency
    ) -> ReadReply:
        """Read records by key: at most ``capabilities().batches.read_keys`` keys."""

    @abstractmethod
    def write(self, write: Write) -> Written | Refused:
        """Carry out one write under its condition."""

    def write_many(self, writes: Sequence[Write]) -> list[Written | Refused | Unprocessed]:
        """Carry out writes, unordered and not as one; an outcome for each, in their order.

        They may be of several collections.
        The default is a loop. A write whose outcome is unknown raises for the whole call; where the
        database is gone, what is left is not tried.
        """
        outcomes: list[Written | Refused | Unprocessed] = []
        for place, write in enumerate(writes):
            try:
                outcomes.append(self.write(write))
            except Exception as error:
                told = self.translate(error)
                if not isinstance(told, NOT_APPLIED):
                    raise
                if isinstance(told, Unavailable):
                    return outcomes + [Unprocessed(told)] * (len(writes) - place)
                outcomes.append(Unprocessed(told))
        return outcomes

    def commit(self, writes: Sequence[Write], checks: Sequence[Check]) -> Committed | Rejected:
        """Carry out all writes, or none, if every condition holds at one moment.

        Writes may belong to several collections; checks alone are allowed. The default refuses:
        such a database has no transactions, and can be no home in a migration.
        """
        raise Unsupported("this database has no transactions", driver=self.name)

    @abstractmethod
    def query(
        self, collection: Collection, plan: QueryPlan, after: Position | None, limit: int
    ) -> QueryPage:
        """One page of at most ``limit`` records of a query, from ``after`` on, exclusive."""

    @abstractmethod
    def scan(
        self, collection: Collection, segment: Segment, cursor: str | None, limit: int
    ) -> ScanPage:
        """One page of all records of a segment, in any order that a cursor can resume.

        Each key that exists unchanged throughout a scan is returned at least once; what cannot be
        made out is listed apart, and ends no scan.
        """

    def halve(self, collection: Collection, segment: Segment) -> bool:
        """Whether a segment can be scanned by its halves from now on, too (DRV-16).

        A copy asks where a segment cannot be read, to leave behind as little as possible of it.
        """
        return False

    @abstractmethod
    def translate(self, error: Exception) -> PolystoreError:
        """The error of the tree that a native exception stands for; DriverError if unknown."""

    @abstractmethod
    def create(self, collection: Collection) -> None:
        """Make what the collection needs and is not there yet. Only ever called when asked for."""

    @abstractmethod
    def drop(self, collection: Collection) -> None:
        """Remove the collection with all its records."""

    @abstractmethod
    def describe(self, collection: Collection) -> Description:
        """What is really there, compared with the declaration."""

    def native_expiry(self, collection: Collection) -> NativeExpiry:
        """Whether the database removes what has expired by itself. The default: it does not.

        Asked of whatever removes records there, also of what others have set up.
        """
        return NativeExpiry(False, "this database removes no records by itself")

    def expire_natively(self, collection: Collection) -> bool:
        """Let the database remove what has expired, where the placement names an attribute for it.

        A put without a stamp then sets that attribute, to a moment not before ``expires``; one
        with a stamp sets none, since no record may go by itself while two databases are in play.
        Only ever called when asked for, after :meth:`create`. The default does nothing.

        Returns:
            Whether the database will remove them.
        """
        return False

    @abstractmethod
    def native(self, collection: Collection | None = None) -> Any:
        """The database's own client, for what polystore does not offer."""

    @abstractmethod
    def close(self) -> None:
        """Let go of connections. A second call does nothing."""
