"""Records as texts, and what the scripts are told of a write or check.

A record is ``number LF stamp LF JSON``: the number of its write, the stamp as 20 digits or empty. A
text of another form is a record of another program: a JSON object of its fields. The SHA-1 of all
is the token: no two writes have one number, and another program's change is seen as well.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import sha1
from typing import Any

from polystore.driver import Check, Condition, Nothing, OlderThan, Stored, Unchanged, Write
from polystore.driver.bookkeeping import EXPIRES, WRITE_ID
from polystore.driver.document import decode_document, encode_document
from polystore.driver.keycodec import AFTER, encode_key, encode_part
from polystore.driver.policies import Policed
from polystore.errors import Unsupported
from polystore.schema import Collection, Index
from polystore.values import Fields, Key
from polystore_redis.settings import DRIVER

FIELDS = "f"
"""Member of the JSON that holds the fields; a tombstone has none."""

STAMPS = 2**63
"""Added to a stamp, so that its 20 digits are in its order."""


def document(write: Write) -> str:
    """What a put or tombstone keeps beside number and stamp, as JSON."""
    kept: Fields = {WRITE_ID: write.write_id, EXPIRES: write.expires}
    told = {name: value for name, value in kept.items() if value is not None}
    if write.fields is not None:
        names = write.collection.key_names
        told[FIELDS] = {name: v for name, v in write.fields.items() if name not in names}
    return encode_document(told)


def stored(collection: Collection, key: Key, raw: bytes | None) -> Stored | None:
    """The record of a text; ``None`` where there is none.

    Raises:
        Unsupported: it is none of ours, and no JSON object.
    """
    if raw is None:
        return None
    named: Fields = dict(zip(collection.key_names, key, strict=True))
    token = sha1(raw, usedforsecurity=False).hexdigest()
    number, _, rest = raw.decode().partition("\n")
    stamp, _, body = rest.partition("\n")
    try:
        if not number.isdecimal():
            return Stored(key, {**decode_document(raw.decode()), **named}, token)
        told: dict[str, Any] = decode_document(body)
    except (ValueError, TypeError):  # no JSON, no object
        raise Unsupported("the text of a record is no JSON object", driver=DRIVER) from None
    return Stored(
        key,
        {**named, **told[FIELDS]} if FIELDS in told else None,
        token,
        told.get(WRITE_ID),
        int(stamp) - STAMPS if stamp else None,
        told.get(EXPIRES),
    )


def places(index: Index) -> str:
    """What all places of an index begin with: they lie behind all keys."""
    return AFTER + encode_part(index.name)


def described(part: Write | Check, indexes: Iterable[Policed]) -> list[str]:
    """What the script is told: key, condition, its argument, operation, text, places in indexes.

    A place ends with U+0000 and how many bytes before it are the key.
    """
    key = encode_key(part.key)
    if not isinstance(part, Write):
        return [key, *_condition(part.condition), "check", "", ""]
    if part.fields is None and part.stamp is None:
        return [key, *_condition(part.condition), "delete", "", "[]"]
    entries = [(kept.index, kept.entry(part.fields, part.key)) for kept in indexes]
    length = len(key.encode())
    told = [f"{places(index)}{entry}\0{length}" for index, entry in entries if entry is not None]
    text = ("" if part.stamp is None else _digits(part.stamp)) + "\n" + document(part)
    return [key, *_condition(part.condition), "put", text, json.dumps(told)]


def _condition(condition: Condition) -> tuple[str, str]:
    if isinstance(condition, Unchanged):
        return "unchanged", str(condition.token)
    if isinstance(condition, OlderThan):
        return "older", _digits(condition.stamp)
    return ("nothing" if isinstance(condition, Nothing) else "anything"), ""


def _digits(stamp: int) -> str:
    return f"{stamp + STAMPS:020d}"
