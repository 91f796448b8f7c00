"""The drivers that can be opened here: found by name, loaded when named, opened when asked for.

An entry point of the group ``polystore`` is named by the scheme that it serves, so that opening
``dynamodb://…`` loads that one plugin and no other. A plugin module is light: it registers a
:class:`DriverSpec` whose factory is text, and only opening a URL imports an SDK.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint
from typing import Any

import pluggy

from polystore.capabilities import Capabilities
from polystore.driver import Driver
from polystore.errors import ConfigError, DriverError, PolystoreError
from polystore.observe import Event
from polystore.plugin.advice import not_importable, unknown_driver
from polystore.plugin.installed import BLOCKED, distribution, installed, load
from polystore.plugin.specs import DriverSpec, DriverURL, Hooks
from polystore.plugin.url import parse_url

BUILT_IN = "polystore.drivers"
"""The module that registers the drivers of the core; text, like the name of any plugin."""

CORE = "polystore-core"
"""The distribution of the core."""

_log = logging.getLogger("polystore.plugin")


class Registry:
    """Drivers by URL scheme, and the hooks of the plugins that brought them.

    A registry loads nothing before it is asked, and may be used by several threads. Hooks reach
    the plugins that are loaded: the built-in one, those of opened drivers, and registered ones.
    """

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager("polystore")
        self._manager.add_hookspecs(Hooks)
        self._specs: dict[str, DriverSpec] = {}
        self._origins: dict[str, str] = {}
        # Re-entrant: a plugin may register another one while it is loaded.
        self._lock = threading.RLock()

    def register(self, plugin: object, name: str | None = None) -> None:
        """Add a plugin of this process: a module, or an object with hook implementations.

        Args:
            plugin: what has them; one that is registered already is left as it is.
            name: what messages call it; by default its own name.

        Raises:
            ConfigError: it is no plugin, or it brings a driver whose name is taken.
        """
        own = getattr(plugin, "__name__", f"{type(plugin).__name__}-{id(plugin):x}")
        with self._lock:
            self._load_built_in()
            self._add(plugin, name or own, name or own)

    def names(self) -> list[str]:
        """The schemes that can be opened here, sorted. Loads no plugin but the built-in one."""
        with self._lock:
            self._load_built_in()
            return sorted({*self._specs, *(point.name for point in installed())})

    def spec(self, scheme: str) -> DriverSpec:
        """What is registered for one scheme; loads the plugin of that scheme and no other.

        Raises:
            UnknownDriver: nothing of that name is installed; says what is, and how to get it.
            ConfigError: two distributions have a driver of that name, or its plugin is broken.
        """
        with self._lock:
            self._load_built_in()
            for point in installed(scheme):
                self._load(point)
            if scheme not in self._specs:
                raise unknown_driver(scheme, self.names())
            return self._specs[scheme]

    def specs(self) -> list[DriverSpec]:
        """What is registered for every scheme, sorted. Loads all plugins, and no SDK.

        Raises:
            ConfigError: two distributions have a driver of one name, or a plugin is broken.
        """
        with self._lock:
            self._load_built_in()
            for point in installed():
                self._load(point)
            return sorted(self._specs.values(), key=lambda spec: spec.name)

    def open(self, url: str) -> Driver:
        """Open the database that a URL names.

        Raises:
            ConfigError: the URL is wrong, or what the driver needs is not installed.
            UnknownDriver: no driver of that scheme is installed.
            PolystoreError: what the driver met when it opened the database.
        """
        parsed = parse_url(url)
        spec = self.spec(parsed.scheme)
        try:
            driver = _factory(spec)(parsed)
        except PolystoreError:
            raise
        except ImportError as error:
            raise not_importable(spec, self._origins[spec.name], error) from error
        except Exception as error:
            raise DriverError(
                f"opening {spec.name}://… failed with {type(error).__name__}", driver=spec.name
            ) from error
        if not isinstance(driver, Driver):
            raise ConfigError(f"{spec.factory} must return a Driver", driver=spec.name)
        return driver

    def lower(self, driver: Driver, collection: str, declared: Capabilities) -> Capabilities:
        """What the plugins leave of a driver's promises: the meet of all answers, never more.

        Args:
            driver: the opened driver.
            collection: name of the collection.
            declared: what the driver promises for it.

        Raises:
            ConfigError: a plugin failed, or answered something else than capabilities.
        """
        left = declared
        for name, hook in self._each("polystore_lower_capabilities"):
            try:
                for answer in hook(driver=driver, collection=collection, declared=declared):
                    left &= answer
            except Exception as error:
                raise ConfigError(
                    f"the plugin {name} failed to say what an endpoint lacks "
                    f"({type(error).__name__})",
                    collection=collection,
                    driver=driver.name,
                ) from error
        return left

    def notify(self, event: Event) -> None:
        """Tell every plugin of a rare event. One that fails is logged and stops no other."""
        for name, hook in self._each("polystore_event"):
            try:
                hook(event=event.as_mapping())
            except Exception:  # noqa: BLE001  # whatever it is, the event has happened
                _log.exception("the plugin %s failed at the event %s", name, event.kind)

    def _load_built_in(self) -> None:
        self._add(import_module(BUILT_IN), BUILT_IN, CORE)

    def _load(self, point: EntryPoint) -> None:
        origin = distribution(point)
        self._add(load(point), point.value, origin)
        if point.name not in self._specs:
            raise ConfigError(
                f"the plugin {point.value} of the distribution {origin} registers no driver "
                f"{point.name!r}; repair it, or leave it out with {BLOCKED}={point.name}",
                driver=point.name,
            )
        if self._origins[point.name] != origin:
            raise self._taken(point.name, origin)

    def _add(self, plugin: object, name: str, origin: str) -> None:
        """Register a plugin and its drivers; all of it, or nothing."""
        if self._manager.is_registered(plugin):
            return
        try:
            self._manager.register(plugin, name)
            specs = self._registered_by(plugin, origin)
        except BaseException as error:
            if self._manager.is_registered(plugin):
                self._manager.unregister(plugin)
            if isinstance(error, PolystoreError) or not isinstance(error, Exception):
                raise
            raise ConfigError(
                f"the plugin {name} of {origin} cannot be registered ({type(error).__name__})"
            ) from error
        self._specs |= specs
        self._origins |= dict.fromkeys(specs, origin)

    def _registered_by(self, plugin: object, origin: str) -> dict[str, DriverSpec]:
        found: dict[str, DriverSpec] = {}
        impls = self._manager.hook.polystore_register_drivers.get_hookimpls()
        for impl in (impl for impl in impls if impl.plugin is plugin):
            registered: Any = impl.function()
            for spec in registered:
                if not isinstance(spec, DriverSpec):
                    raise ConfigError(f"{origin} registers a {type(spec).__name__} as a driver")
                if spec.name in self._specs or spec.name in found:
                    raise self._taken(spec.name, origin)
                found[spec.name] = spec
        return found

    def _taken(self, scheme: str, origin: str) -> ConfigError:
        first = self._origins.get(scheme, origin)
        return ConfigError(
            f"two plugins bring a driver {scheme!r}, from {first} and from {origin}; "
            "uninstall one of them",
            driver=scheme,
        )

    def _each(self, hook: str) -> Iterator[tuple[str, Callable[..., Any]]]:
        """One hook of one plugin after the other, with the plugin's name."""
        with self._lock:
            plugins = self._manager.get_plugins()
            impls = getattr(self._manager.hook, hook).get_hookimpls()
        for impl in impls:
            others = plugins - {impl.plugin}
            yield impl.plugin_name, self._manager.subset_hook_caller(hook, others)


def _factory(spec: DriverSpec) -> Callable[[DriverURL], object]:
    module, _, function = spec.factory.partition(":")
    found: Callable[[DriverURL], object] = getattr(import_module(module), function)
    return found


@cache
def default_registry() -> Registry:
    """The registry of this process; made when it is first asked for."""
    return Registry()
