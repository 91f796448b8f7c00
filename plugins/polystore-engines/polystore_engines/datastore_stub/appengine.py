"""Loads Google's App Engine modules, which want a client library that no longer exists.

They import `googledatastore`, the Cloud Datastore client of 2016, for its message classes only.
A module of that name, filled with today's v1 messages, serves them. It has to be in place before
the first of them is imported, hence `import_module` below; and since none of them has types,
everything that comes from here is Any, and says so.
"""

from __future__ import annotations

import sys
import types
from importlib import import_module
from typing import Any, TypeAlias

from google.cloud.datastore_v1 import types as v1

from polystore_engines.datastore_stub.timestamps import to_micros, to_timestamp

Message: TypeAlias = Any
"""A protobuf message, v1 or v3: Google makes their classes at run time, without types."""


def _old_client() -> Any:
    shim: Any = types.ModuleType("googledatastore")
    shim.VERSION, shim.NULL_VALUE = (6, 0, 0), 0
    for name in v1.__all__:
        message = getattr(v1, name)
        if hasattr(message, "pb"):
            setattr(shim, name, message.pb())
    operators = dict(v1.PropertyFilter.pb().Operator.items())
    shim.PropertyFilter = types.SimpleNamespace(HAS_PARENT=-1, **operators)
    shim.code_pb2 = import_module("google.rpc.code_pb2")
    shim.helper = types.SimpleNamespace(
        micros_from_timestamp=to_micros,
        micros_to_timestamp=lambda micros, stamp: stamp.CopyFrom(to_timestamp(micros)),
    )
    return shim


gd: Any = _old_client()
"""The v1 messages, by their names in google.datastore.v1."""

sys.modules["googledatastore"] = gd

file_stub: Any = import_module("google.appengine.api.datastore_file_stub")
datastore_types: Any = import_module("google.appengine.api.datastore_types")
validator: Any = import_module("google.appengine.datastore.cloud_datastore_validator")
datastore_pb: Any = import_module("google.appengine.datastore.datastore_pb")
datastore_pbs: Any = import_module("google.appengine.datastore.datastore_pbs")
stub_util: Any = import_module("google.appengine.datastore.datastore_stub_util")
v3: Any = import_module("google.appengine.datastore.entity_bytes_pb2")
apiproxy_errors: Any = import_module("google.appengine.runtime.apiproxy_errors")

Op: Any = gd.PropertyFilter
"""The operators of property filters."""

INEQUALITIES = frozenset(
    {Op.LESS_THAN, Op.LESS_THAN_OR_EQUAL, Op.GREATER_THAN, Op.GREATER_THAN_OR_EQUAL}
)
