"""The order of keys, and of an index, is one on all databases."""

from __future__ import annotations

import pytest

from polystore.driver.side import Side
from polystore.testing.orders import index_orders, key_orders


@pytest.mark.engine
@pytest.mark.rule("KEY-3", "QRY-1")
def test_keys_of_a_partition_have_one_order(sides: dict[str, Side]) -> None:
    """60 keys of each type are 5,310 pairs; the figures compare more, of more types."""
    compared = key_orders(sides, 60, ("str", "str-int", "path"))
    assert compared.differences == []
    assert compared.pairs > 2000


@pytest.mark.engine
@pytest.mark.rule("QRY-2", "QRY-3")
def test_entries_of_an_index_have_one_order(sides: dict[str, Side]) -> None:
    compared = index_orders(sides, 30, ("float", "mixed"))
    assert compared.differences == []
    assert compared.pairs > 500
