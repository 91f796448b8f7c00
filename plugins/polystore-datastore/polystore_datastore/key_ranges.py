"""What a query or a scan asks for, as comparisons of native keys. No I/O.

Keys are compared element by element, kinds by their bytes, ids before names, and a key stands
before all that lies below it.
"""

from __future__ import annotations

import attrs

from polystore.driver.spans import span
from polystore.queries import Position, QueryPlan, Range
from polystore_datastore.messages import GREATER, GREATER_OR_EQUAL, LESS, LESS_OR_EQUAL
from polystore_datastore.placement import Path, Place
from polystore_datastore.refs import NAME_BYTES
from polystore_datastore.requests import KeyBound

_LAST = ("\U0010ffff", 1)
"""An element above all others that can stand below a key."""


@attrs.frozen
class KeyRange:
    """Native keys between two bounds."""

    low: KeyBound
    high: KeyBound


def key_range(place: Place, plan: QueryPlan, after: Position | None) -> KeyRange | None:
    """The native keys that a query of a partition asks for; ``None`` where there are none."""
    if place.elements[0].form == "text":
        return _text_range(place, plan, after)
    path = place.path(plan.equals)
    found: KeyRange | None = KeyRange(
        KeyBound(GREATER_OR_EQUAL, path), KeyBound(LESS, _beyond(path))
    )
    if len(path) == len(place.elements):
        found = KeyRange(KeyBound(GREATER_OR_EQUAL, path), KeyBound(LESS_OR_EQUAL, path))
    elif plan.range is not None:
        found = _path_range(place, path, plan.range)
    if found is None or after is None:
        return found
    at = place.path(after.key)
    if plan.descending:
        return KeyRange(found.low, KeyBound(LESS, at))
    return KeyRange(KeyBound(GREATER, at), found.high)


def _beyond(path: Path) -> Path:
    """A key above this one and all that lies below it, and under all others above it."""
    return [*path, _LAST]


def _path_range(place: Place, path: Path, bounds: Range) -> KeyRange | None:
    element = place.elements[len(path)]
    low, high = KeyBound(GREATER_OR_EQUAL, path), KeyBound(LESS, _beyond(path))

    def step(value: str | int) -> Path:
        return [*path, (element.kind, element.native(((),) * element.start + (value,)))]  # type: ignore[arg-type]  # only its own part is looked at

    if bounds.low is not None and not _is_under(bounds.low[0]):
        at = step(bounds.low[0])
        low = KeyBound(GREATER_OR_EQUAL, at if bounds.low_included else _beyond(at))
    if bounds.high is not None:
        if _is_under(bounds.high[0]):
            return None
        at = step(bounds.high[0])
        high = KeyBound(LESS, _beyond(at) if bounds.high_included else at)
    return KeyRange(low, high)


def _is_under(value: str | int) -> bool:
    """Whether a bound lies under all ids; no key here has one below 1."""
    return isinstance(value, int) and value < 1


def _text_range(place: Place, plan: QueryPlan, after: Position | None) -> KeyRange | None:
    """The range of a key that is one encoded text."""
    found = span(plan, after)
    if found.low >= found.high:
        return None
    kind = place.kind
    low, cut_low = _cut(found.low)
    high, cut_high = _cut(found.high)
    return KeyRange(
        KeyBound(GREATER if cut_low else GREATER_OR_EQUAL, [(kind, low)]),
        KeyBound(LESS_OR_EQUAL if cut_high else LESS, [(kind, high)]),
    )


def _cut(text: str) -> tuple[str, bool]:
    """A bound that Datastore takes, and whether it had to be cut: no name is longer."""
    raw = text.encode()
    if len(raw) <= NAME_BYTES:
        return text, False
    return raw[:NAME_BYTES].decode(errors="ignore"), True
