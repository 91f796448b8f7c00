"""Mends Google's modules: Python 3 bugs, limits of 2016, work that nobody needs."""

from __future__ import annotations

import sys
from typing import Any

from polystore_engines.datastore_stub.appengine import (
    Message,
    datastore_pbs,
    datastore_types,
    file_stub,
    stub_util,
    validator,
)
from polystore_engines.datastore_stub.limits import BATCH_ROWS, MAX_INDEXED_BYTES
from polystore_engines.datastore_stub.ordering import key_value


class StoredEntity:
    """Google's _StoredEntity without the serialised copy that only saving to disk needs."""

    def __init__(self, record: Any) -> None:
        self.record = record


def same_entity(old: Message, new: Message) -> bool:
    """Whether a write changes nothing: it keeps the version, as in the service."""
    if old is None or new is None:
        return old is new
    return bool(old.raw_property[0] == new.raw_property[0])


def apply() -> None:
    """Patches the modules; once, before the first database is made."""
    datastore_types.ReferenceToKeyValue = key_value
    datastore_pbs.MAX_INDEXED_STRING_CHARS = MAX_INDEXED_BYTES
    datastore_pbs.MAX_INDEXED_BLOB_BYTES = MAX_INDEXED_BYTES
    stub_util._MAX_EG_PER_TXN = sys.maxsize  # the service has no entity-group limit any more
    stub_util._MAXIMUM_RESULTS = stub_util.BaseDatastore._BATCH_SIZE = BATCH_ROWS
    stub_util._SCATTER_PROPORTION = 512  # gives 1 entity in 128 a __scatter__
    stub_util._IsNoOpWrite = same_entity
    file_stub._StoredEntity = StoredEntity
    # Conflicts are per entity, not per entity group: every entity is its own group.
    stub_util._GetEntityGroup = lambda ref: ref
    # Byte limits and indexed entity values are checked in `entities` instead.
    validator._EntityValidator._EntityValidator__validate_value_index_constraints = (
        lambda self, value: None
    )
    # The strings of Python 3's protobuf always are.
    validator._assert_valid_utf8 = lambda string, desc: None
