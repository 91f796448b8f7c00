"""The load of a rehearsal: which kinds of operations, how often, and what each state may be. Pure.

Each record is written by one process alone, so that this always knows what must be there: one
state, or several where a write has no answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import attrs

from polystore.migration.preflight.shape import (
    DELETE,
    GET,
    GET_MANY,
    INSERT,
    KINDS,
    PUT,
    QUERY,
    SCAN,
    TRANSACTION,
    UPDATE,
)
from polystore.migration.stages import bucket_of
from polystore.values import Fields, Key, same

UNKNOWN_SHAPE: Mapping[str, int] = {
    GET: 40, GET_MANY: 5, QUERY: 10, SCAN: 1, PUT: 15, INSERT: 4, UPDATE: 15, DELETE: 4,
    TRANSACTION: 6,
}  # fmt: skip
"""Operations in a hundred where nobody has observed any: each kind now and then."""

Place: TypeAlias = tuple[str, Key]
State: TypeAlias = "Fields | None"


@attrs.frozen
class Task:
    """What the processes of a rehearsal are given.

    Attributes:
        config: the configuration file of the real databases.
        group: the group's name.
        source, target: URLs of the places that the rehearsal may spoil.
        records: what is there, by collection.
        shape: operations by collection and kind.
        processes: how many there are.
        colocate: how many leading key parts decide who owns a record.
    """

    config: str
    group: str
    source: str
    target: str
    records: Mapping[str, Mapping[Key, Fields]]
    shape: Mapping[str, Mapping[str, int]]
    processes: int
    colocate: int | None

    def owned(self, number: int) -> dict[Place, State]:
        """The records that one process writes, as they are."""
        return {
            (name, key): fields
            for name, found in self.records.items()
            for key, fields in found.items()
            if bucket_of(key, self.colocate) % self.processes == number
        }

    def choices(self) -> tuple[list[tuple[str, str]], list[int]]:
        """Collections and kinds to choose from, with their weights."""
        weights = {
            (name, kind): self.shape.get(name, {}).get(kind, 0)
            for name in self.records
            for kind in KINDS
            if self.records[name]
        }
        found = {choice: weight for choice, weight in weights.items() if weight}
        return list(found), list(found.values())


def shape_of(
    observed: Mapping[str, Mapping[str, int]], names: Iterable[str]
) -> dict[str, dict[str, int]]:
    """The shape to make load of: what was observed, or each kind now and then of everything."""
    mine = {name: dict(observed[name]) for name in names if observed.get(name)}
    return mine or {name: dict(UNKNOWN_SHAPE) for name in names}


class Known:
    """What may be in the records of one process.

    Args:
        records: what is there at first.
    """

    def __init__(self, records: Mapping[Place, State]) -> None:
        self.states: dict[Place, tuple[State, ...]] = {p: (f,) for p, f in records.items()}
        self._by: dict[str, list[Key]] = {}
        for name, key in self.states:
            self._by.setdefault(name, []).append(key)

    def keys(self, name: str) -> Sequence[Key]:
        """The keys of a collection that this process owns, present or not."""
        return self._by.get(name, ())

    def certain(self, place: Place) -> bool:
        """Whether exactly one state is possible."""
        return len(self.states[place]) == 1

    def present(self, place: Place) -> bool:
        """Whether a record is surely there."""
        return all(state is not None for state in self.states[place])

    def wrong(self, place: Place, found: State) -> bool:
        """Whether what was found is none of the possible states. Others' records never are."""
        return place in self.states and not possible(self.states[place], found)

    def written(self, place: Place, change: Callable[[State], State], *, sure: bool) -> None:
        """A write was carried out; or, where that is not ``sure``, may have been or may yet be."""
        before = self.states[place]
        new = tuple(change(state) for state in before)
        self.states[place] = new if sure else (*before, *new)


def possible(states: Iterable[State], found: State) -> bool:
    """Whether a state is one of several."""
    return any(same(state, found) for state in states)


def moved_to(key_names: Sequence[str], key: Key, fields: Fields) -> dict[str, Any]:
    """The fields of one record under the key of another."""
    return {**fields, **dict(zip(key_names, key, strict=True))}


@attrs.define
class Difference:
    """What a side holds against what it must: keys, never values."""

    lost: list[Place] = attrs.field(factory=list)
    different: list[Place] = attrs.field(factory=list)
    returned: list[Place] = attrs.field(factory=list)


def compared(
    expected: Mapping[Place, Sequence[State]], after: Mapping[str, Mapping[Key, Fields]]
) -> Difference:
    """Judge the records of one side by what may be there."""
    found = Difference()
    for place, states in expected.items():
        name, key = place
        state = after[name].get(key)
        if possible(states, state):
            continue
        if state is None:
            found.lost.append(place)
        elif all(s is None for s in states):
            found.returned.append(place)
        else:
            found.different.append(place)
    found.returned += [
        (name, key) for name in after for key in after[name] if (name, key) not in expected
    ]
    return found
