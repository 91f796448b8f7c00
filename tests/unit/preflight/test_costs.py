"""What calls will cost: computed from sizes, as each database counts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polystore.driver import Tariff
from polystore.migration.preflight.costs import Billed, Units, Usage, stage_costs, totals
from polystore_datastore.limits import TARIFF as DATASTORE
from polystore_dynamodb.limits import TARIFF as DYNAMODB

KIB = 1024
TARIFFS = (DATASTORE, DYNAMODB, Tariff())


def used(tariff: Tariff, *sizes: int, entries: int = 0) -> Billed:
    """Records of these sizes on one side."""
    usage = Usage()
    for size in sizes:
        usage.add(tariff, size, entries)
    return Billed(usage, tariff)


@pytest.mark.rule("PRE-7")
@pytest.mark.parametrize(
    ("size", "writes", "reads"),
    [
        (1, 1, 1),
        (KIB, 1, 1),
        (KIB + 1, 2, 1),
        (4 * KIB, 4, 1),
        (4 * KIB + 1, 5, 2),
        (400 * KIB, 400, 100),
    ],
)
def test_dynamodb_counts_writes_by_the_kib_and_reads_by_four(
    size: int, writes: int, reads: int
) -> None:
    assert DYNAMODB.write_units(size) == writes
    assert DYNAMODB.write_units(size, entries=2) == 3 * writes
    assert DYNAMODB.read_units(size) == reads
    assert (DATASTORE.write_units(size, entries=2), DATASTORE.read_units(size)) == (1, 1)


@pytest.mark.rule("PRE-7")
def test_a_put_of_a_small_record_in_each_stage_from_datastore_to_dynamodb() -> None:
    source, target = used(DATASTORE, 700, 300), used(DYNAMODB, 700, 300)
    told = {c.stage: (c.put_source, c.put_target) for c in stage_costs(source, target)}
    none, look = Units(), Units(writes=1, reads=1)
    assert told == {
        "source-only": (Units(writes=1), none),
        "prepare": (Units(writes=2, reads=1), none),
        "dual-write": (Units(writes=2, reads=1), Units(writes=1)),
        "dual-read, dial 0 %": (Units(writes=2, reads=1), Units(writes=1)),
        "dual-read, dial 100 %": (look, Units(writes=4, reads=1)),  # record and slot, each twice
        "target-only": (none, Units(writes=4, reads=1)),
        "clean": (none, Units(writes=1)),
    }
    reads = {c.stage: (c.get_source.reads, c.get_target.reads) for c in stage_costs(source, target)}
    stages = ("source-only", "dual-write", "dual-read, dial 100 %", "clean")
    assert [reads[stage] for stage in stages] == [(1, 0), (1, 0), (1, 1), (0, 1)]


@pytest.mark.rule("PRE-7")
def test_the_copy_reads_the_source_by_the_page_and_writes_each_record_and_index_entry() -> None:
    once = totals(used(DYNAMODB, 100, 5000), used(DATASTORE, 100, 5000))
    assert (once.copy_reads, once.copy_writes) == (2, 2)
    assert (once.verify_source, once.verify_target) == (2, 2)
    assert once.stored == 5100 + 2 * 32
    once = totals(used(DATASTORE, 100, 5000), used(DYNAMODB, 100, 5000, entries=1))
    assert (once.copy_reads, once.copy_writes) == (2, 2 * (1 + 5))
    assert once.stored == 2 * 5100 + 4 * 100


@pytest.mark.rule("PRE-7")
@given(
    st.sampled_from(TARIFFS),
    st.lists(st.tuples(st.integers(1, 500_000), st.integers(0, 3)), min_size=1),
    st.data(),
)
def test_parts_add_up_to_the_whole(
    tariff: Tariff, records: list[tuple[int, int]], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(records)))
    whole, parts = Usage(), [Usage(), Usage()]
    for at, (size, entries) in enumerate(records):
        whole.add(tariff, size, entries)
        parts[at >= cut].add(tariff, size, entries)
    parts[1].join(Usage.from_fields(parts[0].to_fields()))
    assert parts[1] == whole
    assert whole.writes >= len(records)
    assert whole.largest == max(size for size, _ in records)


@pytest.mark.rule("PRE-7")
def test_nothing_at_all_costs_nothing() -> None:
    none = used(DYNAMODB)
    assert totals(none, none).copy_writes == totals(none, none).stored == 0
    assert stage_costs(none, none)[0].put_source == Units()
