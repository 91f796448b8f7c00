"""What one side cannot hold of what another can: each difference, what it does, what to do."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

import attrs

from polystore.capabilities.algebra import leaves, within
from polystore.capabilities.descriptor import Capabilities
from polystore.capabilities.terms import EmptyIndexed, Rule
from polystore.capabilities.words import ADVICE, SUBJECTS, TRANSLATED, says
from polystore.kinds import KINDS


class Effect(Enum):
    """What becomes of what the other side cannot hold."""

    REFUSED = "refused"
    TRANSLATED = "translated"
    WEAKER = "weaker"
    SPLIT = "split"


@attrs.frozen
class Difference:
    """One promise of a side that another does not keep.

    Attributes:
        code: path of the promise in the capabilities, such as ``records.size``.
        effect: what happens.
        says: the difference, a sentence.
        do: what an application does about it, a sentence.
    """

    code: str
    effect: Effect
    says: str
    do: str


def differences(
    a: Capabilities, b: Capabilities, names: tuple[str, str] | None = None
) -> list[Difference]:
    """What ``b`` cannot hold of what ``a`` can; empty if ``b`` holds it all.

    Args:
        a: what is promised on one side, where the data comes from.
        b: what is promised on the other.
        names: of the two sides, for the sentences.
    """
    return [
        _difference(path, wanted, offered, names)
        for (path, wanted), (_, offered) in zip(leaves(a), leaves(b), strict=True)
        if not within(path, wanted, offered)
    ]


def shortfalls(a: Capabilities, b: Capabilities) -> list[str]:
    """What ``b`` cannot hold of what ``a`` can, a sentence each; empty if ``b`` holds it all."""
    return [difference.says for difference in differences(a, b)]


def _difference(path: str, wanted: Any, offered: Any, names: tuple[str, str] | None) -> Difference:
    effect = _effect(path, wanted, offered)
    do = TRANSLATED if effect is Effect.TRANSLATED else ADVICE[path]
    return Difference(path, effect, _sentence(path, wanted, offered, names), do)


def _effect(path: str, wanted: Any, offered: Any) -> Effect:
    if path == "indexes.empty":
        lesser = [
            offered[i] for i in wanted if i in offered and not within(path, wanted[i], offered[i])
        ]
        return _OF_EMPTY[min(lesser, key=lambda rule: rule.strength, default=EmptyIndexed.REJECTED)]
    return _OF_PATH.get(path) or _OF_GROUP.get(path.partition(".")[0], Effect.REFUSED)


_OF_PATH: Mapping[str, Effect] = {
    "values.native": Effect.TRANSLATED,
    "indexes.filled": Effect.WEAKER,
}
_OF_GROUP: Mapping[str, Effect] = {
    "reads": Effect.WEAKER,
    "expiry": Effect.WEAKER,
    "batches": Effect.SPLIT,
}
_OF_EMPTY: Mapping[Rule, Effect] = {
    EmptyIndexed.REJECTED: Effect.REFUSED,
    EmptyIndexed.OMITTED: Effect.WEAKER,
    EmptyIndexed.ENCODED: Effect.TRANSLATED,
}


def _sentence(path: str, wanted: Any, offered: Any, names: tuple[str, str] | None) -> str:
    here, there = ("elsewhere", "") if names is None else (f"on {names[0]}", f" on {names[1]}")
    if path == "values.native":  # only what differs: there are many kinds
        offered, wanted = KINDS - (wanted - offered), KINDS
    said, beside = says(path, offered), says(path, wanted, brief=True)
    return f"{SUBJECTS[path]}{there} {said}; {here} it {beside}."
