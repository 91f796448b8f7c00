"""What to do about a driver that is not there, or not complete."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from types import MappingProxyType

from polystore.errors import ConfigError, UnknownDriver
from polystore.plugin.specs import DriverSpec

DISTRIBUTIONS: Mapping[str, str] = MappingProxyType(
    {
        "datastore": "polystore-datastore",
        "dynamodb": "polystore-dynamodb",
        "postgresql": "polystore-postgresql",
        "redis": "polystore-redis",
    }
)
"""Where the drivers of this project that are no part of the core come from.

Never ``polystore`` itself: that name in the package index is a stranger's.
"""


def unknown_driver(scheme: str, installed: Iterable[str]) -> UnknownDriver:
    """The error for a scheme that nothing installed serves."""
    known = sorted(installed)
    meant = get_close_matches(scheme, [*known, *DISTRIBUTIONS], n=1)
    parts = [f"no driver {scheme!r} is installed; installed: {', '.join(known)}"]
    if scheme not in DISTRIBUTIONS and meant:
        parts.append(f"did you mean {meant[0]!r}?")
    for name in (scheme, *meant):
        if name in DISTRIBUTIONS and name not in known:
            parts.append(f"get {name!r} with: pip install {DISTRIBUTIONS[name]}")
            break
    return UnknownDriver(". ".join(parts), driver=scheme)


def not_importable(spec: DriverSpec, origin: str, error: ImportError) -> ConfigError:
    """The error for a driver whose own code, or SDK, cannot be imported."""
    missing = error.name or spec.factory.partition(":")[0]
    return ConfigError(
        f"the driver needs the module {missing!r}, which cannot be imported; "
        f"install it with all that it needs: pip install {DISTRIBUTIONS.get(spec.name, origin)}",
        driver=spec.name,
    )
