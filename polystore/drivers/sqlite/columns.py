"""Native columns: which values a column keeps exactly, and what it shows where it cannot.

A column converts what is put into it by its affinity (https://sqlite.org/datatype3.html), and no
column keeps NaN. A value that would be lost goes to the document; the column then shows the
nearest native value, or nothing. Whoever changes the column afterwards is believed: the document
counts only as long as the column still shows what polystore put there.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import Any

import attrs

from polystore.driver.document import ABSENT


class Affinity(Enum):
    """What a column does to values; ``NONE`` leaves them alone."""

    INTEGER = "INTEGER"
    TEXT = "TEXT"
    NONE = "BLOB"
    REAL = "REAL"
    NUMERIC = "NUMERIC"

    @classmethod
    def of(cls, declared: str) -> Affinity:
        """The affinity of a declared type, by SQLite's own rules and in their order."""
        name = declared.upper()
        if "INT" in name:
            return cls.INTEGER
        if any(word in name for word in ("CHAR", "CLOB", "TEXT")):
            return cls.TEXT
        if not name or "BLOB" in name:
            return cls.NONE
        if any(word in name for word in ("REAL", "FLOA", "DOUB")):
            return cls.REAL
        return cls.NUMERIC


_KEYS: dict[type, frozenset[Affinity]] = {
    str: frozenset({Affinity.TEXT, Affinity.NONE}),
    int: frozenset({Affinity.INTEGER, Affinity.NUMERIC, Affinity.NONE}),
    bytes: frozenset({Affinity.NONE}),
}
_FILLERS: dict[Affinity, Any] = {
    Affinity.INTEGER: 0,
    Affinity.NUMERIC: 0,
    Affinity.REAL: 0.0,
    Affinity.TEXT: "",
    Affinity.NONE: b"",
}
_STRICT = {Affinity.INTEGER: int, Affinity.REAL: float, Affinity.TEXT: str}


@attrs.frozen
class Column:
    """One column of a table.

    Attributes:
        name: its name, as declared.
        affinity: what it does to values.
        required: whether it refuses NULL.
        strict: whether it refuses values of other types: a column of a STRICT table.
        generated: whether SQLite computes it: nobody writes it, and it is no field.
    """

    name: str
    affinity: Affinity
    required: bool
    strict: bool = False
    generated: bool = False

    def holds_key(self, kind: type) -> bool:
        """Whether key parts of this type keep their value and their order here."""
        return self.affinity in _KEYS[kind]

    def keeps(self, value: Any) -> bool:
        """Whether ``value`` comes back from this column as it was."""
        kind, affinity = type(value), self.affinity
        if value is None:
            return not self.required
        if self.strict and _STRICT.get(affinity, kind) is not kind:
            return False
        if kind is int:
            return affinity in {Affinity.INTEGER, Affinity.NUMERIC, Affinity.NONE}
        if kind is str:
            if affinity in {Affinity.TEXT, Affinity.NONE}:
                return True
            return not _looks_like_a_number(value)
        if kind is float:
            return self._keeps_float(value)
        return kind is bytes and affinity is Affinity.NONE

    def _keeps_float(self, value: float) -> bool:
        if math.isnan(value):
            return False
        if self.affinity is Affinity.REAL:
            return value != 0 or math.copysign(1, value) > 0
        if self.affinity in {Affinity.INTEGER, Affinity.NUMERIC}:
            return not value.is_integer()
        return self.affinity is Affinity.NONE

    def shows(self, value: Any) -> Any:
        """What this column holds where the document holds ``value``, or ``ABSENT``."""
        if value is not ABSENT and self.keeps(value):
            return value
        if type(value) is bool and self.affinity in {Affinity.INTEGER, Affinity.NUMERIC}:
            return int(value)
        return _FILLERS[self.affinity] if self.required else None


def _looks_like_a_number(text: str) -> bool:
    """Whether a numeric column might convert the text: what Python reads is a superset."""
    try:
        float(text.strip("\x00 \t\n\v\f\r"))
    except ValueError:
        return False
    return True
