"""The order of keys, and of an index, is one on all databases."""

from __future__ import annotations

import pytest

from polystore.driver.side import Side
from polystore.testing.orders import index_orders, key_orders


@pytest.mark.engine
@pytest.mark.rule("KEY-3", "QRY-1")
def test_keys_of_a_partition_have_one_order(sides: dict[str, Side]) -> None:
    """40 keys of each type are 3,900 pairs; the figures compare more."""
    compared = key_orders(sides, 40)
    assert compared.differences == []
    assert compared.pairs > 2000


@pytest.mark.engine
@pytest.mark.rule("QRY-2", "QRY-3")
def test_entries_of_an_index_have_one_order(sides: dict[str, Side]) -> None:
    compared = index_orders(sides, 20)
    assert compared.differences == []
    assert compared.pairs > 1000
