"""Polystore: one portable store over many databases, and live migration between any two of them.

::

    store = polystore.open(
        "sqlite:///app.db", [Collection("orders", ["customer:str", "order:int"])]
    )
    orders = store["orders"]
    orders.put({"customer": "c1", "order": 17, "state": "draft"})
    orders.update("c1", 17, Set(state="paid"), when=If.field("state") == "draft")
    for order in orders.query("c1", sort=Between(10, 20)):
        ...

:mod:`polystore.aio` has the same for asyncio. What authors of drivers need is in
:mod:`polystore.driver` and :mod:`polystore.plugin`.
"""

from polystore import aio
from polystore.collection import OpenCollection, Query
from polystore.conditions import Condition, Field, If
from polystore.config import Config, Group, load, parse
from polystore.errors import (
    AlreadyExists,
    ConfigError,
    Conflict,
    Contention,
    CursorExpired,
    DeadlineExceeded,
    Declined,
    DriverError,
    GateClosed,
    IllegalEdge,
    InvalidKey,
    InvalidRequest,
    InvalidValue,
    LimitExceeded,
    MigrationError,
    MirrorPending,
    MixedHome,
    NotFound,
    OutcomeUnknown,
    PermissionDenied,
    PolystoreError,
    RetryAdvice,
    Throttled,
    Unavailable,
    UnknownDriver,
    Unsupported,
)
from polystore.queries import Above, Below, Between, From, Range, UpTo
from polystore.reading import Explanation, Page
from polystore.records import KEEP, Append, Change, Increment, Record, Remove, Set, Version
from polystore.schema import Collection, Index, KeyField
from polystore.store import (
    Store,
    Transaction,
    TransactionCollection,
    open,  # noqa: A004  # it is called as polystore.open
)
from polystore.values import GeoPoint, Ref

__all__ = [
    "KEEP",
    "Above",
    "AlreadyExists",
    "Append",
    "Below",
    "Between",
    "Change",
    "Collection",
    "Condition",
    "Config",
    "ConfigError",
    "Conflict",
    "Contention",
    "CursorExpired",
    "DeadlineExceeded",
    "Declined",
    "DriverError",
    "Explanation",
    "Field",
    "From",
    "GateClosed",
    "GeoPoint",
    "Group",
    "If",
    "IllegalEdge",
    "Increment",
    "Index",
    "InvalidKey",
    "InvalidRequest",
    "InvalidValue",
    "KeyField",
    "LimitExceeded",
    "MigrationError",
    "MirrorPending",
    "MixedHome",
    "NotFound",
    "OpenCollection",
    "OutcomeUnknown",
    "Page",
    "PermissionDenied",
    "PolystoreError",
    "Query",
    "Range",
    "Record",
    "Ref",
    "Remove",
    "RetryAdvice",
    "Set",
    "Store",
    "Throttled",
    "Transaction",
    "TransactionCollection",
    "Unavailable",
    "UnknownDriver",
    "Unsupported",
    "UpTo",
    "Version",
    "aio",
    "load",
    "open",
    "parse",
]
