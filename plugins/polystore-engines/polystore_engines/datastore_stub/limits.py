"""Limits of the current Cloud Datastore service.

Source: cloud.google.com/datastore/docs/concepts/limits and .../concepts/queries, read in
November 2026; where Google's emulators enforce one too, it was compared with them.
"""

MAX_INDEXED_BYTES = 1500
"""Indexed string or blob, kind, key name, property name."""

MAX_VALUE_BYTES = 1_048_487
"""String or blob that is excluded from indexes."""

MAX_ENTITY_BYTES = 1_048_572
MAX_REQUEST_BYTES = 10 * 1024 * 1024
MAX_KEY_BYTES = 6 * 1024
MAX_INDEX_ENTRIES = 20_000

MAX_DEPTH = 20
"""Levels of entity values inside entity values."""

MAX_TRANSFORMS = 500
MAX_LOOKUP_KEYS = 1000
MAX_AGGREGATIONS = 5
MAX_DISJUNCTIONS = 30
MAX_NOT_IN = 10

TXN_IDLE_SECONDS = 60.0
TXN_TOTAL_SECONDS = 270.0

STALE_READ_SECONDS = 3600
"""How far read_time reaches back without point-in-time recovery."""

BATCH_ROWS = 300
"""Rows of one query page; the service's own number varies."""

BATCH_BYTES = 2_000_000
"""A page or lookup answer ends with the entity that passes this."""
