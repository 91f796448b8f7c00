"""Values to DynamoDB's attribute values and back. No I/O, no SDK.

A value is stored in its native form: str S, int N, bool BOOL, ``None`` NULL, bytes B, list L,
dict M, sets SS NS BS. Where the native form does not tell which value it was, the attribute
``_ps_t`` does: a map from a tag to the set of paths that have it. It names

====  ==============================  ==========================================
tag   value                           form
====  ==============================  ==========================================
f     float                           N by ``repr``; S where N cannot hold it
dE    Decimal with exponent E         N, where N alone would lose the exponent
d     Decimal                         S, where N cannot hold it
t     datetime                        N, microseconds since 1970
g     GeoPoint                        S, ``latitude,longitude``
k     Ref                             S, encoded key, the collection first
u     empty set                       NULL
====  ==============================  ==========================================

``f``, ``d`` and ``t`` also stand at sets. A path is a JSON pointer without its first slash, made
of the names as they are stored; ``*`` as the last step means every element of a list. A hint that
does not fit what stands there (another writer changed it) is left aside.

Without a hint an N is an int if it is integral and of 64 bits, and otherwise a Decimal.
"""

from polystore_dynamodb.codec.decode import decode_fields, decode_value
from polystore_dynamodb.codec.encode import ESCAPE, encode_fields
from polystore_dynamodb.codec.hints import HINTS, Item, Wire

__all__ = ["ESCAPE", "HINTS", "Item", "Wire", "decode_fields", "decode_value", "encode_fields"]
