"""The plugins that are installed, as entry points; finding them loads none."""

from __future__ import annotations

import os
from importlib.metadata import EntryPoint, entry_points

from polystore.errors import ConfigError

GROUP = "polystore"
"""The entry-point group of plugins."""

BLOCKED = "POLYSTORE_BLOCK_PLUGINS"
"""The environment variable with names of entry points, joined by commas, that are left out."""


def installed(scheme: str | None = None) -> list[EntryPoint]:
    """The entry points of one scheme, or of all, without those that are blocked."""
    blocked = {name.strip() for name in os.environ.get(BLOCKED, "").split(",")}
    points = entry_points(group=GROUP) if scheme is None else entry_points(group=GROUP, name=scheme)
    return [point for point in points if point.name not in blocked]


def distribution(point: EntryPoint) -> str:
    """Name of the distribution that brought an entry point."""
    return point.dist.name if point.dist else "an unnamed distribution"


def load(point: EntryPoint) -> object:
    """The plugin of one entry point.

    Raises:
        ConfigError: it cannot be imported; the cause says why.
    """
    try:
        plugin: object = point.load()
    except Exception as error:
        raise ConfigError(
            f"the plugin {point.value} of the distribution {distribution(point)} cannot be loaded "
            f"({type(error).__name__}); repair it, or leave it out with {BLOCKED}={point.name}",
            driver=point.name,
        ) from error
    return plugin
