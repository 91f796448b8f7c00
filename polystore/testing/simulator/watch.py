"""What is checked at each application: the promises of PROTOCOL.md 12 that one can see there.

The watch knows every state that every home ever had, and the setting and members as they are in the
control store at that moment. A violation is raised at once, with the time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import attrs

from polystore.driver import (
    Committed,
    Stored,
    Write,
    Written,
)
from polystore.migration.ledger import CONTROL, SLOTS
from polystore.migration.member import CLOSED, PREFIX, RECOVERED
from polystore.migration.stages import SOURCE, STAMP_RUN, TARGET, Setting, Stage, bucket_of
from polystore.testing.simulator.faults import Sent
from polystore.values import Fields, Key, same

Name = tuple[str, Key]

WAY_BACK = "way back"
"""To the stage before, or of the dial towards the source."""


class Violation(AssertionError):
    """A promise was broken; the message says which (P1 … P12), of which key and when."""


@attrs.define
class State:
    """One state of a record: its stamp, its fields (``None``: a tombstone), expiry, write id."""

    stamp: int | None
    fields: Fields | None
    expires: int | None = None
    write_id: str | None = None


@attrs.define
class Watch:
    """The history of all keys, and what the control store says.

    Attributes:
        colocate: how buckets are made.
        drivers: names of the sides, by identity of their drivers.
        setting: as it is in the control store now.
        members: member records that are there now.
        joining: those that have joined with an old look at control and not looked again yet.
        homes: states that the homes of each key had, in order.
        sides: the present state of each key on each side.
        alive: whether the process of an incarnation runs.
        stepped: told of each new epoch.
        noted: told in words what changed in the control store, and of which incarnation.
        commits: how many home commits there were.
        happened: how often something came to pass that matters: stages, dial, deaths.
        ignored: rules that are not checked here, so that what follows from their breach shows.
    """

    colocate: int | None
    drivers: dict[int, str]
    setting: Setting = attrs.field(factory=Setting)
    members: dict[str, Fields] = attrs.field(factory=dict)
    joining: set[str] = attrs.field(factory=set)
    homes: dict[Name, list[State]] = attrs.field(factory=dict)
    sides: dict[tuple[str, Name], State] = attrs.field(factory=dict)
    alive: Callable[[str], bool] = bool
    stepped: Callable[[Setting], object] = bool
    noted: Callable[[str, str], object] = max
    commits: int = 0
    happened: Counter[str] = attrs.field(factory=Counter)
    ignored: frozenset[str] = frozenset()

    def applied(self, sent: Sent, arguments: Any, reply: Any) -> None:
        """A call was applied; look at what it changed."""
        if not sent.writes:
            return
        writes = list(_done(arguments[0], reply))
        if not writes:
            return
        side = self.drivers[id(sent.call.driver)]
        slots = [w for w in writes if w.collection is SLOTS]
        for write in writes:
            if write.collection is CONTROL:
                self._control(write)
            elif write.collection is not SLOTS:
                self._data(side, write, in_slot=sent.method == "commit" and bool(slots))

    def foreign(self, side: str, collection: str, key: Key, state: State | None) -> None:
        """Somebody went past the library: take it as it is."""
        name = (collection, key)
        if state is None:
            self.sides.pop((side, name), None)
        else:
            self.sides[side, name] = state
        if side == self._home(key):
            self.homes.setdefault(name, []).append(state or State(None, None))

    # -- control ------------------------------------------------------------------------------

    def _control(self, write: Write) -> None:
        item = str(write.key[1])
        if item == "control":
            assert write.fields is not None
            self._stepped(Setting.from_fields(write.fields))
        elif item.startswith(PREFIX):
            if write.fields is None:
                self.members.pop(item, None)
            else:
                self._judge_member(item, write.fields)
                self.members[item] = write.fields

    def _judge_member(self, item: str, fields: Fields) -> None:
        before = self.members.get(item)
        incarnation = item.removeprefix(PREFIX)
        assert isinstance(fields["acked"], int)
        if fields["acked"] >= self.setting.epoch:
            self.joining.discard(item)
        elif before is None:  # its look at control was old; it looks again before it serves
            self.joining.add(item)
        if before is None or before["acked"] != fields["acked"]:
            self.noted(f"works under epoch {fields['acked']}", incarnation)
        if before is not None and before["state"] != fields["state"]:
            self.noted(f"is {fields['state']}", incarnation)
            self.happened["recovered" if fields["state"] == RECOVERED else "shut out"] += 1
            if fields["state"] == CLOSED and self.alive(incarnation):
                self.happened["shut out alive"] += 1

    def _stepped(self, new: Setting) -> None:
        """Whether the epoch may grow (EPO-1, EPO-2, EPO-3)."""
        old, self.setting = self.setting, new
        if new.epoch == old.epoch:
            return
        self._check(new.epoch == old.epoch + 1, f"EPO-1: epoch {old.epoch} → {new.epoch}")
        frozen = "" if new.frozen is None else f", {new.frozen} frozen"
        self.noted(f"epoch {new.epoch}: {new.stage.value}, {new.moved} moved{frozen}", "")
        for what in _ways(old, new):
            self.happened[what] += 1
        self.stepped(new)
        thaws = old.frozen is not None and new.frozen is None and new.moved == old.moved
        stops = new.lost is not None and old.lost is None  # everything: one side is gone
        gave_up = thaws or (new.stage is old.left and new.left is None)
        for item, fields in self.members.items():
            acked = fields["acked"]
            assert isinstance(acked, int)
            serves = fields["state"] != RECOVERED and item not in self.joining
            late = serves and acked < old.epoch
            self._check(
                not late or gave_up or stops,
                f"EPO-2: epoch {new.epoch} began while {item} was still at {acked}",
            )

    def all_acked(self) -> bool:
        """Whether everybody works under the newest epoch."""
        return all(
            f["state"] == RECOVERED or f["acked"] == self.setting.epoch
            for f in self.members.values()
        )

    def present(self) -> set[str]:
        """The incarnations that are not recovered."""
        return {
            item.removeprefix(PREFIX)
            for item, fields in self.members.items()
            if fields["state"] != RECOVERED
        }

    # -- data ---------------------------------------------------------------------------------

    def _home(self, key: Key) -> str:
        return self.setting.home(bucket_of(key, self.colocate))

    def _frozen(self, key: Key) -> bool:
        frozen = self.setting.frozen
        return frozen is not None and frozen[0] <= bucket_of(key, self.colocate) < frozen[1]

    def _data(self, side: str, write: Write, *, in_slot: bool) -> None:
        name = (write.collection.name, write.key)
        before = self.sides.get((side, name))
        state = State(write.stamp, write.fields, write.expires, write.write_id)
        if before is not None and write.write_id is not None and state == before:
            return  # a repetition that found itself there
        if in_slot:
            self._home_commit(side, name, state)
        elif write.stamp is None:
            self._plain(side, name, before, write)
        else:
            self._mirror_write(side, name, before, state)
        if write.fields is None and write.stamp is None:
            self.sides.pop((side, name), None)
        else:
            self.sides[side, name] = state

    def _home_commit(self, side: str, name: Name, state: State) -> None:
        self.commits += 1
        self._check(
            side == self._home(name[1]),
            f"P8: {name} was committed on the {side}, its home is the {self._home(name[1])}",
        )
        history = self.homes.setdefault(name, [])
        if state.stamp is None:
            history.append(state)
            self._check(state.fields is not None, f"STG-5: {name} went without a tombstone")
            return
        last = history[-1].stamp if history else None
        plain_too = self.setting.stage is Stage.CLEAN  # and nobody compares stamps any more
        self._check(
            last is None or state.stamp > last or plain_too,
            f"WR-4: {name} got stamp {state.stamp} after {last}",
        )
        history.append(state)

    def _plain(self, side: str, name: Name, before: State | None, write: Write) -> None:
        stage = self.setting.stage
        swept = before is None or (write.fields is None and before.fields is None)
        restamped = before is not None and _equal(before, write)
        if stage is Stage.CLEAN and (swept or restamped):
            return
        if stage is Stage.SOURCE_ONLY and self._given_up(side, swept, before, write):
            return
        late = stage is Stage.PREPARE and self.all_acked()
        self._check(
            (stage.plain or stage is Stage.PREPARE) and not late,
            f"EPO-8: a plain write of {name} landed in {stage.value}",
        )
        self._check(side == self._home(name[1]), f"P8: a plain write of {name} on the {side}")
        self.homes.setdefault(name, []).append(State(None, write.fields, write.expires))

    def _given_up(self, side: str, swept: bool, before: State | None, write: Write) -> bool:
        """Whether this removes what an ended run has left, on either side."""
        if before is None or before.stamp is None or write.fields is not None:
            return False
        return before.stamp < self.setting.floor() + (1 << STAMP_RUN) and (swept or side == TARGET)

    def _mirror_write(self, side: str, name: Name, before: State | None, state: State) -> None:
        stamp = state.stamp
        assert stamp is not None
        floor = self.setting.floor()
        if before is not None and before.stamp is not None:
            self._check(
                before.stamp < stamp,
                f"P6: {name} on the {side} fell from stamp {before.stamp} to {stamp}",
            )
        self._check(
            self._was_at_home(name, state, floor),
            f"P5: the {side} got a state of {name} that its home never had: {stamp}",
        )
        self._check(
            side != self._home(name[1]) or self._frozen(name[1]),
            f"P8: a mirror write changed {name} on the {side}, which is its home",
        )

    def _was_at_home(self, name: Name, state: State, floor: int) -> bool:
        for had in reversed(self.homes.get(name, ())):
            stamp = floor if had.stamp is None or had.stamp < floor else had.stamp
            if stamp == state.stamp and _equal(had, state):
                return True
        return False

    def _check(self, holds: bool, text: str) -> None:
        if not holds and text.partition(":")[0] not in self.ignored:
            raise Violation(text)


def _ways(old: Setting, new: Setting) -> Iterable[str]:
    """What changed from one epoch to the next, in words."""
    if old.stage is not new.stage:
        if new.stage is old.left and new.left is None:
            yield "stage given up"
            return
        if new.lost != old.lost:
            yield "home forced"
            return
        yield f"{old.stage.value} → {new.stage.value}"
        order = list(Stage)
        if order.index(new.stage) < order.index(old.stage):
            yield WAY_BACK
    elif new.moved != old.moved:
        yield "dial up" if new.moved > old.moved else "dial down"
        if new.moved < old.moved:
            yield WAY_BACK
    elif old.frozen is not None and new.frozen is None:
        yield "freeze given up"
    elif new.frozen is not None:
        yield "freeze"


def _done(first: Any, reply: Any) -> Iterable[Write]:
    """The writes of a call that were applied."""
    if isinstance(reply, Written):
        yield first
    elif isinstance(reply, Committed):
        yield from first
    elif isinstance(reply, list):
        yield from (
            w for w, outcome in zip(first, reply, strict=True) if isinstance(outcome, Written)
        )


def _equal(one: State | Stored | Write, other: State | Stored | Write) -> bool:
    if one.fields is None or other.fields is None:
        return one.fields is other.fields
    return one.expires == other.expires and same(one.fields, other.fields)


def difference(setting: Setting, source: Stored | None, target: Stored | None) -> str | None:
    """What differs between two sides at rest; ``None`` for nothing (P7)."""
    if source is None or target is None:
        return None if source is target else f"only on the {SOURCE if source else TARGET}"
    floor = setting.floor()
    stamps = [floor if s.stamp is None or s.stamp < floor else s.stamp for s in (source, target)]
    if stamps[0] != stamps[1]:
        return f"stamps {stamps[0] - floor} and {stamps[1] - floor}"
    if not _equal(source, target):
        return "fields, or when it expires"
    return None if source.write_id == target.write_id else "write ids"
