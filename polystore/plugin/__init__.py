"""Hookspecs and the registry of drivers."""

from polystore.plugin.registry import Registry, default_registry
from polystore.plugin.specs import DriverSpec, DriverURL, hookimpl
from polystore.plugin.url import parse_url

__all__ = ["DriverSpec", "DriverURL", "Registry", "default_registry", "hookimpl", "parse_url"]
