"""Poison records: set aside, reported, signed off, and left where they are ever after."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import attrs
import pytest

from polystore.capabilities import Capabilities, Limit
from polystore.driver import (
    Consistency,
    ReadReply,
    Refused,
    ScanPage,
    Segment,
    Stored,
    Unprocessed,
    Unreadable,
    Write,
    Written,
)
from polystore.errors import DriverError, GateClosed, InvalidRequest, InvalidValue
from polystore.migration.poison import Aside, asides, sign_aside
from polystore.migration.progress import Summary
from polystore.migration.stages import SOURCE, TARGET, Stage
from polystore.schema import Collection
from polystore.testing.simulator import ITEMS, REQUEST, Operator
from polystore.testing.simulator.imitation import Imitation
from polystore.values import Fields, Key
from tests.migration.scene import Scene

SIZE, READ, REFUSED = "items/records.size@memory", "items/unreadable@memory", "items/refused@memory"
LARGE, ODD, DISLIKED = ("old", 1), ("old", 2), ("old", 3)


def _odd(stored: Stored) -> bool:
    return stored.fields is not None and "odd" in stored.fields


class Odd(Imitation):
    """A source with records that its codec cannot make out."""

    def scan(
        self, collection: Collection, segment: Segment, cursor: str | None, limit: int
    ) -> ScanPage:
        page = super().scan(collection, segment, cursor, limit)
        odd = [Unreadable(s.key, DriverError("no such form")) for s in page.records if _odd(s)]
        return ScanPage([s for s in page.records if not _odd(s)], page.cursor, odd)

    def read(
        self, collection: Collection, keys: Sequence[Key], consistency: Consistency
    ) -> ReadReply:
        reply = super().read(collection, keys, consistency)
        for stored in reply.records:
            if stored is not None and _odd(stored):
                raise DriverError("no such form")
        return reply


class Small(Imitation):
    """A target that takes no record over 400 bytes, and refuses one that it should take."""

    def capabilities(self, collection: Collection) -> Capabilities:
        promised = super().capabilities(collection)
        if collection.name.startswith("_ps_"):
            return promised
        limit = Limit(400, "bytes", "the record", "this test")
        return attrs.evolve(promised, records=attrs.evolve(promised.records, size=limit))

    def write_many(self, writes: Sequence[Write]) -> list[Written | Refused | Unprocessed]:
        if any(w.fields is not None and "disliked" in w.fields for w in writes):
            raise InvalidValue("not this one", path="disliked")
        return super().write_many(writes)


def bad(scene: Scene) -> None:
    """Ten good records, and one of each kind that stays behind."""
    also: list[Fields] = [{}, {"pad": "x" * 1000}, {"odd": 1}, {"disliked": 1}, *[{}] * 9]
    for item, more in enumerate(also):
        fields: Fields = {"owner": "old", "item": item, "v": 1, **more}
        scene.fleet.plant(SOURCE, Write(ITEMS, ("old", item), fields))


@contextmanager
def scene() -> Iterator[tuple[Scene, Operator]]:
    """In dual-write, with these records; and who opened the group so."""
    with Scene(Stage.DUAL_WRITE, preload=False) as made:
        made.fleet.drivers[TARGET].__class__ = Small
        made.fleet.drivers[SOURCE].__class__ = Odd
        bad(made)
        yield made, Operator(made.fleet, made.fleet.member("another"))


def found(operator: Operator) -> list[Aside]:
    """What was set aside."""
    group, fleet = operator.member.group, operator.fleet
    return fleet.do(operator.member, asides(group.ledger, fleet.setting, group.collections))


def sign(operator: Operator, name: str) -> None:
    """Answer for one finding."""
    ledger, at = operator.member.group.ledger, operator.fleet.setting
    procedure = sign_aside(ledger, at, found(operator), name, "ann", "test data")
    operator.fleet.do(operator.member, procedure)


@pytest.mark.rule("BF-5", "BF-6")
def test_what_cannot_be_copied_is_set_aside_and_the_rest_is_there() -> None:
    with scene() as (made, operator):
        copied = operator.copy()["items"]
        assert (copied.scanned, copied.written, copied.rejected) == (13, 10, 3)
        assert copied.reconciles
        assert not copied.done
        assert "3 not signed off" in copied.text()
        kept = {aside.finding: [one.key for one in aside.records] for aside in found(operator)}
        assert kept == {SIZE: [LARGE], READ: [ODD], REFUSED: [DISLIKED]}
        assert "xxx" not in str(found(operator))
        assert len(made.fleet.contents(TARGET, "items")) == 10


@pytest.mark.rule("BF-6")
def test_the_gate_stays_shut_until_all_are_signed_off_and_that_is_recorded() -> None:
    with scene() as (_, operator):
        operator.copy()
        for name in (SIZE, READ, REFUSED):
            with pytest.raises(GateClosed, match="not signed off"):
                operator.advance()
            sign(operator, name)
        with pytest.raises(InvalidRequest, match="open: none"):
            sign(operator, SIZE)
        history = operator.fleet.do(operator.member, operator.member.group.ledger.history())
        assert [e["why"] for e in history].count("test data") == 3
        assert operator.advance().stage is Stage.DUAL_READ


@pytest.mark.rule("BF-6")
def test_one_record_more_opens_a_finding_again() -> None:
    with scene() as (made, operator):
        operator.copy()
        for name in (SIZE, READ, REFUSED):
            sign(operator, name)
        operator.back()
        fields: Fields = {"owner": "old", "item": 99, "v": 1, "pad": "x" * 1000}
        made.fleet.plant(SOURCE, Write(ITEMS, ("old", 99), fields))
        operator.advance()
        assert operator.copy()["items"].unsigned == 2


@pytest.mark.rule("BF-6", "PRE-2", "PRE-5")
def test_what_was_signed_off_in_the_preflight_is_signed_off_in_the_copy() -> None:
    with Scene(Stage.ARMED, preload=False) as made:
        made.fleet.drivers[TARGET].__class__ = Small
        made.fleet.drivers[SOURCE].__class__ = Odd
        bad(made)
        operator = Operator(made.fleet, made.fleet.member("another"))
        report = operator.preflight()
        assert {f.name: f.cases.count for f in report.unsettled} == {SIZE: 1, READ: 1}
        assert report.looked[0].scanned == 13
        names = [SIZE, READ]
        operator.fleet.do(operator.member, operator.coordinator.sign_off(names, REQUEST))
        operator.reach(Stage.DUAL_WRITE)
        copied: Summary = operator.copy()["items"]
        assert (copied.rejected, copied.unsigned) == (3, 1), "all but what only the target told"


@pytest.mark.rule("BF-7", "VER-3")
@pytest.mark.parametrize("dial", [0, 100])
def test_a_record_that_was_set_aside_is_no_difference_and_stays_where_it_is(dial: int) -> None:
    with scene() as (made, operator):
        operator.copy()
        for name in (SIZE, READ, REFUSED):
            sign(operator, name)
        operator.advance()
        clean = operator.verify()["items"]
        assert (clean.aside, clean.discrepancies) == (3, [])
        if dial:
            operator.dial(dial)
            again = operator.verify()["items"]
            assert (again.aside, again.discrepancies) == (3, [])
        assert made.get(made.members[0], LARGE) == (None if dial else made_of(made, LARGE))
        made.fleet.pass_time(5.0)  # what a read has found is looked at
        source = made.fleet.drivers[SOURCE]
        source.__class__ = Imitation
        assert made_of(made, LARGE) is not None
        assert {LARGE, ODD, DISLIKED}.isdisjoint(made.fleet.contents(TARGET, "items"))


def made_of(scene: Scene, key: Key) -> object:
    """The value that the source holds."""
    fields = scene.fleet.contents(SOURCE, "items")[key].fields
    return None if fields is None else fields["v"]


@pytest.mark.rule("BF-7")
def test_what_nobody_signed_off_stays_an_open_difference_and_is_not_repaired() -> None:
    with scene() as (made, operator):
        operator.copy()
        request = attrs.evolve(REQUEST, override=frozenset(["copied"]))
        operator.fleet.do(operator.member, operator.coordinator.advance(request))
        left = operator.verify()["items"]
        assert {d.kind for d in left.discrepancies} == {"missing", "unreadable"}
        assert (left.open, left.aside) == (3, 0)
        assert made.fleet.setting.verified == 0
