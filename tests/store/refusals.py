"""Writes that the source of a migration holds and the target does not, tried in dual-write.

One for each promise of the target that is less than the source's: which those are is asked of the
drivers, so that none is forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from typing import Any, TypeAlias

import attrs

import polystore
from polystore import Collection, Config, Group, InvalidRequest, Store, Transaction
from polystore.capabilities import Effect
from polystore.driver import Driver, Segment
from polystore.migration.group import OpenGroup
from polystore.migration.stages import SOURCE, TARGET, Setting, Stage
from polystore.route.compared import compared
from polystore.values import Fields, Key

_numbers = count()

Try: TypeAlias = Callable[[Store, str], object]
"""Tries one write; the text ends every collection's name."""


def _put(collection: str, **fields: Any) -> Try:
    def attempt(store: Store, end: str) -> None:
        store[collection + end].put(fields)

    return attempt


def _plain(**fields: Any) -> Try:
    """A record over one that is there."""
    return _put("plain", **{"customer": "c", "order": 1, **fields})


def _transaction(records: int, size: int) -> Try:
    def attempt(store: Store, end: str) -> None:
        def filled(tx: Transaction) -> None:
            for number in range(records):
                tx["plain" + end].put({"customer": "c", "order": 1 + number, "text": "x" * size})

        store.transaction(filled)

    return attempt


def _nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


TRIES: Mapping[str, Mapping[str, Try]] = {
    "dynamodb": {
        "keys.partition": _put("wide", customer="c" * 1400, region="r" * 1400, order=1),
        "keys.sort": _put("long", customer="c", area="a" * 900, street="s" * 900),
        "keys.empty": _put("plain", customer="", order=1),
        "records.size": _plain(text="x" * 500_000),
        "transactions.items": _transaction(100, 1),
        "transactions.size": _transaction(11, 390_000),
        "indexes.first": _plain(state="\x00" * 1400, total=1),
        "indexes.rest": _plain(state="s", total="x" * 1200),
    },
    "datastore": {
        "keys.part": _put("plain", customer="c" * 1600, order=1),
        "keys.int_min": _put("plain", customer="c", order=-1),
        "records.depth": _plain(deep=_nested(25)),
        "records.name": _plain(**{"n" * 1600: 1}),
        "indexes.value": _plain(state="x" * 1600, total=1),
    },
}
"""By the driver of the target, and the code of what it promises less of."""

UNREACHABLE: Mapping[str, frozenset[str]] = {
    "dynamodb": frozenset(),
    # A key of DynamoDB is at most 3,072 bytes: one part is over its limit long before the whole is.
    "datastore": frozenset({"keys.whole"}),
}
"""What no write that the source holds can go beyond."""


@attrs.frozen
class Tried:
    """One write that was tried: whether it was refused, by whom, and what it left behind."""

    code: str
    error: str | None
    driver: str | None
    unchanged: bool


def collections(end: str) -> list[Collection]:
    """Collections whose keys lie differently in the two databases."""
    return [
        Collection(
            f"plain{end}",
            ["customer", "order:int"],
            indexes={"by_state": ["state", "total"]},
            placements={"datastore": {"path": f"C{end}/{{customer}}/O{end}/{{order}}"}},
        ),
        Collection(
            f"wide{end}",
            ["customer", "region", "order:int"],
            partition=2,
            placements={
                "datastore": {"path": f"C{end}/{{customer}}/R{end}/{{region}}/W{end}/{{order}}"}
            },
        ),
        Collection(
            f"long{end}",
            ["customer", "area", "street"],
            placements={
                "datastore": {"path": f"C{end}/{{customer}}/A{end}/{{area}}/L{end}/{{street}}"}
            },
        ),
    ]


@contextmanager
def dual_write(source: str, target: str) -> Iterator[tuple[Store, OpenGroup, str]]:
    """A store in dual-write between two databases, one record in each collection's source."""
    end = str(next(_numbers))
    declared = {c.name: c for c in collections(end)}
    group = Group(
        name="g",
        source=source,
        target=target,
        control=f"memory://refusals{end}",
        collections=tuple(declared),
        colocate=1,
    )
    with polystore.open(Config(collections=declared, groups={"g": group})) as store:
        store.create()
        opened = store._databases.member("g").group
        setting = Setting(run=1, epoch=4, stage=Stage.DUAL_WRITE)
        store._databases.runner.run(opened.ledger.change_setting(lambda _: setting))
        store["plain" + end].put({"customer": "c", "order": 1, "state": "", "total": 1})
        yield store, opened, end


def stored(driver: Driver, among: Mapping[str, Collection]) -> dict[tuple[str, Key], Any]:
    """All that a database holds of some collections, bookkeeping and state included."""
    found: dict[tuple[str, Key], tuple[Fields | None, str | None, int | None, Any]] = {}
    for name, collection in among.items():
        cursor: str | None = None
        while True:
            page = driver.scan(collection, Segment(), cursor, 100)
            for s in page.records:
                found[name, s.key] = (s.fields, s.write_id, s.stamp, s.token)
            cursor = page.cursor
            if cursor is None:
                break
    return found


def refused(group: OpenGroup) -> frozenset[str]:
    """What the target refuses and the source holds, by any of the collections."""
    source, target = group.sides[SOURCE], group.sides[TARGET]
    return frozenset(
        difference.code
        for collection in group.collections.values()
        for difference in compared(collection, source, target).of(Effect.REFUSED)
    )


def tried(source: str, target: str) -> tuple[frozenset[str], list[Tried]]:
    """What there is to refuse, and each write that was tried."""
    with dual_write(source, target) as (store, group, end):
        sides = [group.sides[name].driver for name in (SOURCE, TARGET)]
        before = [stored(driver, group.collections) for driver in sides]
        results = []
        for code, attempt in TRIES[sides[1].name].items():
            error: InvalidRequest | None = None
            try:
                attempt(store, end)
            except InvalidRequest as raised:
                error = raised
            after = [stored(driver, group.collections) for driver in sides]
            results.append(
                Tried(
                    code,
                    None if error is None else error.code,
                    None if error is None else error.driver,
                    after == before,
                )
            )
            before = after
        return refused(group) - UNREACHABLE[sides[1].name], results
