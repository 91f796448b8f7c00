"""What a rehearsal works on: the group as it is declared, on two places that may be spoilt."""

from __future__ import annotations

import attrs

from polystore.capacity import Capacity
from polystore.config import Config
from polystore.errors import ConfigError

OPERATION_SECONDS = 15.0
"""Time of one operation: all processes share one small machine."""


def rehearsed(config: Config, group: str, source: str, target: str) -> Config:
    """The configuration of a group on other places: its limits are left out.

    Its times are shorter than a fleet needs: a rehearsal waits for each of them several times.

    Args:
        config: as it is declared for the real databases.
        group: its name.
        source, target: URLs of the places.

    Raises:
        ConfigError: one of the places is one of the real databases.
    """
    declared = config.groups[group]
    if {source, target} & {declared.source, declared.target, declared.control}:
        raise ConfigError(
            "a rehearsal writes to both places, so neither may be a database of the group itself"
        )
    there = attrs.evolve(
        declared,
        source=source,
        target=target,
        control=source,
        capacity={},
        backfill_rate=None,
        lease=2.0,
        poll=0.5,
        fast_poll=0.05,
        call_timeout=3.0,
        quarantine=6.0,
    )
    return attrs.evolve(
        config,
        url=None,
        timeout=OPERATION_SECONDS,
        capacity=Capacity(),
        groups={group: there},
        collections={name: config.collections[name] for name in declared.collections},
    )
