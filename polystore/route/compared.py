"""Two sides compared for one collection: what one cannot hold of the other, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from polystore.capabilities import Capabilities, Difference, Effect, differences
from polystore.driver import Write
from polystore.driver.side import Side
from polystore.kinds import EXAMPLES
from polystore.schema import Collection, Oversized
from polystore.values import Fields, Key, KeyPart

_PARTS: Mapping[type, KeyPart] = {str: "k", int: 7, bytes: b"k"}


@attrs.frozen
class Cost:
    """What a field of one letter takes that holds a value of one kind, in bytes of each side."""

    kind: str
    source: int
    target: int


@attrs.frozen
class Compared:
    """What the target cannot hold of what the source can, for one collection.

    Attributes:
        collection: its name.
        source, target: names of the drivers.
        differences: in the order of the capabilities.
        costs: of every kind that the target translates and the source does not.
    """

    collection: str
    source: str
    target: str
    differences: tuple[Difference, ...]
    costs: tuple[Cost, ...]

    def of(self, effect: Effect) -> tuple[Difference, ...]:
        """The differences with one effect."""
        return tuple(d for d in self.differences if d.effect is effect)

    def data(self) -> dict[str, Any]:
        """The same as plain JSON values."""
        shown = ("code", "says", "do")
        return {
            "collection": self.collection,
            "source": self.source,
            "target": self.target,
            **{
                effect.value: [{name: getattr(d, name) for name in shown} for d in self.of(effect)]
                for effect in Effect
            },
            "costs": [attrs.asdict(cost) for cost in self.costs],
        }


def compared(collection: Collection, source: Side, target: Side) -> Compared:
    """Compare what two sides promise for a collection. No call.

    Raises:
        ConfigError: a placement of the collection cannot be used.
    """
    a, b = source.capabilities(collection), target.capabilities(collection)
    names = (source.driver.name, target.driver.name)
    return Compared(
        collection.name,
        *names,
        tuple(
            _compressed(d) if collection.oversized is Oversized.COMPRESS else d
            for d in differences(a, b, names)
            if not _implied(d, a, b)
        ),
        tuple(
            Cost(kind, cost(collection, source, kind), cost(collection, target, kind))
            for kind in sorted(a.values.native - b.values.native)
        ),
    )


def _compressed(difference: Difference) -> Difference:
    """A difference in size, where the collection compresses what is over the limit (REC-9)."""
    if difference.code not in ("records.size", "values.size"):
        return difference
    do = "A larger one is stored compressed; it is refused only if it is too large even so."
    return attrs.evolve(difference, effect=Effect.TRANSLATED, do=do)


def _implied(difference: Difference, a: Capabilities, b: Capabilities) -> bool:
    """Whether no record of the source is large enough to show it."""
    whole, most = a.records.size, b.values.size
    reached = whole is None or most is None or whole.most > most.most
    return difference.code == "values.size" and not reached


def cost(collection: Collection, side: Side, kind: str) -> int:
    """Bytes that a field of one letter takes with a value of a kind, and all that marks it."""
    key: Key = tuple(_PARTS[field.type] for field in collection.key)
    bare: Fields = dict(zip(collection.key_names, key, strict=True))
    name = next(letter for letter in "fghijklmnop" if letter not in bare)
    with_field = {**bare, name: EXAMPLES[kind]}
    sizes = (side.driver.measure(Write(collection, key, f)).record for f in (with_field, bare))
    return next(sizes) - next(sizes)
