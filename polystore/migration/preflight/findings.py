"""What a preflight finds, and how findings add up over records, segments and processes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import Any

import attrs

from polystore.errors import InvalidRequest, LimitExceeded
from polystore.route.checks import Violation
from polystore.values import Fields, Key, KeyPart

MOST_EXAMPLES = 10
"""Example keys of one finding."""

PART_SHOWN = 200
"""Characters or bytes of one part of an example key that are kept; what is cut ends with …"""


UNREADABLE = "unreadable"
"""Code of what a driver cannot make out."""


class Kind(Enum):
    """What would become of a record: the target refuses it, or orders or stores it otherwise."""

    REFUSE = "refuse"
    REORDER = "reorder"
    TRANSLATE = "translate"


@attrs.frozen
class Cause:
    """What one finding is about; findings with equal causes are one.

    Attributes:
        kind: what would become of the records.
        code: path of the promise in the capabilities, such as ``records.size``; stable.
        driver: name of the driver whose promise it is, or ``""``.
        path: the key field or index concerned, where the cause is one of it.
    """

    kind: Kind
    code: str
    driver: str = ""
    path: str = ""

    @property
    def name(self) -> str:
        """Names it in one collection: in the control store, and for people who settle it."""
        at = f"@{self.driver}" if self.driver else ""
        return f"{self.code}{at}" + (f":{self.path}" if self.path else "")


@attrs.define
class Cases:
    """The records of one cause, added up.

    Attributes:
        count: how many.
        worst: largest size that was measured, 0 where there is nothing to measure.
        limit, unit: the limit of that size; 0 and ``""`` where there is none.
        says: what is wrong with the worst, for a person; never a value.
        examples: up to ten sizes and keys, the largest sizes first.
    """

    count: int = 0
    worst: int = 0
    limit: int = 0
    unit: str = ""
    says: str = ""
    examples: list[tuple[int, Key]] = attrs.field(factory=list)

    def add(self, key: Key, says: str, size: int = 0, limit: int = 0, unit: str = "") -> None:
        """Count one more record."""
        self.count += 1
        if not self.says or size > self.worst:
            self.worst, self.limit, self.unit, self.says = size, limit, unit, says
        if len(self.examples) < MOST_EXAMPLES or size > self.examples[-1][0]:
            self._keep([(size, shown_key(key))])

    def join(self, other: Cases) -> None:
        """Count all that ``other`` counted."""
        self.count += other.count
        if not self.says or other.worst > self.worst:
            self.worst, self.limit, self.unit = other.worst, other.limit, other.unit
            self.says = other.says
        self._keep(other.examples)

    def _keep(self, examples: Iterable[tuple[int, Key]]) -> None:
        known = {key for _, key in self.examples}
        self.examples += [e for e in examples if e[1] not in known]
        self.examples.sort(key=lambda example: -example[0])
        del self.examples[MOST_EXAMPLES:]

    def to_fields(self) -> Fields:
        """As fields of a record of the control store."""
        examples: list[Any] = [[size, *key] for size, key in self.examples]
        return {
            "count": self.count, "worst": self.worst, "limit": self.limit, "unit": self.unit,
            "says": self.says, "examples": examples,
        }  # fmt: skip

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Cases:
        """What :meth:`to_fields` made."""
        found = {a.name: fields[a.name] for a in attrs.fields(cls)}
        examples = [(size, tuple(key)) for size, *key in found.pop("examples")]
        return cls(**found, examples=examples)


class Findings:
    """Findings of one collection, by cause."""

    def __init__(self) -> None:
        self._cases: dict[Cause, Cases] = {}

    def __iter__(self) -> Iterator[tuple[Cause, Cases]]:
        return iter(self._cases.items())

    def __bool__(self) -> bool:
        return bool(self._cases)

    def of(self, cause: Cause) -> Cases:
        """The cases of a cause, to add to."""
        return self._cases.setdefault(cause, Cases())

    def join(self, other: Findings) -> None:
        """Count all that ``other`` counted."""
        for cause, cases in other:
            self.of(cause).join(cases)

    def violated(self, key: Key, violations: Iterable[Violation]) -> None:
        """Count a record once for each thing of it that a side cannot hold."""
        causes = set()
        for found in violations:
            cause = cause_of(found)
            if cause in causes:
                continue
            causes.add(cause)
            limit = found.limit
            if limit is None:
                self.of(cause).add(key, found.says)
            else:
                self.of(cause).add(key, found.says, found.size, limit.most, limit.unit)

    def refused(self, key: Key, code: str, error: InvalidRequest) -> None:
        """Count a record or transaction that raised an error of the tree."""
        cases = self.of(Cause(Kind.REFUSE, code, error.driver or ""))
        if isinstance(error, LimitExceeded):
            cases.add(key, error.message, error.size, error.limit, error.unit)
        else:
            cases.add(key, error.message)

    def to_fields(self) -> list[Fields]:
        """As a value of the control store."""
        return [{**_plain(cause), **cases.to_fields()} for cause, cases in self]

    @classmethod
    def from_fields(cls, found: Iterable[Mapping[str, Any]]) -> Findings:
        """What :meth:`to_fields` made."""
        findings = cls()
        for fields in found:
            cause = Cause(Kind(fields["kind"]), fields["code"], fields["driver"], fields["path"])
            findings._cases[cause] = Cases.from_fields(fields)
        return findings


def cause_of(violation: Violation) -> Cause:
    """What a violation is a case of. Fields of records are no causes: there may be any number."""
    declared = violation.code.startswith(("keys.", "indexes."))
    path = violation.path if declared else ""
    return Cause(Kind.REFUSE, violation.code, violation.driver or "", path)


def unreadable(driver: str) -> Cause:
    """What a record is found for that a driver cannot make out."""
    return Cause(Kind.REFUSE, UNREADABLE, driver)


def shown_key(key: Key) -> Key:
    """A key as an example: long parts are cut, so that the control store holds it."""
    return tuple(map(_cut, key))


def _cut(part: KeyPart) -> KeyPart:
    if isinstance(part, int) or len(part) <= PART_SHOWN:
        return part
    head = part[:PART_SHOWN]
    return head + "…" if isinstance(head, str) else head + b"..."


def _plain(cause: Cause) -> Fields:
    return {
        "kind": cause.kind.value, "code": cause.code, "driver": cause.driver, "path": cause.path,
    }  # fmt: skip
