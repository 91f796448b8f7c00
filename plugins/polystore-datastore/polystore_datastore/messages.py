"""The messages of the Datastore API as raw protobufs, without proto-plus around them.

Building and reading them costs half of what the high-level client takes (performance-floor 2).
"""

from __future__ import annotations

from typing import Any, TypeAlias

from google.cloud.datastore_v1.types import datastore, entity

Message: TypeAlias = Any
"""A protobuf message; its classes are made at run time and have no types."""

CommitRequest: Any = datastore.CommitRequest.pb()
CommitResponse: Any = datastore.CommitResponse.pb()
LookupRequest: Any = datastore.LookupRequest.pb()
LookupResponse: Any = datastore.LookupResponse.pb()
RunQueryRequest: Any = datastore.RunQueryRequest.pb()
RunQueryResponse: Any = datastore.RunQueryResponse.pb()
Entity: Any = entity.Entity.pb()
Key: Any = entity.Key.pb()
Value: Any = entity.Value.pb()

TRANSACTIONAL, NON_TRANSACTIONAL = 1, 2
"""``CommitRequest.Mode``."""

FAIL = 3
"""``Mutation.ConflictResolutionStrategy``: an error instead of a mutation dropped in silence."""

EVENTUAL = 2
"""``ReadOptions.ReadConsistency``."""

LESS, LESS_OR_EQUAL, GREATER, GREATER_OR_EQUAL, EQUAL = 1, 2, 3, 4, 5
"""``PropertyFilter.Operator``."""

AND = 1
"""``CompositeFilter.Operator``."""

ASCENDING, DESCENDING = 1, 2
"""``PropertyOrder.Direction``."""

NOT_FINISHED, NO_MORE_RESULTS = 1, 3
"""``QueryResultBatch.MoreResultsType``."""
