"""What a write may be made to depend on, and tests of fields. Decided by the core, on a record.

``If.any``, ``If.absent``, ``If.present``, ``If.version(v)`` and field tests such as
``If.field("state") == "draft"``. Tests combine with ``&``, ``|`` and ``~``. ``==`` and ``!=``
compare type and value (``1`` is not ``1.0``); ``<``, ``<=``, ``>``, ``>=`` compare numbers by
size whatever their type, other values only with their own type, and are false otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from operator import ge, gt, le, lt
from typing import Any

import attrs

from polystore.records import Record, Version
from polystore.values import checked, same

_NUMBERS = frozenset({int, float, Decimal})
_ORDERS: Mapping[str, Callable[[Any, Any], bool]] = {"<": lt, "<=": le, ">": gt, ">=": ge}
_MISSING = object()


class Condition:
    """Something that is true or false of a record, or of the absence of one."""

    __slots__ = ()

    def holds(self, record: Record | None) -> bool:
        """Whether it is true of ``record``; ``None`` stands for no record."""
        raise NotImplementedError  # pragma: no cover  # each of the classes below says how

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
        alike = type(found) is type(self.value) or (
            type(found) in _NUMBERS and type(self.value) in _NUMBERS
        )
        try:
            return alike and _ORDERS[self.op](found, self.value)
        except TypeError:  # a type that has no order, such as a map
            return False


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
