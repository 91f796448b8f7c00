"""Poison records: what cannot be brought to the target is set aside, by key, with the reason.

A record of the source that cannot be read, is over a limit of the target, or is refused by it,
stops no copy. It is kept in the control store below ``poison/COPY/`` under the same finding as a
preflight has for it, so that one answer settles both: who signed a finding off there has signed
for these records here. Values are never kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import attrs

from polystore.driver import Segment, Unreadable
from polystore.errors import InvalidRequest, PolystoreError
from polystore.migration.ledger import Ledger
from polystore.migration.preflight.checkpoints import run_of
from polystore.migration.preflight.findings import Cause, Kind, cause_of, shown_key, unreadable
from polystore.migration.preflight.signing import Signed, sign, signed
from polystore.migration.stages import Setting
from polystore.route.checks import Violation
from polystore.values import Fields, Key, digest

REFUSED = "refused"
"""Code of what the target refused although it keeps within what is promised."""


@attrs.frozen(kw_only=True)
class Poison:
    """One record that was set aside.

    Attributes:
        collection: its name.
        key: its key, or what lies in that place.
        findings: names of what is wrong with it, as the preflight names them.
        says: what is wrong, for a person; never a value.
    """

    collection: str
    key: Key
    findings: tuple[str, ...]
    says: str

    @classmethod
    def violating(cls, collection: str, key: Key, found: Iterable[Violation]) -> Poison:
        """A record that goes beyond what a side promises."""
        violations = list(found)
        causes = dict.fromkeys(cause_of(violation) for violation in violations)
        says = "; ".join(dict.fromkeys(violation.says for violation in violations))
        return cls.of(collection, key, causes, says)

    @classmethod
    def unread(cls, collection: str, driver: str, found: Unreadable) -> Poison:
        """A record of the source that its driver cannot make out."""
        return cls.of(collection, found.key, [unreadable(driver)], found.error.message)

    @classmethod
    def unread_place(
        cls, collection: str, driver: str, segment: Segment, error: PolystoreError
    ) -> Poison:
        """A part of the source that cannot be read, and no smaller one of it found."""
        place = f"segment {segment.index} of {segment.count}, half {segment.path or 'none'}"
        return cls.of(collection, (place,), [unreadable(driver)], error.message)

    @classmethod
    def refused(cls, collection: str, key: Key, driver: str, error: PolystoreError) -> Poison:
        """A record that the target does not take, although it keeps within what is promised."""
        return cls.of(collection, key, [Cause(Kind.REFUSE, REFUSED, driver)], error.message)

    @classmethod
    def of(cls, collection: str, key: Key, causes: Iterable[Cause], says: str) -> Poison:
        """A record with these things wrong."""
        names = tuple(f"{collection}/{cause.name}" for cause in causes)
        return cls(collection=collection, key=key, findings=names, says=says)


def _root(setting: Setting, collection: str) -> str:
    return f"poison/{setting.copied}/{collection}/"


def _item(setting: Setting, collection: str, key: Key) -> str:
    return _root(setting, collection) + digest({"key": list(key)})


async def set_aside(ledger: Ledger, setting: Setting, found: Poison) -> None:
    """Keep a record's key and what is wrong with it; once, however often it is met."""
    fields: Fields = {
        "key": list(shown_key(found.key)), "findings": list(found.findings), "says": found.says,
    }  # fmt: skip
    item = _item(setting, found.collection, found.key)
    await ledger.change(item, lambda known: fields if known is None else None)


async def poisons(ledger: Ledger, setting: Setting, collection: str) -> list[Poison]:
    """What the copy that counts has set aside of a collection."""
    stored = await ledger.all(_root(setting, collection)) if setting.copied else []
    return [_poison(collection, s.fields) for s in stored if s.fields is not None]


async def poison(ledger: Ledger, setting: Setting, collection: str, key: Key) -> Poison | None:
    """What was set aside under a key, or ``None``."""
    stored = await ledger.get(_item(setting, collection, key)) if setting.copied else None
    return None if stored is None or stored.fields is None else _poison(collection, stored.fields)


def _poison(collection: str, fields: Mapping[str, object]) -> Poison:
    key, findings = fields["key"], fields["findings"]
    assert isinstance(key, list)
    assert isinstance(findings, list)
    return Poison(
        collection=collection, key=tuple(key), findings=tuple(findings), says=str(fields["says"])
    )


@attrs.frozen(kw_only=True)
class Aside:
    """The records that were set aside for one finding.

    Attributes:
        finding: its name, which a person signs off.
        records: which; one with two things wrong is in two findings.
        signed: who answered for how many cases, or ``None``.
    """

    finding: str
    records: tuple[Poison, ...]
    signed: Signed | None

    @property
    def settled(self) -> bool:
        """Whether somebody answered for at least as many."""
        return self.signed is not None and self.signed.count >= len(self.records)


async def asides(ledger: Ledger, setting: Setting, collections: Iterable[str]) -> list[Aside]:
    """All that was set aside, by finding, and whether it is signed off."""
    found: dict[str, list[Poison]] = {}
    for name in collections:
        for one in await poisons(ledger, setting, name):
            for finding in one.findings:
                found.setdefault(finding, []).append(one)
    answers = await signed(ledger, run_of(setting)) if found else {}
    return [
        Aside(finding=finding, records=tuple(records), signed=answers.get(finding))
        for finding, records in sorted(found.items())
    ]


def unsigned(found: Sequence[Aside]) -> list[Poison]:
    """The records that somebody has to answer for."""
    left = {(p.collection, p.key): p for a in found if not a.settled for p in a.records}
    return list(left.values())


async def sign_aside(
    ledger: Ledger, setting: Setting, found: Sequence[Aside], name: str, who: str, why: str
) -> None:
    """Answer for the records that a finding has now: they stay behind. One more opens it again.

    Raises:
        InvalidRequest: no open finding has this name; the message lists those that are open.
    """
    left = {aside.finding: aside for aside in found if not aside.settled}
    if name not in left:
        names = ", ".join(left) or "none"
        raise InvalidRequest(f"nothing was set aside as {name!r}; open: {names}")
    records = left[name].records
    await sign(ledger, setting, name, len(records), records[0].says, who, why)
