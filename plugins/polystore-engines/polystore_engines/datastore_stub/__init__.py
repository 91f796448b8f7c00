"""Cloud Datastore v1 over gRPC, served from Google's own pure-Python datastore stub.

The official `google-cloud-datastore` client talks to it through DATASTORE_EMULATOR_HOST,
without docker, Java or a network:

    python -m polystore_engines.datastore_stub --project p

What comes from Google (`google.appengine.*`, distribution appengine-python-standard): entity
storage, the optimistic transactions (`LiveTxn`), the query pipeline (normalisation, filters,
projections, DISTINCT, sort order, cursors), the v1 validator and the v1 <-> v3 converters.
What is added here: the v1 calls, today's limits and status codes, snapshots for `read_time` and
for reads inside transactions, ordered indexes so that a page costs O(page), newer filters (IN,
NOT_IN, !=, OR, several inequalities), aggregations, property masks and transforms, conflict
strategies, several databases, transaction expiry and `POST /reset`.

Where it differs from Google's service:

- GQL and find_nearest are UNIMPLEMENTED, explain options are ignored.
- No composite index is ever required; the service answers FAILED_PRECONDITION without one.
- Concurrency control is optimistic, per entity and per query result: the loser gets ABORTED at
  commit, at once. The service has three modes, set per database.
- A stale base_version under SERVER_VALUE or no strategy is dropped with conflict_detected, as
  the service documents; Google's Datastore-mode emulator writes it. All agree on FAIL.
- An excluded entity value's sub-properties are not indexed; a list's entities' are.
- read_time is any microsecond of the last hour.
- No statistics kinds, quotas, IAM, latency or persistence.

A module here holds one idea: `appengine` loads Google's code and `patches` mends it; `tables`,
`transactions` and `database` store; `entities`, `masks`, `transforms` and `filters` translate;
`service` keeps state, and `lookups`, `queries`, `aggregations`, `commits` and `allocation` are
the calls; `serving` is the network.
"""
