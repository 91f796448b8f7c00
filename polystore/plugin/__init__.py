"""Hookspecs and the registry of drivers."""

from polystore.plugin.registry import Registry, parse_url
from polystore.plugin.specs import DriverSpec, DriverURL, hookimpl

__all__ = ["DriverSpec", "DriverURL", "Registry", "hookimpl", "parse_url"]
