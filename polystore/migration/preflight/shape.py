"""The shape of the load: how many operations of each kind members saw in *observe*, by collection.

A rehearsal makes load of this shape. It belongs to the application and not to a run: it is kept
until somebody forgets what was observed.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping

from polystore.effects import Now
from polystore.migration.ledger import Ledger
from polystore.records import Version
from polystore.route.base import Verb
from polystore.values import Fields

EVERY = 60.0
"""Seconds between two times that one member says what it counted: all change the same items."""

GET, GET_MANY, QUERY, SCAN = "get", "get_many", "query", "scan"
PUT, INSERT, UPDATE, DELETE, TRANSACTION = "put", "insert", "update", "delete", "transaction"

KINDS = (GET, GET_MANY, QUERY, SCAN, PUT, INSERT, UPDATE, DELETE, TRANSACTION)
"""Kinds of operations; each page of a query or a scan counts, and so does each attempt at one."""

_ROOT = "shape/"


def kind_of(verb: Verb, version: Version | None) -> str:
    """The kind of a write that was carried out: what it was by its verb, and what it left."""
    if version is None:
        return DELETE
    if verb.fresh:
        return INSERT
    return PUT if verb.puts else UPDATE


class Seen:
    """Counts of one process that it has not said yet; any thread may add."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._said = float("-inf")

    def add(self, collection: str, kind: str) -> None:
        """Count one operation."""
        with self._lock:
            self._counts[collection, kind] += 1

    async def say(self, ledger: Ledger, *, at_once: bool = False) -> None:
        """Add what was counted to what is known, now and then.

        Raises:
            PolystoreError: the control store does not answer; it will be said later.
        """
        now = await Now()
        if not self._counts or (now - self._said < EVERY and not at_once):
            return
        self._said = now
        with self._lock:
            counts, self._counts = self._counts, Counter()
        left = dict.fromkeys(name for name, _ in counts)
        try:
            for name in list(left):
                await _add(ledger, name, {k: n for (at, k), n in counts.items() if at == name})
                del left[name]
        finally:
            with self._lock:
                self._counts.update({place: n for place, n in counts.items() if place[0] in left})


async def _add(ledger: Ledger, name: str, more: Mapping[str, int]) -> None:
    def added(fields: Fields | None) -> Fields:
        known = {} if fields is None else _counts(fields)
        return {"collection": name, "counts": dict(Counter(known) + Counter(more))}

    await ledger.change(_ROOT + name, added)


async def shape(ledger: Ledger) -> dict[str, dict[str, int]]:
    """Operations by collection and kind, as far as members have said."""
    found = await ledger.all(_ROOT)
    return {str(s.fields["collection"]): _counts(s.fields) for s in found if s.fields is not None}


async def forget_shape(ledger: Ledger) -> None:
    """Forget what was counted: the application was mended since."""
    for stored in await ledger.all(_ROOT):
        await ledger.delete(stored)


def _counts(fields: Fields) -> dict[str, int]:
    counts = fields["counts"]
    assert isinstance(counts, dict)
    return {str(kind): number for kind, number in counts.items() if isinstance(number, int)}
