"""Optimistic transactions: Google's, with reads from the snapshot of their start."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeAlias

from polystore_engines.datastore_stub.appengine import (
    Message,
    apiproxy_errors,
    datastore_pb,
    stub_util,
)
from polystore_engines.datastore_stub.ordering import key_value

CHANGED_SINCE_START = -3
"""A read position that Google's Commit finds stale."""

Rows: TypeAlias = list[tuple[Any, int]]
"""What a query gave: keys and versions."""


class Transaction(stub_util.LiveTxn):
    """Google's transaction; its reads, and its query results, are checked at commit."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.version = self._txn_manager.last_commit
        self.born = self.used = time.monotonic()
        self.queries: list[tuple[Callable[[], Rows], Rows]] = []

    @property
    def read_only(self) -> bool:
        """Whether it was begun so."""
        return bool(self._mode == datastore_pb.BeginTransactionRequest.READ_ONLY)

    def note_read(self, ref: Message) -> None:
        """Remembers that a key was read, so that a later change of it aborts the commit."""
        tracker = self._GetTracker(ref)
        if tracker._snapshot is None:
            tracker._GrabSnapshot(self._txn_manager)
            if self._txn_manager.last_version(key_value(ref)) > self.version:
                tracker._read_pos = CHANGED_SINCE_START

    def GetQueryCursor(self, query: Message, filters: Any, orders: Any, index_list: Any) -> Any:
        """Google's hook; any query is allowed here, not only those with an ancestor."""
        return self._txn_manager._GetQueryCursor(query, filters, orders, index_list)

    def _AddWriteOps(self, old_entity: Message, new_entity: Message) -> None:
        """Figures for a bill that nobody gets."""

    def Commit(self) -> Any:
        """Google's hook; a query that would give other rows now aborts the commit."""
        writes = any(t._put or t._delete for t in self._entity_groups.values())
        if writes and any(rerun() != before for rerun, before in self.queries):
            raise apiproxy_errors.ApplicationError(
                datastore_pb.Error.CONCURRENT_TRANSACTION, "A query result changed."
            )
        return super().Commit()
