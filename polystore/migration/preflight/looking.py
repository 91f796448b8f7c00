"""What a preflight says of one record, and adds up over many. Pure.

A record is looked at in the form that it will have from ``prepare`` on, with write id and stamp,
so that one that just fits today, and would not tomorrow, is found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from polystore.capabilities import EmptyIndexed
from polystore.driver import Stored, Unreadable, Write
from polystore.driver.ordering import SCALARS
from polystore.driver.policies import unfit
from polystore.driver.side import Side
from polystore.errors import InvalidRequest
from polystore.kinds import kinds_in
from polystore.migration.group import OpenGroup
from polystore.migration.preflight.costs import Usage
from polystore.migration.preflight.findings import Cases, Cause, Findings, Kind, unreadable
from polystore.migration.stages import SOURCE, TARGET
from polystore.route.checks import UNFIT
from polystore.schema import Collection, Index
from polystore.values import Fields, Key, checked_fields

WRITE_ID = "0123456789abcdef.0123456789"
"""As long as a write id gets: 64 random bits, and a counter up to 2^40."""

MIXED = "indexes.mixed"
NATIVE = "values.native"
VALUES = "values"


@attrs.define
class Tally:
    """What was looked at of one collection, or of one segment of it.

    Attributes:
        findings: what was found, apart from what only all records together show.
        types: by indexed field and type of its values, the records that hold them.
        usage: by side, what the records take.
    """

    findings: Findings = attrs.field(factory=Findings)
    types: dict[tuple[str, str], Cases] = attrs.field(factory=dict)
    usage: dict[str, Usage] = attrs.field(factory=lambda: {SOURCE: Usage(), TARGET: Usage()})

    def join(self, other: Tally) -> None:
        """Count all that ``other`` counted."""
        self.findings.join(other.findings)
        for name, cases in other.types.items():
            self.types.setdefault(name, Cases()).join(cases)
        for side, usage in other.usage.items():
            self.usage[side].join(usage)

    def all(self) -> Findings:
        """Everything that was found, with what only all records together show."""
        found = Findings()
        found.join(self.findings)
        for field in sorted({name for name, _ in self.types}):
            held = {kind: cases for (name, kind), cases in self.types.items() if name == field}
            if len(held) > 1:
                _mixed(found, field, held)
        return found

    def to_fields(self) -> Fields:
        """As fields of a record of the control store."""
        types: list[Any] = [
            {"field": name, "type": kind, **cases.to_fields()}
            for (name, kind), cases in self.types.items()
        ]
        usage: dict[str, Any] = {side: used.to_fields() for side, used in self.usage.items()}
        findings: list[Any] = self.findings.to_fields()
        return {"findings": findings, "types": types, "usage": usage}

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Tally:
        """What :meth:`to_fields` made."""
        return cls(
            Findings.from_fields(fields["findings"]),
            {(t["field"], t["type"]): Cases.from_fields(t) for t in fields["types"]},
            {side: Usage.from_fields(used) for side, used in fields["usage"].items()},
        )


def _mixed(found: Findings, field: str, held: Mapping[str, Cases]) -> None:
    """Values of several types under one index: those that are not of the commonest type."""
    commonest = max(held, key=lambda kind: held[kind].count)
    counts = ", ".join(f"{held[kind].count} {kind}" for kind in sorted(held))
    cases = found.of(Cause(Kind.REORDER, MIXED, path=field))
    for kind, some in held.items():
        if kind != commonest:
            cases.join(attrs.evolve(some, says=f"the indexed field {field!r} holds {counts}"))


class Look:
    """Looks at records of one collection for one pair of sides.

    Args:
        group: the open group.
        collection: one of its collections.
        stamp: a stamp of the run to come.
    """

    def __init__(self, group: OpenGroup, collection: Collection, stamp: int) -> None:
        self._collection = collection
        self._bound = group.bounds[collection.name].both
        self._stamp = stamp
        self._indexed = tuple(dict.fromkeys(f for i in collection.indexes for f in i.fields))
        self._billed = [
            (name, side.driver.tariff(collection), side.measure)
            for name, side in group.sides.items()
        ]
        self._target = group.sides[TARGET].driver.name
        native = [side.capabilities(collection).values.native for side in group.sides.values()]
        self._translated = native[0] - native[1]
        self._notes = tuple(notes_of(group.sides[SOURCE], group.sides[TARGET], collection))

    def at(self, records: Iterable[Stored]) -> Tally:
        """What is to be said of records; tombstones say nothing."""
        tally = Tally()
        for stored in records:
            if stored.fields is not None:
                self._record(tally, stored.key, stored.fields, stored.expires)
        return tally

    def unread(self, driver: str, found: Iterable[Unreadable]) -> Tally:
        """What is to be said of records that the source's driver cannot make out."""
        tally = Tally()
        for one in found:
            tally.findings.of(unreadable(driver)).add(one.key, one.error.message)
        return tally

    def _record(self, tally: Tally, key: Key, fields: Fields, expires: int | None) -> None:
        write = Write(
            self._collection, key, fields, write_id=WRITE_ID, stamp=self._stamp, expires=expires
        )
        sizes = {name: measure(write) for name, _, measure in self._billed}
        tally.findings.violated(key, self._bound.violations(write, sizes))
        try:
            checked_fields(fields)
        except InvalidRequest as error:
            tally.findings.refused(key, VALUES, error)
        entries = sum(in_index(index, fields) for index in self._collection.indexes)
        for name, tariff, _ in self._billed:
            tally.usage[name].add(tariff, sizes[name].record, entries)
        for field in self._indexed:
            if field in fields and type(fields[field]) in SCALARS:
                held = (field, type_name(fields[field]))
                tally.types.setdefault(held, Cases()).add(key, "")
        for cause, says, holds in self._notes:
            if holds(fields):
                tally.findings.of(cause).add(key, says)
        for kind in self._translated & kinds_in(fields):
            cause = Cause(Kind.TRANSLATE, NATIVE, self._target, kind)
            tally.findings.of(cause).add(key, f"{kind}: polystore gives it a form of its own")


Note = tuple[Cause, str, Callable[[Fields], bool]]


def notes_of(source: Side, target: Side, collection: Collection) -> Iterable[Note]:
    """What the target takes in another way than the source, each with how to tell a record."""
    before = source.capabilities(collection).indexes.empty
    after = target.capabilities(collection).indexes.empty
    for index in collection.indexes:
        rule = after.get(index.name)
        if rule in _UNFIT and rule is not before.get(index.name):
            says = f"an empty, null or other-typed value in the index {index.name!r} {_UNFIT[rule]}"
            yield Cause(Kind.TRANSLATE, UNFIT, target.driver.name, index.name), says, _unfit(index)


_UNFIT = {
    EmptyIndexed.ENCODED: "is indexed through an encoded copy",
    EmptyIndexed.OMITTED: "is left out of it: its queries do not find these records",
}


def _unfit(index: Index) -> Callable[[Fields], bool]:
    return lambda fields: unfit(index, fields) is not None and in_index(index, fields)


def in_index(index: Index, fields: Fields) -> bool:
    """Whether a record has an entry in an index."""
    return all(name in fields and type(fields[name]) in SCALARS for name in index.fields)


def type_name(value: object) -> str:
    """The type of a value, for people."""
    return "null" if value is None else type(value).__name__
