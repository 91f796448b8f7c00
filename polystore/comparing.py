"""What a comparison of two databases looks at, where they do not hold the same record alike.

Rules of a collection: fields that are left out, and forms that are brought to one before they are
compared. They change nothing that is written, and nothing that an application reads. Pure.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal
from types import MappingProxyType
from typing import TypeAlias

import attrs

from polystore.errors import ConfigError
from polystore.values import Fields, Value, canonical, same

Path: TypeAlias = tuple[str, ...]
"""Names of fields, from the record inwards."""

Change: TypeAlias = Callable[[Value], Value]
"""Brings a value to a form."""

_NOTHING: tuple[Value, ...] = (None, "", b"", [], {}, frozenset())


def _text(change: Callable[[str], str]) -> Change:
    return lambda value: change(value) if type(value) is str else value


def _moment(microseconds: int) -> Change:
    """A datetime without what is smaller than so many microseconds."""

    def cut(value: Value) -> Value:
        if type(value) is not datetime:
            return value
        return value.replace(microsecond=value.microsecond // microseconds * microseconds)

    return cut


def _unordered(value: Value) -> Value:
    """A list in one order, whatever its order was."""
    return sorted(value, key=canonical) if type(value) is list else value


FORMS: Mapping[str, Change] = MappingProxyType(
    {
        "casefold": _text(str.casefold),
        "strip": _text(str.strip),
        "nfc": _text(lambda text: unicodedata.normalize("NFC", text)),
        "milliseconds": _moment(1_000),
        "seconds": _moment(1_000_000),
        "unordered": _unordered,
    }
)
"""What a value may be brought to: letters without case, no space at the ends, one form of Unicode,
whole milliseconds or seconds, a list in any order. Other types of value stay as they are."""

EMPTY, ROUND = "empty", "round:"
"""Two more: nothing, null and what is empty are alike; numbers rounded to ``round:N`` decimals."""


def _emptied(value: Value) -> Value:
    """What is not empty stays; what is empty counts as not there."""
    return value


MOST_DECIMALS = 30
_ROUNDING = Context(prec=2 * MOST_DECIMALS + 4, rounding=ROUND_HALF_EVEN)


def _rounded(decimals: int) -> Change:
    """A number as a decimal of so many places, half to even, whichever type it has."""
    step = Decimal(1).scaleb(-decimals)

    def rounded(value: Value) -> Value:
        if type(value) not in (int, float, Decimal):
            return value
        exact = Decimal(value)  # type: ignore[arg-type]
        if not exact.is_finite() or exact.adjusted() > MOST_DECIMALS:
            return value
        near = exact.quantize(step, context=_ROUNDING).normalize(_ROUNDING)
        return _ROUNDING.add(near, 0)  # no −0

    return rounded


def _form(where: str, name: str) -> Change:
    if name == EMPTY:
        return _emptied
    if name in FORMS:
        return FORMS[name]
    places = name.removeprefix(ROUND)
    if name.startswith(ROUND) and places.isdecimal() and int(places) <= MOST_DECIMALS:
        return _rounded(int(places))
    known = ", ".join([*FORMS, EMPTY, f"{ROUND}N"])
    raise ConfigError(f"{where}: there is no form {name!r}; known: {known} (N up to 30)")


def _paths(paths: Iterable[str]) -> tuple[str, ...]:
    if isinstance(paths, str):
        raise ConfigError(f"ignore is a list of fields, not the text {paths!r}")
    return tuple(paths)


def _forms(forms: Mapping[str, Iterable[str]]) -> Mapping[str, tuple[str, ...]]:
    for path, names in forms.items():
        if isinstance(names, str):
            raise ConfigError(f"normalise.{path} is a list of forms, not the text {names!r}")
    return MappingProxyType({path: tuple(names) for path, names in forms.items()})


@attrs.frozen(eq=False)
class Compare:
    """How the two sides' records of one collection are compared.

    A field is named by its path: a dot leads into a map. A field whose own name has a dot cannot
    be named. Stamps, write ids and expiries are compared whatever stands here.

    Args:
        ignore: fields that are left out.
        normalise: by field, the forms that it is brought to, in order: names of :data:`FORMS`,
            ``empty``, or ``round:N``.

    Raises:
        ConfigError: there is no such form, or a path is empty.
    """

    ignore: tuple[str, ...] = attrs.field(converter=_paths, default=())
    normalise: Mapping[str, tuple[str, ...]] = attrs.field(converter=_forms, factory=dict)
    _changes: tuple[tuple[Path, Change | None], ...] = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        changes: list[tuple[Path, Change | None]] = [(_path(p), None) for p in self.ignore]
        for path, names in self.normalise.items():
            changes += [(_path(path), _form(f"normalise.{path}", name)) for name in names]
        object.__setattr__(self, "_changes", tuple(changes))

    @property
    def exact(self) -> bool:
        """Whether nothing is left out and nothing changed."""
        return not self._changes

    @property
    def rules(self) -> tuple[str, ...]:
        """What is left out and what is brought to a form, for reports."""
        ignored = [f"{path} ignored" for path in self.ignore]
        forms = [f"{path} as {', '.join(names)}" for path, names in self.normalise.items()]
        return (*ignored, *forms)

    def seen(self, fields: Fields) -> Fields:
        """A record as it is compared; the record itself is not touched."""
        for path, change in self._changes:
            fields = _changed(fields, path, change)
        return fields

    def differing(self, one: Fields, other: Fields) -> list[str]:
        """The paths at which two records differ; ``[]`` stands for any place of a list."""
        return list(dict.fromkeys(_differing(self.seen(one), self.seen(other), "")))


EXACT = Compare()
"""Everything, as it is."""


def _path(text: str) -> Path:
    path = tuple(text.split("."))
    if not all(path):
        raise ConfigError(f"{text!r} names no field: expected names with dots between them")
    return path


def _changed(fields: Fields, path: Sequence[str], change: Change | None) -> Fields:
    """The same fields but for the one at a path; without a ``change`` it is left out."""
    name, rest = path[0], path[1:]
    if name not in fields:
        return fields
    value = fields[name]
    if rest:
        new: Value = value if type(value) is not dict else _changed(value, rest, change)
    elif change is None or (change is _emptied and any(same(value, n) for n in _NOTHING)):
        return {other: kept for other, kept in fields.items() if other != name}
    else:
        new = change(value)
    return fields if new is value else {**fields, name: new}


def _differing(one: Value, other: Value, path: str) -> Iterator[str]:
    if type(one) is dict and type(other) is dict:
        for name in one.keys() | other.keys():
            below = f"{path}.{name}" if path else name
            if name in one and name in other:
                yield from _differing(one[name], other[name], below)
            else:
                yield below
    elif type(one) is list and type(other) is list and len(one) == len(other):
        for mine, theirs in zip(one, other, strict=True):
            yield from _differing(mine, theirs, f"{path}[]")
    elif not same(one, other):
        yield path
