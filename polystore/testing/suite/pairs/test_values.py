"""Every kind of value and of key part, at each place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from polystore.capabilities import Capabilities, EmptyKey
from polystore.conditions import If
from polystore.records import Set
from polystore.testing import strategies
from polystore.testing.pairs import NAMES, Pair, Stand
from polystore.testing.suite.pairs.records import item
from polystore.values import GeoPoint, Key, Ref, same

KINDS: Mapping[str, tuple[Any, ...]] = {
    "null and bool": (None, True, False),
    "int": strategies.ODD_INTS,
    "float": strategies.ODD_FLOATS,
    "Decimal": strategies.ODD_DECIMALS,
    "str": strategies.ODD_TEXTS,
    "bytes": (b"", b"\x00", b"\xff\xfe", bytes(range(256))),
    "datetime": strategies.ODD_DATETIMES,
    "list": ([], [None], [[]], [1, 1.0, True, "1"], [[b""], {}]),
    "dict": ({}, {"": None}, {"a.b": {"$x": []}}, {"0": 0, "1": {"2": [3.0]}}),
    "set": (frozenset(), frozenset({""}), frozenset({1, 2}), frozenset({b"\x00"})),
    "GeoPoint": (GeoPoint(0.0, -0.0), GeoPoint(-90.0, 180.0)),
    "Ref": (Ref("items", ("a", 1)), Ref("names", ("", -1, b"\x00"))),
    "large": strategies.LARGE,
}
"""Values by kind, those that databases change."""

PARTS: Mapping[str, tuple[Key, ...]] = {
    "str": tuple(
        (text, 1, b"x") for text in ("a", "A", "é", "a\x00b", "\x01", "a/b", "0", "", " ")
    ),
    "int": tuple(("n", number, b"x") for number in (1, 2**53, 2**63 - 1, 0, -1, -(2**63))),
    "bytes": tuple(
        ("b", 1, raw) for raw in (b"a", b"\x00", b"a\x00", b"\xff", bytes(range(64)), b"")
    ),
}
"""Keys of the collection ``names``, by the part that is odd."""


def can_hold(promised: Capabilities, key: Key) -> bool:
    """Whether a database that promises this holds such a key."""
    text, number, raw = key
    assert isinstance(number, int)
    empty = promised.keys.empty is EmptyKey.REJECTED and (text == "" or raw == b"")
    return not empty and promised.keys.int_min <= number <= promised.keys.int_max


@pytest.mark.share(16)
@pytest.mark.claims("transactions over the store")
@pytest.mark.rule("VAL-2", "VAL-7", "VAL-11", "REC-1", "REC-4", "CNF-8")
@pytest.mark.parametrize("kind", KINDS)
def test_every_value_of_a_kind_is_the_same_on_both_sides(stand: Stand, kind: str) -> None:
    key = (stand.owner(), 1)
    written = item(key, **{f"f{n}": value for n, value in enumerate(KINDS[kind])})
    version = stand.put(0, written)
    record = stand.get(1, key)
    assert record is not None
    assert same(dict(record), written)
    assert record.version == version
    stand.agree([key])
    again = stand.update(1, key, Set(v=1), when=If.version(version))
    record = stand.get(0, key)
    assert record is not None
    assert same(dict(record), {**written, "v": 1})
    assert record.version == again
    stand.agree([key])


@pytest.mark.share(8)
@pytest.mark.claims("transactions over the store")
@pytest.mark.rule("KEY-1", "KEY-4", "KEY-5", "REC-1", "CNF-8")
@pytest.mark.parametrize("part", PARTS)
def test_every_kind_of_key_part_names_one_record(pair: Pair, stand: Stand, part: str) -> None:
    promised = pair.promised(NAMES)
    keys = [key for key in PARTS[part] if can_hold(promised, key)]
    mark = stand.owner()
    for number, key in enumerate(keys):
        record = dict(zip(NAMES.key_names, key, strict=True)) | {"mark": mark, "n": number}
        stand.put(number % 2, record, of=NAMES)
    found = stand.get_many(1, keys, of=NAMES)
    assert [(r and r.key, r and r["mark"], r and r["n"]) for r in found] == [
        (key, mark, number) for number, key in enumerate(keys)
    ]
    stand.agree(keys, NAMES)
