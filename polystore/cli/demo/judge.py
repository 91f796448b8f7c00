"""The demo's verdict: every acknowledged write against the database, by marks alone. Pure.

The marks of one record form a chain: a write names the mark that it rested on and the mark that it
left. A write whose mark is neither the final one nor rested on by another write was lost; a mark
that two acknowledged writes rested on was overwritten unseen; a final mark that an acknowledged
write rested on has come back from the dead; a read that found such a mark after the fact was stale.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

import attrs

from polystore.cli.crew.journal import Entry, Mark, Place
from polystore.cli.crew.phases import EXPECTED
from polystore.values import Fields, Key, same

_MOST_TOLD = 10


@attrs.define
class Findings:
    """What is wrong; every list empty means a clean run."""

    lost: list[str] = attrs.field(factory=list)
    doubled: list[str] = attrs.field(factory=list)
    returned: list[str] = attrs.field(factory=list)
    stale: list[str] = attrs.field(factory=list)
    wrong: list[str] = attrs.field(factory=list)
    different: list[str] = attrs.field(factory=list)
    errors: Counter[str] = attrs.field(factory=Counter)
    acknowledged: int = 0

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.errors or any(self.lists().values()))

    def lists(self) -> dict[str, list[str]]:
        """The lists by name."""
        return {
            name: getattr(self, name)
            for name in ("lost", "doubled", "returned", "stale", "wrong", "different")
        }

    def told(self) -> list[str]:
        """A few lines for people, worst first."""
        lines = [f"{name}: {text}" for name, found in self.lists().items() for text in found]
        return lines[:_MOST_TOLD] + [f"error {code}: {n}" for code, n in self.errors.items()]


def judge(
    operations: Sequence[Entry],
    before: Mapping[str, Mapping[Key, Fields]],
    after: Mapping[str, Mapping[Key, Fields]],
) -> Findings:
    """Compare what the processes were told with what the database holds.

    Args:
        operations: all entries of all journals.
        before: the records at the beginning, by collection and key.
        after: the records at the end.
    """
    found = Findings()
    for entry in operations:
        if entry.error is not None and entry.error not in EXPECTED:
            found.errors[entry.error] += 1
        if entry.wrong is not None:
            found.wrong.append(f"{entry.kind}: {entry.wrong}")
        found.acknowledged += entry.writes and entry.acked
    chains = _chains(operations)
    final = {(name, key): r for name, records in after.items() for key, r in records.items()}
    existed = {(name, key) for name, records in before.items() for key in records}
    for place, chain in chains.items():
        _judge_chain(found, place, chain, final.get(place), place in existed)
    _judge_reads(found, operations, chains)
    _judge_counts(found, operations, final)
    _judge_untouched(found, before, after, chains)
    return found


@attrs.define
class _Chain:
    """The writes of one record: marks left, marks rested on, creations and deletions."""

    left: set[Mark] = attrs.field(factory=set)
    rested: dict[Mark, list[Entry]] = attrs.field(factory=lambda: defaultdict(list))
    maybe: set[Mark] = attrs.field(factory=set)
    maybe_rested: set[Mark] = attrs.field(factory=set)
    balance: int = 0
    doubts: int = 0


def _chains(operations: Iterable[Entry]) -> dict[Place, _Chain]:
    chains: dict[Place, _Chain] = defaultdict(_Chain)
    for entry in operations:
        if not entry.writes or (entry.error is not None and entry.error != "outcome-unknown"):
            continue
        for touch in entry.touches:
            chain = chains[touch.place]
            if entry.acked:
                if touch.left is not None:
                    chain.left.add(touch.left)
                if touch.saw is not None:
                    chain.rested[touch.saw].append(entry)
                chain.balance += (touch.left is not None) - (touch.saw is not None)
            else:
                chain.doubts += (touch.left is None) != (touch.saw is None)
                if touch.left is not None:
                    chain.maybe.add(touch.left)
                if touch.saw is not None:
                    chain.maybe_rested.add(touch.saw)
    return chains


def _judge_chain(
    found: Findings, place: Place, chain: _Chain, record: Fields | None, existed: bool
) -> None:
    mark = _mark(record)
    where = f"{place[0]} {place[1]!r}"
    for left in chain.left:
        if left != mark and left not in chain.rested and left not in chain.maybe_rested:
            found.lost.append(f"{where}: the write {left} is gone")
    for rested, entries in chain.rested.items():
        if len(entries) > 1:
            found.doubled.append(f"{where}: {len(entries)} writes rested on {rested}")
    if mark is not None and mark in chain.rested:
        found.returned.append(f"{where}: {mark} was overwritten or deleted, and is back")
    surplus = (record is not None) - existed - chain.balance
    if surplus > chain.doubts:
        text = "was deleted, and is there" if record is not None else "was deleted twice"
        found.returned.append(f"{where} {text}")
    elif -surplus > chain.doubts:
        text = "was made twice" if record is not None else "was made, and is missing"
        found.lost.append(f"{where} {text}")


def _judge_reads(
    found: Findings, operations: Iterable[Entry], chains: Mapping[Place, _Chain]
) -> None:
    """A read must not find a state that an acknowledged write had replaced before it began."""
    for entry in operations:
        if entry.writes or not entry.acked:
            continue
        for touch in entry.touches:
            chain = chains.get(touch.place)
            if chain is None or touch.saw is None:
                continue
            for writer in chain.rested.get(touch.saw, ()):
                if writer.ended is not None and writer.ended < entry.began:
                    found.stale.append(f"{touch.place[0]} {touch.place[1]!r}: found {touch.saw}")


def _judge_counts(
    found: Findings, operations: Iterable[Entry], final: Mapping[Place, Fields]
) -> None:
    """Every acknowledged increment is in the counter, and no other."""
    sure: Counter[Place] = Counter()
    maybe: Counter[Place] = Counter()
    for entry in operations:
        if entry.error is None or entry.error == "outcome-unknown":
            (sure if entry.acked else maybe).update(entry.counted)
    for place in sure.keys() | maybe.keys() | {p for p, r in final.items() if r.get("visits")}:
        visits = final.get(place, {}).get("visits", 0)
        assert isinstance(visits, int)
        if not sure[place] <= visits <= sure[place] + maybe[place]:
            where = f"{place[0]} {place[1]!r}"
            wanted = f"{sure[place]} increments were acknowledged"
            (found.lost if visits < sure[place] else found.doubled).append(
                f"{where}: the counter is {visits}, {wanted}"
            )


def _judge_untouched(
    found: Findings,
    before: Mapping[str, Mapping[Key, Fields]],
    after: Mapping[str, Mapping[Key, Fields]],
    chains: Mapping[Place, _Chain],
) -> None:
    """What nobody wrote is as it was, field by field and type by type; nothing else is there."""
    changing = ("mark", "population", "visits")
    for name, records in before.items():
        for key, fields in records.items():
            now = after[name].get(key)
            if now is None:
                found.lost.append(f"{name} {key!r} is missing")
                continue
            loose = changing if (name, key) in chains else ("visits",)
            for field in fields.keys() | now.keys():
                if field not in loose and not same(fields.get(field), now.get(field)):
                    found.different.append(f"{name} {key!r}: {field}")
    for name, records in after.items():
        for key in records.keys() - before[name].keys():
            if (name, key) not in chains:
                found.returned.append(f"{name} {key!r} was never written")


def _mark(record: Fields | None) -> Mark | None:
    mark = None if record is None else record.get("mark", LOADED)
    assert mark is None or isinstance(mark, str)
    return mark


LOADED = "loaded"
"""The mark of a record that the application has not written yet."""
