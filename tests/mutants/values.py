"""Broken drivers: values that come back as others."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import attrs

from polystore.driver import Token, Write
from polystore.drivers.memory import MemoryDriver
from polystore.drivers.memory.table import Table
from polystore.values import Fields


class Changing(MemoryDriver):
    """It stores another value for some."""

    def changed(self, value: Any) -> Any:
        raise NotImplementedError

    def _apply(self, table: Table, write: Write) -> Token:
        fields = write.fields
        if fields is not None:
            kept = write.collection.key_names
            changed = {n: v if n in kept else self.changed(v) for n, v in fields.items()}
            write = attrs.evolve(write, fields=changed)
        return super()._apply(table, write)


class FloatThroughText(Changing):
    """Six digits of it."""

    def changed(self, value: Any) -> Any:
        return float(f"{value:g}") if type(value) is float else value


class IntThroughFloat(Changing):
    """53 bits of it."""

    def changed(self, value: Any) -> Any:
        return int(float(value)) if type(value) is int else value


class FloatWithoutFractionAsInt(Changing):
    """1.0 comes back as 1."""

    def changed(self, value: Any) -> Any:
        return int(value) if type(value) is float and value.is_integer() else value


class DecimalNormalised(Changing):
    """1.50 comes back as 1.5."""

    def changed(self, value: Any) -> Any:
        return value.normalize() if type(value) is Decimal else value


class BoolAsInt(Changing):
    """True comes back as 1."""

    def changed(self, value: Any) -> Any:
        return int(value) if type(value) is bool else value


class Milliseconds(Changing):
    """A moment to the millisecond."""

    def changed(self, value: Any) -> Any:
        if type(value) is datetime:
            return value.replace(microsecond=value.microsecond // 1000 * 1000)
        return value


class SetAsList(Changing):
    """It has no sets."""

    def changed(self, value: Any) -> Any:
        return sorted(value, key=repr) if type(value) is frozenset else value


class EmptyTextAsNone(Changing):
    """It has no empty text."""

    def changed(self, value: Any) -> Any:
        return None if value == "" else value


class TextStripped(Changing):
    """It takes spaces off the ends."""

    def changed(self, value: Any) -> Any:
        return value.rstrip(" ") if type(value) is str else value


class ListsCut(Changing):
    """A list has 1,000 items."""

    def changed(self, value: Any) -> Any:
        return value[:1000] if type(value) is list else value


class BytesCut(Changing):
    """It has 64 KiB for bytes."""

    def changed(self, value: Any) -> Any:
        return value[:65535] if type(value) is bytes else value


class ListsOfOneType(Changing):
    """A number among floats is a float."""

    def changed(self, value: Any) -> Any:
        numbers = type(value) is list and {type(item) for item in value} == {int, float}
        return [float(item) for item in value] if numbers else value


class MarksOfAnybody(Changing):
    """A Decimal lies in the database as what an application may write, too."""

    def changed(self, value: Any) -> Any:
        marked = type(value) is dict and value.keys() == {"__decimal__"}
        return Decimal(value["__decimal__"]) if marked else value


class DatesOfAnybody(Changing):
    """The same of a moment."""

    def changed(self, value: Any) -> Any:
        marked = type(value) is dict and value.keys() == {"$date"}
        text = value["$date"] if marked else ""
        return datetime.fromisoformat(text) if "T" in text else value


class DatesOfItsPlace(Changing):
    """A moment comes back as the same one elsewhere."""

    def changed(self, value: Any) -> Any:
        if type(value) is datetime and value.year > 1:
            return value.astimezone(timezone(-timedelta(hours=2)))
        return value


class PutMerges(MemoryDriver):
    """A put leaves the fields of the record before."""

    def _apply(self, table: Table, write: Write) -> Token:
        row = table.rows.get(write.key)
        if write.fields is not None and row is not None and row.fields is not None:
            fields: Fields = {**row.fields, **write.fields}
            write = attrs.evolve(write, fields=fields)
        return super()._apply(table, write)


class KeysWithoutCase(MemoryDriver):
    """Two keys that differ in case alone are one."""

    def _apply(self, table: Table, write: Write) -> Token:
        key: Any = tuple(p.lower() if isinstance(p, str) else p for p in write.key)
        return super()._apply(table, attrs.evolve(write, key=key))
