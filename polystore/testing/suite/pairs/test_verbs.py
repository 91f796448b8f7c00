"""Each verb under each condition, over each thing that may have become of a record."""

from __future__ import annotations

import pytest

from polystore.conditions import Condition, If
from polystore.errors import AlreadyExists, Conflict, NotFound
from polystore.records import Set, Version
from polystore.testing.pairs import Stand
from polystore.testing.suite.pairs.records import item, shown
from polystore.values import Fields, Key

STATES = ("never there", "there", "changed", "deleted")
HOLDS = {
    "any": STATES,
    "absent": ("never there", "deleted"),
    "present": ("there", "changed"),
    "version": ("there",),
    "field": ("there",),
}
"""Of which states each condition holds."""

VERBS = ("put", "update", "delete")


def condition_of(name: str, version: Version) -> Condition:
    """The condition of this name; of the state ``there``."""
    return {
        "any": If.any,
        "absent": If.absent,
        "present": If.present,
        "version": If.version(version),
        "field": If.field("v") == 1,
    }[name]


def brought(stand: Stand, key: Key, state: str) -> Version:
    """Bring a record to a state; its version where that is ``there``."""
    if state == "never there":
        return Version("of no state")
    version = stand.put(0, item(key, v=1))
    if state == "changed":
        stand.put(1, item(key, v=2))
    elif state == "deleted":
        stand.delete(1, key)
    return version


def asked(stand: Stand, verb: str, key: Key, when: Condition) -> Version | None:
    """Carry the verb out as the second client; the new version."""
    if verb == "put":
        return stand.put(1, item(key, v=9), when)
    if verb == "update":
        return stand.update(1, key, Set(v=9), when=when)
    stand.delete(1, key, when)
    return None


def refusal_of(verb: str, condition: str, state: str) -> type[Conflict]:
    """The error where the condition does not hold."""
    if verb == "update" and state in ("never there", "deleted"):
        return NotFound
    return {"absent": AlreadyExists, "present": NotFound}.get(condition, Conflict)


def left(verb: str, holds: bool, key: Key, state: str) -> Fields | None:
    """What is there afterwards."""
    known: dict[str, Fields] = {"there": item(key, v=1), "changed": item(key, v=2)}
    before = known.get(state)
    if not holds:
        return before
    if verb == "delete":
        return None
    if verb == "update" and before is None:
        return {"owner": key[0], "item": key[1], "v": 9}
    return item(key, v=9)


@pytest.mark.share(8)
@pytest.mark.claims("transactions over the store")
@pytest.mark.rule(
    "REC-3", "REC-4", "REC-5", "REC-7", "REC-8", "CON-1", "CON-2", "STG-4", "MIR-6", "CNF-8"
)
@pytest.mark.parametrize("condition", HOLDS)
@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_does_at_every_place_what_its_condition_says(
    stand: Stand, verb: str, condition: str
) -> None:
    owner = stand.owner()
    keys: dict[str, Key] = {state: (owner, n) for n, state in enumerate(STATES)}
    versions: list[Version | None] = []
    for state, key in keys.items():
        version = brought(stand, key, state)
        when, holds = condition_of(condition, version), state in HOLDS[condition]
        if not holds:
            with pytest.raises(refusal_of(verb, condition, state)) as caught:
                asked(stand, verb, key, when)
            assert caught.type is refusal_of(verb, condition, state)
            versions.append(version if state == "there" else None)
            continue
        new = asked(stand, verb, key, when)
        assert new != version
        versions.append(new)
    found = stand.get_many(0, [*keys.values()])
    for (state, key), record, told in zip(keys.items(), found, versions, strict=True):
        holds = state in HOLDS[condition]
        assert shown(record) == left(verb, holds, key, state), state
        if record is not None and told is not None:
            assert record.version == told
    stand.agree([*keys.values()])
