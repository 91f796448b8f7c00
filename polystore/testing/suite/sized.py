"""Every limit on what ``Driver.measure`` tells: records that come up to it, and beyond it.

Where a driver claims no such limit, ``beyond`` bytes are more than any other driver takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count
from typing import Any, TypeAlias

import attrs

from polystore.capabilities import Capabilities, Limit
from polystore.capabilities.algebra import leaves
from polystore.driver import Driver, Write
from polystore.schema import Collection
from polystore.testing.suite.calls import put

Padded: TypeAlias = Callable[[Collection, int], Write]
"""A write in which something has so many bytes, or a few more."""


_numbers = count(1)


@attrs.frozen
class Sized:
    """One limit.

    Attributes:
        code: its path in the capabilities.
        measured: the attribute of ``Sizes`` that it is about.
        padded: makes the writes.
        beyond: bytes that are over every driver's limit of this kind.
        key, declaration: what the collection is.
    """

    code: str
    measured: str
    padded: Padded
    beyond: int
    key: tuple[str, ...] = ("id",)
    declaration: Mapping[str, Any] = attrs.field(factory=dict)

    def at(self, driver: Driver, things: Collection, size: int) -> Write:
        """The write that measures ``size``; what surrounds the padding may grow with it."""
        padding = 0
        for _ in range(8):
            # A short id: what a write has beside its fields must not be what is over another limit.
            write = attrs.evolve(self.padded(things, padding), write_id=f"w{next(_numbers)}")
            lacking = size - getattr(driver.measure(write), self.measured)
            if not lacking:
                return write
            padding += lacking
        raise AssertionError(f"no write measures {size}")


def limit_of(promised: Capabilities, code: str) -> Limit | None:
    """The limit at a path of the capabilities."""
    found = dict(leaves(promised))[code]
    assert found is None or isinstance(found, Limit)
    return found


def _record(things: Collection, n: int) -> Write:
    more: dict[str, Any] = {"f": 1.5, "é": [None, {"a": b"\x00"}], "state": ""}
    return put(things, ("p", -7), stamp=2**41, one="x" * (n // 2), two="x" * (n - n // 2), **more)


def _six_parts(things: Collection, n: int) -> Write:
    """So that each part is far from a limit of its own."""
    part = "x" * (n // 6 or 1)
    return put(things, (part,) * 5 + (part + "x" * (n % 6 if n > 5 else 0),))


def _named(things: Collection, name: str) -> Write:
    fields: dict[str, Any] = {name: 1}
    return put(things, ("k",), **fields)


def _int_sort(things: Collection, n: int) -> Write:
    return put(things, ("x" * n or "x", 7))


BY_TWO: Mapping[str, Any] = {"indexes": {"by_two": ["state", "rank"]}}

SIZED: Mapping[str, Sized] = {
    "record": Sized(
        "records.size",
        "record",
        _record,
        2**21,
        ("p", "s:int"),
        {"indexes": {"by_state": ["state"]}},
    ),
    "name": Sized(
        "records.name", "name", lambda c, n: _named(c, "x" * n), 60_000
    ),
    "name inside": Sized(
        "records.name", "name", lambda c, n: put(c, ("k",), a=[{"b": {"é" + "x" * n: 1}}]), 60_000
    ),
    "text": Sized("values.size", "text", lambda c, n: put(c, ("k",), t="x" * n), 2**21),
    "bytes": Sized("values.size", "text", lambda c, n: put(c, ("k",), a=[b"x" * n]), 2**21),
    "partition, text": Sized(
        "keys.partition", "partition", lambda c, n: put(c, ("x" * n or "x", "s")), 7000, ("p", "s")
    ),
    "partition, int": Sized(
        "keys.partition", "partition", _int_sort, 7000, ("p", "s:int")
    ),
    "partition, bytes": Sized(
        "keys.partition",
        "partition",
        lambda c, n: put(c, (b"x" * n or b"x", "s")),
        7000,
        ("p:bytes", "s"),
    ),
    "sort": Sized(
        "keys.sort", "sort", lambda c, n: put(c, ("p", "x" * n or "x")), 7000, ("p", "s")
    ),
    "sort, encoded": Sized(
        "keys.sort",
        "sort",
        lambda c, n: put(c, ("p", -7, "x" * n or "x")),
        7000,
        ("p", "s:int", "t"),
    ),
    "part": Sized("keys.part", "part", lambda c, n: put(c, ("x" * n or "x",)), 7000),
    "part, encoded": Sized(
        "keys.part", "part", _int_sort, 7000, ("p", "s:int")
    ),
    "whole key": Sized(
        "keys.whole", "whole", _six_parts, 7000, tuple(f"k{i}" for i in range(6))
    ),
    "indexed": Sized(
        "indexes.value",
        "indexed",
        lambda c, n: put(c, ("k",), state="s", rank="x" * n),
        7000,
        declaration=BY_TWO,
    ),
    "first of an index": Sized(
        "indexes.first",
        "first",
        lambda c, n: put(c, ("k",), state="x" * n, rank="r"),
        7000,
        declaration=BY_TWO,
    ),
    "rest of an index": Sized(
        "indexes.rest",
        "rest",
        lambda c, n: put(c, ("k",), state="s", rank="x" * n),
        7000,
        declaration=BY_TWO,
    ),
}  # fmt: skip
"""By a name."""
