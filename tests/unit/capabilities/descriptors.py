"""Descriptors of every shape, for Hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from polystore.capabilities import (
    CONDITIONS,
    Batches,
    Capabilities,
    EmptyIndexed,
    EmptyKey,
    Expiry,
    Filling,
    Freshness,
    Indexes,
    Keys,
    Limit,
    Reads,
    Records,
    Removal,
    Scope,
    Transactions,
    Values,
    Writes,
)

# Few different texts and numbers, so that equal ones meet often.
FEW = st.sampled_from(["a", "b"])
LIMITS = st.none() | st.builds(Limit, st.integers(1, 3), st.just("bytes"), FEW, FEW)

descriptors = st.builds(
    Capabilities,
    keys=st.builds(
        Keys,
        partition=LIMITS,
        sort=LIMITS,
        part=LIMITS,
        whole=LIMITS,
        empty=st.sampled_from(EmptyKey),
        int_min=st.integers(-2, 1),
        int_max=st.integers(5, 8),
    ),
    records=st.builds(Records, size=LIMITS, depth=LIMITS, name=LIMITS),
    values=st.builds(
        Values, size=LIMITS, native=st.frozensets(st.sampled_from(["int", "map", "text"]))
    ),
    writes=st.builds(Writes, conditions=st.frozensets(st.sampled_from(sorted(CONDITIONS)))),
    transactions=st.builds(Transactions, scope=st.sampled_from(Scope), items=LIMITS, size=LIMITS),
    batches=st.builds(Batches, read_keys=LIMITS, write_items=LIMITS),
    indexes=st.builds(
        Indexes,
        value=LIMITS,
        first=LIMITS,
        rest=LIMITS,
        empty=st.dictionaries(FEW, st.sampled_from(EmptyIndexed)),
        filled=st.sampled_from(Filling),
    ),
    reads=st.builds(
        Reads,
        point=st.sampled_from(Freshness),
        query=st.sampled_from(Freshness),
        index=st.sampled_from(Freshness),
    ),
    expiry=st.builds(Expiry, removal=st.sampled_from(Removal)),
)
