"""URLs, placements and descriptors, without an engine."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from polystore.errors import ConfigError, InvalidKey
from polystore.plugin.specs import DriverURL
from polystore.schema import Collection
from polystore_datastore.codec import Codec
from polystore_datastore.driver import open_datastore
from polystore_datastore.limits import capabilities_of
from polystore_datastore.messages import Key
from polystore_datastore.placement import place_of
from polystore_datastore.refs import Partition
from polystore_datastore.settings import Settings, settings_of

CODEC = Codec(Partition("proj"))


@pytest.fixture(autouse=True)
def _no_emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATASTORE_EMULATOR_HOST", raising=False)


def settings(place: str, **options: str) -> Settings:
    return settings_of(DriverURL("datastore", place, options))


def test_every_option_is_read() -> None:
    assert settings(
        "proj", namespace="ns", database="db", emulator="127.0.0.1:81", timeout="2.5"
    ) == Settings(
        project="proj", namespace="ns", database="db", emulator="127.0.0.1:81", timeout=2.5
    )


def test_the_emulator_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATASTORE_EMULATOR_HOST", "http://localhost:8081")
    assert settings("proj").emulator == "localhost:8081"
    assert settings("proj", emulator="[::1]:99").emulator == "[::1]:99"


@pytest.mark.rule("ERR-5", "SEC-2")
@pytest.mark.parametrize(
    ("place", "options"),
    [
        ("", {}),
        ("user:secret@proj", {}),
        ("proj", {"password": "secret"}),
        ("proj", {"credentials": "secret"}),
        ("proj", {"unknown": "1"}),
        ("proj", {"namespace": "a b"}),
        ("proj", {"namespace": "__a__"}),
        ("proj", {"database": "(default)"}),
        ("proj", {"timeout": "0"}),
        ("proj", {"timeout": "soon"}),
        ("proj", {"insecure": "maybe"}),
        ("proj", {"emulator": "10.0.0.1:81"}),
        ("proj", {"emulator": "localhost"}),
        ("proj", {"emulator": "localhost:81/path"}),
        ("proj", {"emulator": "localhost:99999"}),
    ],
)
def test_a_wrong_url_is_refused_without_its_secrets(place: str, options: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as refused:
        settings(place, **options)
    assert "secret" not in str(refused.value)


def test_plain_text_elsewhere_needs_a_word() -> None:
    assert settings("proj", emulator="10.0.0.1:81", insecure="yes").emulator == "10.0.0.1:81"


@pytest.mark.rule("PLG-1")
def test_listing_the_driver_imports_no_sdk() -> None:
    code = (
        "import sys, polystore_datastore.plugin;"
        "sys.exit(any(m == 'grpc' or m.startswith('google.') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.rule("PLC-5")
@pytest.mark.parametrize(
    "placement",
    [
        {"path": "Customer/{customer}"},
        {"path": "Order/{order}/Customer/{customer}"},
        {"path": "Customer/{customer}/Order"},
        {"path": "Customer/{customer}/__Order__/{order}"},
        {"path": "Customer/{customer}/Order/order"},
        {"path": ""},
        {"path": 5},
        {"kind": ""},
        {"kind": "__a__"},
        {"kind": "x" * 1501},
        {"kind": "A", "path": "Customer/{customer}/Order/{order}"},
        {"indexed": "some"},
        {"table": "orders"},
    ],
)
def test_a_placement_that_datastore_has_no_room_for_is_refused(placement: dict[str, Any]) -> None:
    orders = Collection(
        "orders", ["customer:str", "order:int"], placements={"datastore": placement}
    )
    driver = open_datastore(DriverURL("datastore", "proj", {}))
    with pytest.raises(ConfigError):
        driver.capabilities(orders)


@pytest.mark.rule("PLC-5")
def test_a_path_takes_no_bytes() -> None:
    placement = {"datastore": {"path": "Blob/{hash}"}}
    with pytest.raises(ConfigError, match="bytes"):
        place_of(Collection("blobs", ["hash:bytes"], placements=placement), CODEC)


def test_a_declared_path_is_the_native_one_and_bounds_ints() -> None:
    orders = Collection(
        "orders",
        ["customer:str", "order:int"],
        placements={"datastore": {"path": "Customer/{customer}/Order/{order}"}},
    )
    place = place_of(orders, CODEC)
    assert place.path(("c", 17)) == [("Customer", "c"), ("Order", 17)]
    assert capabilities_of(place).keys.int_min == 1


def test_a_renamed_kind_keeps_single_texts_native() -> None:
    users = Collection("users", ["id"], placements={"datastore": {"kind": "User"}})
    assert place_of(users, CODEC).path(("ann",)) == [("User", "ann")]


def test_an_entity_of_another_path_is_not_of_the_collection() -> None:
    place = place_of(Collection("Order", ["id"]), CODEC)
    native = Key()
    place.fill_path(native, [("Customer", "c"), ("Order", "o")])
    assert place.key_of(native) is None
    wrong = Key()
    place.fill_path(wrong, [("Order", 5)])
    with pytest.raises(InvalidKey):
        place.key_of(wrong)
