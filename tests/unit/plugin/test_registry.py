"""The registry of drivers, on distributions that are really installed."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from polystore.capabilities import Capabilities, Limit, Records
from polystore.errors import ConfigError, DriverError, UnknownDriver
from polystore.observe import Event
from polystore.observe.events import STAGE_CHANGED
from polystore.plugin import DriverSpec, Registry, default_registry, hookimpl
from tests.unit.plugin.distributions import install, plugin

EVENT = Event(STAGE_CHANGED, "geo", {"to": "dual-write"})


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed distributions; modules loaded from it are forgotten again."""
    monkeypatch.syspath_prepend(tmp_path)
    loaded = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - loaded:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.mark.rule("PLG-1")
def test_listing_drivers_imports_no_sdk() -> None:
    code = """
import json, sys
from polystore.plugin import Registry
print(json.dumps([[spec.name for spec in Registry().specs()], list(sys.modules)]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names, modules = json.loads(done.stdout)
    assert {"memory", "sqlite"} <= set(names)
    assert not {"boto3", "botocore", "google.cloud.datastore", "grpc"} & set(modules)


@pytest.mark.rule("PLG-1")
def test_asking_for_one_driver_loads_its_plugin_and_no_other(site: Path) -> None:
    install(site, "has-one", {"one": "plugin_one"}, plugin_one=plugin("one"))
    install(site, "has-two", {"two": "plugin_two"}, plugin_two=plugin("two"))
    registry = Registry()
    assert {"one", "two"} <= set(registry.names())
    assert registry.spec("one").name == "one"
    assert "plugin_one" in sys.modules
    assert "plugin_two" not in sys.modules
    assert {"one", "two"} <= {spec.name for spec in registry.specs()}


@pytest.mark.rule("PLG-2")
def test_an_unknown_driver_is_an_error_that_lists_those_installed(site: Path) -> None:
    install(site, "has-one", {"one": "plugin_one"}, plugin_one=plugin("one"))
    with pytest.raises(UnknownDriver, match=r"no driver 'onne'.*memory.*one.*mean 'one'\?") as e:
        Registry().open("onne://place")
    assert e.value.driver == "onne"
    assert "plugin_one" not in sys.modules


@pytest.mark.rule("PLG-2")
@pytest.mark.parametrize(
    ("scheme", "hint"),
    [
        ("redis", "pip install polystore-redis"),
        ("postgres", "pip install polystore-postgresql"),
        ("dynamo", "pip install polystore-dynamodb"),
        ("datastor", "pip install polystore-datastore"),
    ],
)
def test_an_unknown_driver_of_ours_says_how_to_get_it(
    scheme: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLYSTORE_BLOCK_PLUGINS", "redis, postgresql,dynamodb,datastore")
    with pytest.raises(UnknownDriver) as caught:
        Registry().spec(scheme)
    assert hint in str(caught.value)
    assert "pip install polystore." not in f"{caught.value}."


def test_a_blocked_plugin_is_as_if_it_were_not_installed(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(site, "has-one", {"one": "plugin_one"}, plugin_one=plugin("one"))
    install(site, "is-bad", {"bad": "plugin_bad"}, plugin_bad="raise RuntimeError")
    monkeypatch.setenv("POLYSTORE_BLOCK_PLUGINS", "bad, one")
    registry = Registry()
    assert not {"one", "bad"} & set(registry.names())
    registry.specs()
    with pytest.raises(UnknownDriver):
        registry.spec("one")


def test_two_distributions_with_one_driver_are_an_error_that_names_both(site: Path) -> None:
    install(site, "has-one", {"one": "plugin_a"}, plugin_a=plugin("one"))
    install(site, "also-one", {"one": "plugin_b"}, plugin_b=plugin("one"))
    registry = Registry()
    for ask in (registry.specs, lambda: registry.spec("one"), lambda: registry.open("one://x")):
        with pytest.raises(ConfigError) as caught:
            ask()
        assert "has-one" in str(caught.value)
        assert "also-one" in str(caught.value)


def test_a_second_distribution_cannot_take_over_a_driver_of_the_core(site: Path) -> None:
    install(site, "has-memory", {"memory": "plugin_m"}, plugin_m=plugin("memory"))
    with pytest.raises(ConfigError, match=r"polystore-core.*has-memory"):
        Registry().spec("memory")


def test_two_schemes_of_one_plugin_module_are_no_conflict(site: Path) -> None:
    both = {"one": "plugin_both", "two": "plugin_both"}
    install(site, "has-both", both, plugin_both=plugin("one", "two"))
    registry = Registry()
    assert [registry.spec(name).name for name in ("one", "two")] == ["one", "two"]


@pytest.mark.parametrize(
    "text",
    [
        "raise RuntimeError('hunter2')",
        "import no_such_module",
        "",
        plugin("other"),
        plugin("one", "one"),
        plugin("one").replace("return [", "return ['one'] + ["),
        plugin("one").replace("return [", "raise RuntimeError; return ["),
        plugin("one").replace("drivers():", "drivers(what):"),
        plugin("one").replace("return [", "return None and ["),
    ],
)
def test_a_broken_plugin_is_named_with_its_distribution(site: Path, text: str) -> None:
    install(site, "is-bad", {"one": "plugin_bad"}, plugin_bad=text)
    registry = Registry()
    for _ in range(2):
        with pytest.raises(ConfigError, match="is-bad"):
            registry.spec("one")


def test_opening_without_the_sdk_says_what_to_install(site: Path) -> None:
    install(
        site,
        "has-one",
        {"one": "plugin_one"},
        plugin_one=plugin("one", factory="driver_one:open"),
        driver_one="import no_such_sdk",
    )
    with pytest.raises(ConfigError, match=r"'no_such_sdk'.*pip install has-one") as caught:
        Registry().open("one://x")
    assert isinstance(caught.value.__cause__, ImportError)


@pytest.mark.rule("ERR-1", "SEC-2")
@pytest.mark.parametrize(
    ("factory", "error"),
    [
        ("def open(url): raise RuntimeError(dict(url.options))", DriverError),
        ("def open(url): return url", ConfigError),
        ("def other(url): return url", DriverError),
        ("from polystore.errors import *\ndef open(url): raise ConfigError('x')", ConfigError),
    ],
)
def test_a_factory_that_fails_raises_an_error_of_the_tree(
    site: Path, factory: str, error: type[Exception]
) -> None:
    text = plugin("one", factory="driver_one:open")
    install(site, "has-one", {"one": "plugin_one"}, plugin_one=text, driver_one=factory)
    with pytest.raises(error) as caught:
        Registry().open("one://x?token=hunter2")
    assert "hunter2" not in str(caught.value)


class Lowers:
    """A plugin that knows of an endpoint that takes records of so many bytes."""

    def __init__(self, most: int | None) -> None:
        self.size = None if most is None else Limit(most, "bytes", "record", "here")

    @hookimpl
    def polystore_lower_capabilities(self, declared: Capabilities) -> Capabilities:
        return Capabilities(records=Records(size=self.size), transactions=declared.transactions)


@pytest.mark.rule("CAP-2")
def test_plugins_lower_capabilities_and_never_raise_them() -> None:
    registry = Registry()
    driver = registry.open("memory://")
    declared = Capabilities(records=Records(size=Limit(100, "bytes", "record", "there")))
    assert registry.lower(driver, "cities", declared) == declared
    for plugin_object in (Lowers(None), Lowers(1000), Lowers(50), Lowers(70)):
        registry.register(plugin_object)
    lowered = registry.lower(driver, "cities", declared)
    assert lowered == Capabilities(records=Records(size=Limit(50, "bytes", "record", "here")))


class Fails:
    """A plugin whose every hook fails."""

    @hookimpl
    def polystore_lower_capabilities(self) -> Capabilities:
        raise RuntimeError("broken")

    @hookimpl
    def polystore_event(self) -> None:
        raise RuntimeError("broken")


def test_a_plugin_that_cannot_say_what_an_endpoint_lacks_stops_the_opening() -> None:
    registry = Registry()
    driver = registry.open("memory://")
    registry.register(Fails(), "fails")
    with pytest.raises(ConfigError, match="plugin fails"):
        registry.lower(driver, "cities", Capabilities())


class Hears:
    """A plugin that remembers events."""

    def __init__(self) -> None:
        self.heard: list[Mapping[str, Any]] = []

    @hookimpl
    def polystore_event(self, event: Mapping[str, Any]) -> None:
        self.heard.append(event)


def test_a_plugin_that_fails_at_an_event_is_logged_and_stops_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    registry = Registry()
    before, after = Hears(), Hears()
    for plugin_object, name in ((before, "a"), (Fails(), "fails"), (after, "b")):
        registry.register(plugin_object, name)
    with caplog.at_level(logging.ERROR):
        registry.notify(EVENT)
    expected = [{"kind": "stage-changed", "group": "geo", "to": "dual-write"}]
    assert before.heard == after.heard == expected
    assert [record.getMessage() for record in caplog.records] == [
        "the plugin fails failed at the event stage-changed"
    ]


class Brings:
    """A plugin of this process with one driver."""

    @hookimpl
    def polystore_register_drivers(self) -> Iterable[DriverSpec]:
        return [DriverSpec(name="mine", factory="x:y", summary="", url="mine://")]


def test_a_plugin_of_this_process_can_be_registered_once_or_again() -> None:
    registry = Registry()
    mine = Brings()
    registry.register(mine)
    registry.register(mine)
    assert registry.spec("mine").factory == "x:y"
    assert "mine" in registry.names()


def test_a_refused_plugin_leaves_nothing_behind() -> None:
    registry = Registry()
    registry.register(Brings(), "first")
    with pytest.raises(ConfigError, match="from first and from second"):
        registry.register(Brings(), "second")
    registry.register(Hears(), "second")


def test_the_default_registry_is_one() -> None:
    assert default_registry() is default_registry()
