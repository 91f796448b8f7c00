"""Writes to items, items to records, and the tokens that compare them. No I/O."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from polystore.driver import Sizes, Stored, Token, Write
from polystore.driver.bookkeeping import STAMP, TOMBSTONE, WRITE_ID
from polystore.values import RESERVED
from polystore_dynamodb.codec import Item, Wire, decode_fields, decode_value, encode_fields
from polystore_dynamodb.expiry import expires_of, is_field, put_expiry
from polystore_dynamodb.limits import NAME
from polystore_dynamodb.placement import Table
from polystore_dynamodb.sizes import item_size, names, value_size


class AsRead:
    """Token of an item without a write id and stamp: all its attributes, as they were read.

    Two are equal if DynamoDB would call each attribute equal.
    """

    __slots__ = ("attributes",)

    def __init__(self, attributes: Item) -> None:
        self.attributes = attributes

    def __eq__(self, other: object) -> bool:
        if type(other) is not AsRead:
            return NotImplemented
        return bool(settled({"M": self.attributes}) == settled({"M": other.attributes}))

    __hash__ = None  # type: ignore[assignment]  # equality is deep, and nobody needs a hash


def settled(wire: Wire) -> Any:
    """An attribute value in a form that is equal exactly if DynamoDB says equal."""
    ((kind, raw),) = wire.items()
    if kind == "N":
        return kind, Decimal(raw)
    if kind == "NS":
        return kind, frozenset(map(Decimal, raw))
    if kind in ("SS", "BS"):
        return kind, frozenset(raw)
    if kind == "L":
        return kind, [settled(item) for item in raw]
    if kind == "M":
        return kind, {name: settled(item) for name, item in raw.items()}
    return kind, raw


def item_of(table: Table, write: Write) -> Item:
    """The whole item of a put, or of a tombstone."""
    fields = write.fields
    if fields is None:
        item = table.key_item(write.key)
        item[TOMBSTONE] = {"BOOL": True}
    else:
        item = encode_fields(fields, table.attributes)
        for attribute in table.keys:
            if attribute.field is None:
                item[attribute.name] = attribute.wire(write.key)
        for index in table.indexes:
            index.fill(item, fields, write.key)
    if write.write_id is not None:
        item[WRITE_ID] = {"S": write.write_id}
    if write.stamp is not None:
        item[STAMP] = {"N": str(write.stamp)}
    put_expiry(table.ttl, write, item)
    return item


def token_of(item: Item) -> Token:
    """What compares the state that this item is."""
    write_id = item.get(WRITE_ID)
    if write_id is not None:
        return ("w", write_id["S"])
    stamp = item.get(STAMP)
    return ("v", int(stamp["N"])) if stamp is not None else AsRead(item)


def written_token(write: Write, item: Item | None) -> Token:
    """The token of the state that a write left behind; ``None`` after a delete."""
    if item is None:
        return None
    return ("w", write.write_id) if write.write_id is not None else token_of(item)


def stored(table: Table, item: Item) -> Stored:
    """An item as a record."""
    write_id, stamp = item.get(WRITE_ID), item.get(STAMP)
    dead = TOMBSTONE in item
    return Stored(
        key=table.key_of(item),
        fields=None if dead else record_fields(table, item),
        token=token_of(item),
        write_id=None if write_id is None else write_id["S"],
        stamp=None if stamp is None else int(stamp["N"]),
        expires=expires_of(table.ttl, item),
    )


def record_fields(table: Table, item: Item) -> dict[str, Any]:
    """All fields of an item, key fields included."""
    fields = decode_fields(item, table.fields)
    ttl = table.ttl
    if ttl is not None and not ttl.startswith(RESERVED) and is_field(ttl, item):
        fields[ttl] = decode_value(item[ttl])
    return fields


def sizes(table: Table, write: Write) -> Sizes:
    """What a put or tombstone takes, exactly as DynamoDB counts it."""
    item = item_of(table, write)
    size = item_size(item)
    indexed = [[value_size(item[n]) if n in item else 0 for n, _ in i.key] for i in table.indexes]
    return Sizes(
        record=size,
        # An item that is smaller than the limit has no name that is over it.
        name=max(names({"M": item})) if size > NAME.most else 0,
        partition=value_size(item[table.hash.name]),
        sort=0 if table.range is None else value_size(item[table.range.name]),
        first=max((first for first, *_ in indexed), default=0),
        rest=max((size for _, *rest in indexed for size in rest), default=0),
    )
