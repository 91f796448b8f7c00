"""What a configuration holds, and what must hold between its parts however it was made."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType

import attrs

from polystore.capacity import Capacity
from polystore.config.agreed import Agreed
from polystore.errors import ConfigError
from polystore.schema import ADOPT, Collection, check_foreign


def _scheme_only(url: str | None) -> str:
    """A URL as ``repr`` shows it: what follows the scheme may be secret."""
    return "None" if url is None else f"'{url.partition('://')[0]}://…'"


def _names(collections: Iterable[str]) -> tuple[str, ...]:
    return tuple(collections)


def _check_seconds(where: str, **seconds: float) -> None:
    for name, value in seconds.items():
        if not 0 < value < math.inf:
            raise ConfigError(f"{where}{name} must be a positive number of seconds, not {value}")


def _frozen_capacity(capacity: Mapping[str, Capacity]) -> Mapping[str, Capacity]:
    return MappingProxyType(dict(capacity))


TIMES = ("lease", "poll", "fast_poll", "quarantine", "call_timeout")
"""The fields of a group that are seconds."""


@attrs.frozen(kw_only=True)
class Group:
    """Collections that migrate together: one control record, one epoch, one hash.

    Args:
        name: what commands call it.
        source: URL of the side that a migration starts from. ``repr`` shows schemes alone.
        target: URL of the side that it goes to.
        control: URL of the control store; the source's by default.
        collections: names of its collections.
        colocate: how many leading key fields decide the bucket of a key; ``None`` is all of them,
            and then the dial knows 0 and 100 % alone.
        lease: seconds for which a member may trust its last look at its own record.
        poll: seconds between two looks.
        fast_poll: seconds between two looks while a change is announced.
        quarantine: seconds after which a plain call without an answer cannot land any more.
        call_timeout: seconds that one call of a database may take.
        capacity: what each side may be asked for by one process, by ``source`` and ``target``.
        backfill_rate: records a second that a copy brings to the target; ``None``: all it can.
        gates: what its operators have agreed on for the gates.
        foreign: what becomes of a record that somebody wrote past the library: ``adopt``, or
            ``halt``, which stops the run where it is; a collection may say otherwise.

    Raises:
        ConfigError: a time is not positive, or they do not fit together.
    """

    name: str
    source: str = attrs.field(repr=_scheme_only)
    target: str = attrs.field(repr=_scheme_only)
    control: str = attrs.field(repr=_scheme_only)
    collections: tuple[str, ...] = attrs.field(converter=_names)
    colocate: int | None = None
    lease: float = 5.0
    poll: float = 1.0
    fast_poll: float = 0.05
    quarantine: float = 60.0
    call_timeout: float = 5.0
    capacity: Mapping[str, Capacity] = attrs.field(
        converter=_frozen_capacity, factory=dict, hash=False
    )
    backfill_rate: float | None = None
    gates: Agreed = attrs.field(factory=Agreed)
    foreign: str = ADOPT

    @control.default
    def _control(self) -> str:
        return self.source

    def __attrs_post_init__(self) -> None:
        where = f"groups.{self.name}."
        _check_seconds(where, **{name: getattr(self, name) for name in TIMES})
        if not self.fast_poll <= self.poll < self.lease:
            raise ConfigError(f"{where}poll must be at least fast_poll and less than lease")
        # PROTOCOL 3.6: within it a plain call lands or never does.
        if self.quarantine < 2 * self.call_timeout:
            raise ConfigError(f"{where}quarantine must be at least twice call_timeout")
        if self.source == self.target:
            raise ConfigError(f"{where}target must be another place than source")
        if not self.collections:
            raise ConfigError(f"{where}collections must name at least one collection")
        if not {"source", "target"} >= self.capacity.keys():
            raise ConfigError(f"{where}capacity is of source and target")
        if self.backfill_rate is not None and not 0 < self.backfill_rate < math.inf:
            raise ConfigError(f"{where}capacity.backfill must be above 0")
        check_foreign(where, self.foreign)
        if self.colocate is not None and self.colocate < 1:
            raise ConfigError(f"{where}colocate must be at least 1, a number of key fields")


def _names_only(collections: Mapping[str, Collection]) -> str:
    return str(list(collections))


def _frozen_collections(collections: Mapping[str, Collection]) -> Mapping[str, Collection]:
    return MappingProxyType(dict(collections))


def _frozen_groups(groups: Mapping[str, Group]) -> Mapping[str, Group]:
    return MappingProxyType(dict(groups))


@attrs.frozen(kw_only=True, eq=False)
class Config:
    """All that a store needs to know before it opens anything.

    Args:
        url: the database of collections in no group. ``repr`` shows its scheme alone.
        collections: by name.
        groups: by name.
        timeout: seconds that one operation of an application may take, retries and waits included.
        capacity: what the database at ``url`` may be asked for by one process.

    Raises:
        ConfigError: the parts do not fit together; the message names the part.
    """

    url: str | None = attrs.field(default=None, repr=_scheme_only)
    collections: Mapping[str, Collection] = attrs.field(
        converter=_frozen_collections, factory=dict, repr=_names_only
    )
    groups: Mapping[str, Group] = attrs.field(converter=_frozen_groups, factory=dict)
    timeout: float = 10.0
    capacity: Capacity = attrs.field(factory=Capacity)

    def __attrs_post_init__(self) -> None:
        _check_seconds("", timeout=self.timeout)
        for group in self.groups.values():
            self._check_members(group)
            self._check_colocation(group)
        for name in self.collections if self.url is None else ():
            if self.group_of(name) is None:
                raise ConfigError(
                    f"collections.{name}: in no group, so the configuration needs a url for it"
                )

    def group_of(self, collection: str) -> Group | None:
        """The group that a collection migrates with, or ``None``."""
        return next((g for g in self.groups.values() if collection in g.collections), None)

    def _check_members(self, group: Group) -> None:
        where = f"groups.{group.name}.collections"
        for name in group.collections:
            if name not in self.collections:
                declared = ", ".join(self.collections) or "none"
                raise ConfigError(f"{where}: {name!r} is not declared; declared: {declared}")
            if self.group_of(name) is not group:
                other = self.group_of(name)
                assert other is not None
                raise ConfigError(f"{where}: {name!r} is in the group {other.name!r} already")
            if group.collections.count(name) > 1:
                raise ConfigError(f"{where}: {name!r} is named twice")

    def _check_colocation(self, group: Group) -> None:
        """One bucket for all records that belong together needs one form of colocation key."""
        if group.colocate is None:
            return
        where = f"groups.{group.name}.colocate"
        first = self.collections[group.collections[0]]
        for collection in (self.collections[name] for name in group.collections):
            if len(collection.key) < group.colocate:
                raise ConfigError(
                    f"{where}: {group.colocate} is more than the {len(collection.key)} key fields "
                    f"of {collection.name!r}"
                )
            for one, other in zip(first.key[: group.colocate], collection.key, strict=False):
                if one.type is not other.type:
                    raise ConfigError(
                        f"{where}: key field {other.name!r} of {collection.name!r} is "
                        f"{other.type.__name__}, but {one.name!r} of {first.name!r} is "
                        f"{one.type.__name__}: the leading {group.colocate} must have equal types"
                    )
