"""Rates and policies that an operator sets while everything runs. Pure.

They are part of the control record, without an epoch of their own: members learn of them with their
next look, and nothing waits for that. What was never set is as each process is configured.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import attrs

from polystore.capacity import Capacity, check_overload
from polystore.errors import InvalidRequest
from polystore.values import Fields

BACKFILL = "backfill"
"""The limit of a copy: records a second that it brings to the target."""

_LIMIT = re.compile(r"(source|target)\.(rate|bytes|concurrency)\Z")


def _sorted(pairs: Mapping[str, object] | tuple[tuple[str, object], ...]) -> tuple[object, ...]:
    return tuple(sorted(dict(pairs).items()))


@attrs.frozen
class Load:
    """What an operator has set.

    Attributes:
        limits: by ``backfill``, or by side and limit, such as ``target.rate``; 0 lifts one.
        overload: overload policies, by collection.
    """

    limits: tuple[tuple[str, float], ...] = attrs.field(default=(), converter=_sorted)
    overload: tuple[tuple[str, str], ...] = attrs.field(default=(), converter=_sorted)

    def limited(self, name: str, value: float | None) -> Load:
        """With a limit: a number, 0 for none, ``None`` as configured.

        Raises:
            InvalidRequest: there is no such limit, or it cannot be this number.
        """
        if name != BACKFILL and not _LIMIT.match(name):
            raise InvalidRequest(f"there is no limit {name!r}: such as target.rate, or {BACKFILL}")
        if value is not None and value < 0:
            raise InvalidRequest("a limit is above 0; 0 lifts it")
        if value and name.endswith(".concurrency") and value != int(value):
            raise InvalidRequest("calls at a time are a whole number")
        kept = {key: known for key, known in self.limits if key != name}
        return Load(kept if value is None else {**kept, name: value}, self.overload)

    def overloaded(self, collection: str, policy: str | None) -> Load:
        """With an overload policy for a collection; ``None`` as configured.

        Raises:
            ConfigError: there is no such policy.
        """
        kept = {name: known for name, known in self.overload if name != collection}
        if policy is None:
            return Load(self.limits, kept)
        check_overload(collection, policy)
        return Load(self.limits, {**kept, collection: policy})

    def capacity(self, side: str, configured: Capacity) -> Capacity:
        """The limits of a side."""
        limits = dict(self.limits)

        def limit(name: str) -> float | None:
            value = limits.get(f"{side}.{name}")
            return getattr(configured, name) if value is None else value or None

        calls = limit("concurrency")
        return Capacity(
            rate=limit("rate"),
            bytes=limit("bytes"),
            concurrency=None if calls is None else int(calls),
        )

    def backfill(self, configured: float | None) -> float | None:
        """Records a second that a copy may bring to the target; ``None``: all it can."""
        value = dict(self.limits).get(BACKFILL)
        return configured if value is None else value or None

    def policy(self, collection: str, configured: str) -> str:
        """The overload policy of a collection."""
        return dict(self.overload).get(collection, configured)

    def to_fields(self) -> Fields:
        """As a field of the control record."""
        return {"limits": dict(self.limits), "overload": dict(self.overload)}

    @classmethod
    def from_fields(cls, fields: object) -> Load:
        """What a record says."""
        assert isinstance(fields, Mapping)
        return cls(fields["limits"], fields["overload"])
