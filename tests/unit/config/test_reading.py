"""Configurations from TOML and from mappings."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest

from polystore.config import Agreed, Group, load, parse
from polystore.errors import ConfigError
from polystore.schema import Collection, Index

TOML = """
url = "memory://rest"
timeout = 7
[collections.cities]
key = ["country:str", "city:int"]
partition = 2
oversized = "compress"
[collections.cities.indexes]
by_state = ["state", "name"]
[collections.cities.datastore]
path = "Country/{country}/City/{city}"
[collections.countries]
key = ["country"]
[collections.notes]
key = ["id:bytes"]
[groups.geo]
collections = ["cities", "countries"]
source = "datastore://a"
target = "dynamodb://b?token=${POLYSTORE_TEST_TOKEN}"
colocate = 1
lease = 4
poll = 0.5
"""
SECRET = "hunter2"


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYSTORE_TEST_TOKEN", SECRET)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "polystore.toml"
    path.write_text(TOML)
    return path


def test_a_file_becomes_collections_and_groups(file: Path) -> None:
    config = load(file)
    assert (config.url, config.timeout) == ("memory://rest", 7.0)
    assert list(config.collections) == ["cities", "countries", "notes"]
    assert config.groups["geo"] == Group(
        name="geo",
        source="datastore://a",
        target=f"dynamodb://b?token={SECRET}",
        control="datastore://a",
        collections=["cities", "countries"],
        colocate=1,
        lease=4.0,
        poll=0.5,
    )
    assert config.group_of("cities") is config.groups["geo"]
    assert config.group_of("notes") is None


@pytest.mark.rule("PLC-1")
def test_toml_and_python_declarations_make_equal_collections(file: Path) -> None:
    expected = Collection(
        "cities",
        ["country:str", "city:int"],
        partition=2,
        indexes=[Index("by_state", ["state", "name"])],
        placements={"datastore": {"path": "Country/{country}/City/{city}"}},
        oversized="compress",
    )
    read = load(file).collections["cities"]
    for name in ("name", "key", "key_names", "partition", "indexes", "placements", "oversized"):
        assert getattr(read, name) == getattr(expected, name), name


@pytest.mark.rule("SEC-2")
def test_repr_shows_schemes_alone(file: Path) -> None:
    text = repr(load(file))
    assert SECRET not in text
    assert "dynamodb://…" in text


BASE: dict[str, Any] = {
    "url": "memory://rest",
    "collections": {"cities": {"key": ["country", "city:int"]}, "notes": {"key": ["id:int"]}},
    "groups": {"geo": {"collections": ["cities"], "source": "a://x", "target": "b://x"}},
}
REMOVED = object()


def changed(path: str, value: object) -> dict[str, Any]:
    data = copy.deepcopy(BASE)
    *tables, name = path.split(".")
    table = data
    for step in tables:
        table = table.setdefault(step, {})
    if value is REMOVED:
        del table[name]
    else:
        table[name] = value
    return data


WRONG: list[tuple[str, object, str]] = [
    ("ulr", "x", "ulr: unknown; did you mean 'url'?"),
    ("colour", "x", "colour: unknown; expected: url, timeout, capacity, collections, groups"),
    ("url", SECRET, "url: expected the URL of a database"),
    ("url", 7, "url: expected a text, not 7"),
    ("url", REMOVED, "collections.notes: in no group, so the configuration needs a url"),
    ("url", "a://${POLYSTORE_TEST_UNSET}", "POLYSTORE_TEST_UNSET is not set"),
    ("url", f"a://${{{SECRET}", "url: expected ${NAME}"),
    ("url", f"a://${{}}{SECRET}", "url: expected ${NAME}"),
    ("timeout", "10", "timeout: expected a number of seconds, not str"),
    ("timeout", True, "timeout: expected a number of seconds, not bool"),
    ("timeout", 0, "timeout must be a positive number"),
    ("timeout", float("nan"), "timeout must be a positive number"),
    ("timeout", float("inf"), "timeout must be a positive number"),
    ("collections", ["cities"], "collections: expected a table"),
    ("collections.cities", "x", "collections.cities: expected a table"),
    ("collections.a b", {"key": ["id"]}, "collections.a b: collection 'a b': a name has"),
    ("collections.cities.key", REMOVED, "collections.cities.key: missing; expected a list"),
    ("collections.cities.key", "country", "collections.cities.key: expected a list"),
    (
        "collections.cities.key",
        [],
        "collections.cities.key: expected a list of texts, not an empty",
    ),
    ("collections.cities.key", ["a", 1], "collections.cities.key[1]: expected a text, not 1"),
    ("collections.cities.key", ["a:float"], "collections.cities: key field 'a:float': the type"),
    ("collections.cities.key", ["_ps_a"], "cannot be called '_ps_a'"),
    ("collections.cities.partition", True, "partition: expected a whole number of at least 1"),
    ("collections.cities.partition", 3, "collections.cities: collection 'cities': partition must"),
    ("collections.cities.oversized", "zip", "oversized is one of reject, compress, not 'zip'"),
    ("collections.cities.oversized", 1, "collections.cities.oversized: expected a text, not 1"),
    ("collections.cities.partitions", 2, "partitions: unknown; did you mean 'partition'?"),
    ("collections.cities.indices", {}, "indices: unknown; did you mean 'indexes'?"),
    ("collections.cities.colour", 2, "colour: unknown; expected: key, partition, indexes"),
    ("collections.cities.indexes", ["x"], "collections.cities.indexes: expected a table"),
    ("collections.cities.indexes.by", "state", "indexes.by: expected a list"),
    ("groups.geo", [], "groups.geo: expected a table"),
    ("groups.geo.source", REMOVED, "groups.geo.source: missing; expected the URL"),
    ("groups.geo.target", REMOVED, "groups.geo.target: missing; expected the URL"),
    ("groups.geo.target", f"/{SECRET}", "groups.geo.target: expected the URL"),
    ("groups.geo.target", "a://x", "groups.geo.target must be another place than source"),
    ("groups.geo.control", 1.5, "groups.geo.control: expected a text, not float"),
    ("groups.geo.sorce", "a://x", "groups.geo.sorce: unknown; did you mean 'source'?"),
    ("groups.geo.collections", REMOVED, "groups.geo.collections: missing"),
    ("groups.geo.collections", ["towns"], "'towns' is not declared; declared: cities, notes"),
    ("groups.geo.collections", ["cities", "cities"], "'cities' is named twice"),
    ("groups.b", BASE["groups"]["geo"], "groups.b.collections: 'cities' is in the group 'geo'"),
    ("groups.geo.colocate", 0, "groups.geo.colocate: expected a whole number of at least 1"),
    ("groups.geo.colocate", 3, "groups.geo.colocate: 3 is more than the 2 key fields of 'cities'"),
    ("groups.geo.lease", "5 s", "groups.geo.lease: expected a number of seconds, not str"),
    ("groups.geo.lease", -1, "groups.geo.lease must be a positive number"),
    ("groups.geo.lease", 0.5, "groups.geo.poll must be at least fast_poll and less than lease"),
    ("groups.geo.fast_poll", 2, "groups.geo.poll must be at least fast_poll"),
    ("groups.geo.gates", 5, "groups.geo.gates: expected a table"),
    ("groups.geo.gates", {"window": -1}, "groups.geo.gates.window must be a number of at least 0"),
    ("groups.geo.gates", {"reads": 1.5}, "groups.geo.gates.reads: expected a whole number"),
    ("groups.geo.gates", {"verfied": 1}, "gates.verfied: unknown; did you mean 'verified'?"),
    ("groups.geo.quarantine", 9, "groups.geo.quarantine must be at least twice call_timeout"),
]


@pytest.mark.rule("PLC-2", "ERR-5", "SEC-2")
@pytest.mark.parametrize(("path", "value", "message"), WRONG)
def test_what_is_wrong_is_refused_with_its_place(path: str, value: object, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        parse(changed(path, value), "app.toml")
    assert str(caught.value).startswith("app.toml: ")
    assert SECRET not in str(caught.value)


def test_the_form_that_mistakes_are_made_in_is_right() -> None:
    assert parse(BASE, "app.toml").groups["geo"].control == "a://x"


@pytest.mark.rule("GATE-12")
def test_what_was_agreed_on_for_the_gates() -> None:
    data = changed("groups.geo.gates", {"window": 3600, "reads": 500})
    assert parse(data, "app.toml").groups["geo"].gates == Agreed(window=3600.0, reads=500)
    assert parse(BASE, "app.toml").groups["geo"].gates == Agreed(verified=86_400.0, backlog=5.0)


@pytest.mark.rule("PLC-2")
def test_key_fields_that_decide_a_bucket_must_have_equal_types() -> None:
    data = changed("groups.geo.collections", ["cities", "notes"])
    assert parse(data, "app.toml").groups["geo"].colocate is None
    data["groups"]["geo"]["colocate"] = 1
    expected = (
        "app.toml: groups.geo.colocate: key field 'id' of 'notes' is int, but 'country' of "
        "'cities' is str: the leading 1 must have equal types"
    )
    with pytest.raises(ConfigError, match=re.escape(expected)):
        parse(data, "app.toml")


@pytest.mark.rule("PLC-2")
def test_a_placement_for_a_driver_that_nobody_knows_is_refused() -> None:
    data = changed("collections.cities.dynamodbb", {"table": "cities"})
    assert "dynamodbb" in parse(data, "app.toml").collections["cities"].placements
    with pytest.raises(ConfigError, match=r"cities\.dynamodbb: unknown; did you mean 'dynamodb'"):
        parse(data, "app.toml", ["dynamodb", "memory"])
    data = changed("collections.cities.memory", 7)
    with pytest.raises(ConfigError, match=r"collections\.cities\.memory: expected a table, not 7"):
        parse(data, "app.toml", ["dynamodb", "memory"])


def test_placements_for_the_drivers_of_its_own_urls_are_always_taken() -> None:
    data = changed("collections.cities.b", {"table": "cities"})
    placements = parse(data, "app.toml", ["memory"]).collections["cities"].placements
    assert placements == {"b": {"table": "cities"}}


def test_a_name_that_is_no_text_is_refused() -> None:
    with pytest.raises(ConfigError, match="7: expected a text as name, not 7"):
        parse({7: "x"}, "here")  # type: ignore[dict-item]  # that is the test


def test_what_is_no_table_at_all_is_refused() -> None:
    with pytest.raises(ConfigError, match="here: the configuration: expected a table, not str"):
        parse("url", "here")  # type: ignore[arg-type]  # that is the test


@pytest.mark.rule("PLC-2", "ERR-5")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'url = "memory://"\nkey = [1,\n', r"is not TOML: .*\(at "),
        (b"a = 1\nb c = 2", r"is not TOML: .*line 2"),
        (b'url = "\xff"', r"is not text in UTF-8 \(byte 7\)"),
    ],
)
def test_a_file_that_is_no_toml_is_refused_with_the_line(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "wrong.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"wrong\.toml: {message}"):
        load(path)


@pytest.mark.rule("ERR-5")
def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.toml: cannot be read \(No such file"):
        load(tmp_path / "absent.toml")
