"""Keys as text: lossless, in order, and with the text of leading parts as a prefix."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polystore.driver.keycodec import AFTER, decode_key, encode_key, escaped, unescaped
from polystore.testing import strategies as portable
from polystore.testing.suite.neutral import key_order

PARTS = portable.texts() | portable.ints() | portable.blobs()
KEYS = st.lists(PARTS, max_size=4).map(tuple)


def places(key: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """What a key is sorted by, where all keys have parts of the same types."""
    return [(part.encode() if type(part) is str else part,) for part in key]


@pytest.mark.rule("KEY-4")
@given(KEYS, KEYS)
def test_a_key_comes_back_and_different_keys_have_different_texts(
    one: tuple[Any, ...], other: tuple[Any, ...]
) -> None:
    assert decode_key(encode_key(one)) == one
    assert (encode_key(one) == encode_key(other)) == (one == other)


@pytest.mark.rule("KEY-3")
@given(st.data(), st.lists(st.sampled_from([str, int, bytes]), min_size=1, max_size=3))
def test_the_order_of_texts_is_the_order_of_keys(data: st.DataObject, kinds: list[type]) -> None:
    keys = st.tuples(*map(portable.key_parts, kinds))
    one, other = data.draw(keys), data.draw(keys)
    texts = [encode_key(key).encode() for key in (one, other)]
    assert (texts[0] < texts[1]) == (places(one) < places(other))


@pytest.mark.rule("KEY-3")
@settings(max_examples=max(200, settings().max_examples))
@given(st.data(), st.lists(st.sampled_from([str, int, bytes]), min_size=1, max_size=3))
def test_the_order_of_many_texts_is_the_order_of_keys(
    data: st.DataObject, kinds: list[type]
) -> None:
    """Each example compares 66 pairs, prefixes of keys among them: 13,200 in CI."""
    alike: dict[type, st.SearchStrategy[Any]] = {
        str: st.text("\x00\x01\x02\x03ab", max_size=2),
        int: st.integers(-2, 2),
        bytes: st.binary(max_size=1),
    }
    parts = [portable.key_parts(kind) | alike[kind] for kind in kinds]
    whole = data.draw(st.lists(st.tuples(*parts), min_size=8, max_size=8))
    keys = [*whole, *(key[:-1] for key in whole[:4])]
    for one, other in combinations(keys, 2):
        less = encode_key(one).encode() < encode_key(other).encode()
        assert less == (key_order(one) < key_order(other)), (one, other)


@given(KEYS, KEYS)
def test_the_text_of_leading_parts_is_a_prefix_of_just_their_keys(
    one: tuple[Any, ...], other: tuple[Any, ...]
) -> None:
    prefix, text = encode_key(one), encode_key(other)
    assert text.startswith(prefix) == (other[: len(one)] == one)
    assert (prefix <= text < prefix + AFTER) == text.startswith(prefix)


@given(PARTS)
def test_a_text_is_never_empty_and_holds_no_null(part: Any) -> None:
    text = encode_key((part,))
    assert text
    assert "\x00" not in text


@given(portable.texts(), portable.texts())
def test_escaping_keeps_text_and_order(one: str, other: str) -> None:
    assert unescaped(escaped(one)) == one
    assert not {"\x00", "\x01"} & set(escaped(one))
    assert (escaped(one) < escaped(other)) == (one < other)


@pytest.mark.rule("KEY-4")
@pytest.mark.parametrize(
    "text",
    [
        "sa",
        "\x01",
        "a\x01",
        "x1\x01",
        "i\x01",
        "i1\x01",
        "ifffffffffffffffff\x01",
        "iABCDEF0123456789\x01",
        "i0_00000000000000\x01",
        "bA0\x01",
        "ba\x01",
        "b61 62\x01",
        "s\x00\x01",
        "s\x02\x01",
        "s\x02x\x01",
    ],
)
def test_a_text_that_no_key_has_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not an e|invalid literal|hexadecimal"):
        decode_key(text)


@given(st.text("sib\x00\x01\x02\x0305af", max_size=20))
def test_a_text_is_decoded_only_if_it_is_the_text_of_that_key(text: str) -> None:
    try:
        key = decode_key(text)
    except ValueError:
        return
    assert encode_key(key) == text
