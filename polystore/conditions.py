"""What a write may be made to depend on, and tests of fields. Decided by the core, on a record.

``If.any``, ``If.absent``, ``If.present``, ``If.version(v)`` and field tests such as
``If.field("state") == "draft"``. Tests combine with ``&``, ``|`` and ``~``. ``==`` and ``!=``
compare type and value (``1`` is not ``1.0``); ``<``, ``<=``, ``>``, ``>=`` compare numbers by
size whatever their type, and bool, str, bytes and datetime with their own type; they are false of
all else, and of NaN. Every test of a field that the record lacks is false.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from math import isnan
from operator import ge, gt, le, lt
from typing import Any

import attrs

from polystore.records import Record, Version
from polystore.values import checked, same

_NUMBERS = frozenset({int, float, Decimal})
_ORDERED = frozenset({bool, str, bytes, datetime})
_ORDERS: Mapping[str, Callable[[Any, Any], bool]] = {"<": lt, "<=": le, ">": gt, ">=": ge}
_MISSING = object()


class Condition:
    """Something that is true or false of a record, or of the absence of one."""

    __slots__ = ()

    def holds(self, record: Record | None) -> bool:
        """Whether it is true of ``record``; ``None`` stands for no record."""
        raise NotImplementedError  # pragma: no cover  # each of the classes below says how

    def __bool__(self) -> bool:
        # `a and b`, `not a` and `1 < field < 3` would silently drop one of their parts.
        raise TypeError("a condition has no truth of its own: combine with & | ~")

    def __and__(self, other: Condition) -> Condition:
        return All((self, other))

    def __or__(self, other: Condition) -> Condition:
        return Some((self, other))

    def __invert__(self) -> Condition:
        return Not(self)


@attrs.frozen
class Always(Condition):
    """True of everything: an unconditional write."""

    def holds(self, record: Record | None) -> bool:
        return True


@attrs.frozen
class Absent(Condition):
    """True where there is no record."""

    def holds(self, record: Record | None) -> bool:
        return record is None


@attrs.frozen
class Present(Condition):
    """True where there is a record."""

    def holds(self, record: Record | None) -> bool:
        return record is not None


@attrs.frozen
class AtVersion(Condition):
    """True of a record in exactly this state."""

    version: Version

    def holds(self, record: Record | None) -> bool:
        return record is not None and record.version == self.version


@attrs.frozen
class Test(Condition):
    """A comparison of one field with a value. ``op`` is ``== != < <= > >=`` or ``exists``.

    ``path`` is the name of a field, or names joined by dots to reach into maps.
    """

    __test__ = False  # not a test case, whatever pytest thinks of the name

    path: str
    op: str
    value: Any = None

    def holds(self, record: Record | None) -> bool:
        found = _MISSING if record is None else _reach(record, self.path)
        if self.op == "exists":
            return found is not _MISSING
        if found is _MISSING:
            return False
        if self.op in ("==", "!="):
            return same(found, self.value) is (self.op == "==")
        return _comparable(found, self.value) and _ORDERS[self.op](found, self.value)


@attrs.frozen
class All(Condition):
    """True where each part is."""

    parts: tuple[Condition, ...]

    def holds(self, record: Record | None) -> bool:
        return all(part.holds(record) for part in self.parts)


@attrs.frozen
class Some(Condition):
    """True where at least one part is."""

    parts: tuple[Condition, ...]

    def holds(self, record: Record | None) -> bool:
        return any(part.holds(record) for part in self.parts)


@attrs.frozen
class Not(Condition):
    """True where the other is false."""

    part: Condition

    def holds(self, record: Record | None) -> bool:
        return not self.part.holds(record)


def _comparable(one: Any, other: Any) -> bool:
    if type(one) in _NUMBERS and type(other) in _NUMBERS:
        return not (isnan(one) or isnan(other))  # comparing NaN to a Decimal raises
    return type(one) is type(other) and type(one) in _ORDERED


def _reach(record: Mapping[str, Any], path: str) -> Any:
    found: Any = record
    for name in path.split("."):
        if not isinstance(found, Mapping) or name not in found:
            return _MISSING
        found = found[name]
    return found


@attrs.frozen(eq=False)
class Field:
    """A field to test: ``Field("total") > 10``. Comparing it makes a :class:`Test`."""

    path: str

    def _test(self, op: str, value: object) -> Condition:
        return Test(self.path, op, checked(value, self.path))

    def __eq__(self, value: object) -> Condition:  # type: ignore[override]  # makes a test
        return self._test("==", value)

    def __ne__(self, value: object) -> Condition:  # type: ignore[override]  # makes a test
        return self._test("!=", value)

    def __lt__(self, value: object) -> Condition:
        return self._test("<", value)

    def __le__(self, value: object) -> Condition:
        return self._test("<=", value)

    def __gt__(self, value: object) -> Condition:
        return self._test(">", value)

    def __ge__(self, value: object) -> Condition:
        return self._test(">=", value)

    __hash__ = None  # type: ignore[assignment]  # equality makes a test, so it cannot be a key

    def exists(self) -> Condition:
        """True where the record has this field, whatever it holds."""
        return Test(self.path, "exists")


class If:
    """The conditions by name."""

    any: Condition = Always()
    absent: Condition = Absent()
    present: Condition = Present()

    @staticmethod
    def version(version: Version) -> Condition:
        """True of a record in exactly the state that ``version`` marks."""
        return AtVersion(version)

    @staticmethod
    def field(path: str) -> Field:
        """A field to compare: ``If.field("state") == "draft"``."""
        return Field(path)
