"""What the suite does not see of this driver: its URL, its errors, its server's settings."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
import redis

import polystore_engines.redis
from polystore.driver import (
    ANYTHING,
    Consistency,
    Driver,
    Refused,
    Segment,
    Unchanged,
    Write,
    Written,
)
from polystore.driver.faults import Silent
from polystore.driver.keycodec import encode_key
from polystore.errors import (
    ConfigError,
    DriverError,
    OutcomeUnknown,
    PermissionDenied,
    Throttled,
    Unavailable,
)
from polystore.plugin.registry import default_registry
from polystore.plugin.specs import DriverURL
from polystore.queries import QueryPlan
from polystore.schema import Collection
from polystore_engines import Engine
from polystore_redis.driver import RedisDriver, open_redis
from polystore_redis.faults import NotSent, translated
from polystore_redis.settings import settings_of

Opened = Callable[..., Driver]

_numbers = count(1)


@pytest.fixture
def opened(redis_engine: Engine) -> Iterator[Opened]:
    """Opens drivers on the server; all are closed in the end."""
    drivers: list[Driver] = []

    def open_() -> Driver:
        drivers.append(default_registry().open(redis_engine.url))
        return drivers[-1]

    yield open_
    for driver in drivers:
        driver.close()


def things(driver: Driver, **declaration: object) -> Collection:
    collection = Collection(f"redis{next(_numbers)}", ["id"], **declaration)  # type: ignore[arg-type]
    driver.create(collection)
    return collection


def url(place: str = "cache.example:7000/3", **options: str) -> DriverURL:
    return DriverURL("redis", place, options)


def test_tls_is_on_unless_told_otherwise() -> None:
    far = settings_of(url(user="ann"))
    assert (far.client["host"], far.client["port"], far.client["db"]) == ("cache.example", 7000, 3)
    assert far.tls
    assert not settings_of(url("127.0.0.1")).tls
    assert settings_of(url("127.0.0.1", tls="yes")).tls


@pytest.mark.rule("ERR-3")
def test_a_password_is_seen_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_PASSWORD", "s3cret")
    settings = settings_of(url())
    assert settings.client["password"] == "s3cret"
    assert "s3cret" not in repr(settings)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (url(""), "expected redis://HOST"),
        (url("cache.example/x"), "expected redis://HOST"),
        (url(tls="no!"), "tls is yes or no"),
        (url(connections="0"), "connections is a number"),
        (url(timeout="0"), "timeout is a number"),
        (url(prefx="x"), "there are: user, prefix"),
    ],
)
def test_a_wrong_url_is_refused(wrong: DriverURL, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        open_redis(wrong)


@pytest.mark.rule("DRV-7")
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (redis.TimeoutError("secret"), OutcomeUnknown),
        (redis.ConnectionError("secret"), OutcomeUnknown),
        (redis.ResponseError("OOM command not allowed secret"), Throttled),
        (redis.ResponseError("MISCONF secret"), Unavailable),
        (redis.ResponseError("NOAUTH secret"), PermissionDenied),
        (redis.ResponseError("ERR secret"), DriverError),
        (redis.ResponseError("ERR in script: @user_script:1: -OOM command secret"), Throttled),
        (redis.exceptions.OutOfMemoryError("secret"), Throttled),
        (redis.exceptions.ReadOnlyError("secret"), Unavailable),
        (redis.exceptions.BusyLoadingError("secret"), Unavailable),
        (redis.exceptions.NoPermissionError("secret"), PermissionDenied),
        (redis.AuthenticationError("secret"), PermissionDenied),
        (NotSent(), Unavailable),
        (Silent(), Unavailable),
    ],
)
def test_what_an_error_stands_for(error: Exception, kind: type[Exception]) -> None:
    found = translated(error)
    assert type(found) is kind
    assert "secret" not in str(found)


@pytest.mark.engine
def test_a_server_that_forgets_records_is_refused() -> None:
    with polystore_engines.start("redis") as engine:
        client = redis.Redis(port=engine.port)
        client.config_set("maxmemory", "100mb")
        client.config_set("maxmemory-policy", "allkeys-lru")
        driver = default_registry().open(engine.url)
        with pytest.raises(ConfigError, match="noeviction"):
            driver.create(Collection("x", ["id"]))
        client.config_set("maxmemory-policy", "noeviction")
        driver.create(Collection("x", ["id"]))
        driver.close()
        client.close()


@pytest.mark.engine
@pytest.mark.rule("DRV-7")
def test_a_server_that_is_gone_was_sent_nothing() -> None:
    driver = open_redis(url("127.0.0.1:1/0"))
    with pytest.raises(NotSent) as raised:
        driver.describe(Collection("x", ["id"]))
    assert type(driver.translate(raised.value)) is Unavailable


@pytest.mark.engine
def test_acknowledged_writes_outlive_a_kill_where_there_is_a_folder(tmp_path: Path) -> None:
    with polystore_engines.redis.start(60, tmp_path) as engine:
        driver = default_registry().open(engine.url)
        collection = things(driver)
        for n in range(50):
            driver.write(Write(collection, (f"{n}",), {"id": f"{n}", "n": n}, ANYTHING, f"w{n}"))
        driver.close()
        engine.restart()
        again = default_registry().open(engine.url)
        page = again.scan(collection, Segment(), None, 100)
        assert sorted((s.fields or {})["n"] for s in page.records) == list(range(50))  # type: ignore[type-var]
        again.close()


@pytest.mark.engine
@pytest.mark.rule("DRV-9")
def test_an_index_that_another_process_has_made_is_kept_at_once(opened: Opened) -> None:
    """Who has known the collection before writes into the new index all the same."""
    old, new = opened(), opened()
    plain = things(old)
    old.write(Write(plain, ("a",), {"id": "a", "state": "open"}))
    indexed = Collection(plain.name, ["id"], indexes={"by_state": ["state"]})
    new.create(indexed)
    old.write(Write(plain, ("b",), {"id": "b", "state": "open"}))
    plan = QueryPlan(indexed.indexes[0], ("open",))
    page = new.query(indexed, plan, None, 10)
    assert [stored.key for stored in page.records] == [("a",), ("b",)]


@pytest.mark.engine
def test_what_is_no_json_is_listed_apart(opened: Opened) -> None:
    driver = opened()
    collection = things(driver)
    assert isinstance(driver, RedisDriver)
    client, text = driver.native(), encode_key(("k",))
    client.hset(f"ps:{collection.name}:r", text, "no json")
    client.zadd(f"ps:{collection.name}:k", {text: 0})
    page = driver.scan(collection, Segment(), None, 10)
    assert [one.key for one in page.unreadable] == [("k",)]
    client.hset(f"ps:{collection.name}:r", text, json.dumps({"v": 1}))
    (stored,) = driver.read(collection, [("k",)], Consistency.STRONG).records
    assert stored is not None
    assert stored.fields == {"id": "k", "v": 1}


@pytest.mark.engine
@pytest.mark.rule("DRV-2", "CON-4")
def test_a_change_in_place_by_another_program_is_noticed(opened: Opened) -> None:
    """Of the JSON alone, with number and stamp left as they are."""
    driver = opened()
    collection = things(driver)
    written = driver.write(Write(collection, ("k",), {"id": "k", "n": 1}, ANYTHING, "w", 7))
    assert isinstance(written, Written)
    client, name = driver.native(), f"ps:{collection.name}:r"
    text = client.hget(name, encode_key(("k",)))
    client.hset(name, encode_key(("k",)), text.replace(b'"n":1', b'"n":2'))
    mine = Write(collection, ("k",), {"id": "k", "n": 3}, Unchanged(written.token), "v", 8)
    refused = driver.write(mine)
    assert isinstance(refused, Refused)
    assert refused.current is not None
    assert (refused.current.fields, refused.current.stamp) == ({"id": "k", "n": 2}, 7)
    mine.condition = Unchanged(refused.current.token)
    assert isinstance(driver.write(mine), Written)


@pytest.mark.engine
@pytest.mark.rule("DRV-16")
def test_halves_leave_only_what_cannot_be_read(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scan of one half asks for no record of the other."""
    driver = opened()
    collection = things(driver)
    for n in range(40):
        driver.write(Write(collection, (f"{n}",), {"id": f"{n}"}))
    read = driver._read  # type: ignore[attr-defined]

    def failing(keys: list[str], arguments: list[str]) -> object:
        if encode_key(("7",)) in arguments:
            raise redis.TimeoutError
        return read(keys, arguments)

    monkeypatch.setattr(driver, "_read", failing)
    left, found, lost = [Segment(0, 1)], set(), list[Segment]()
    while left:
        segment = left.pop()
        try:
            found |= {stored.key for stored in driver.scan(collection, segment, None, 100).records}
        except Silent:
            if len(segment.path) < 12:
                assert driver.halve(collection, segment)
                left += segment.halves()
            else:
                lost.append(segment)
    assert len(lost) == 1
    assert found == {(f"{n}",) for n in range(40) if n != 7}


@pytest.mark.engine
def test_a_child_leaves_its_parents_connections_alone(opened: Opened) -> None:
    driver = opened()
    collection = things(driver)
    driver.write(Write(collection, ("p",), {"id": "p"}))
    child = os.fork()
    if child == 0:
        driver.write(Write(collection, ("c",), {"id": "c"}))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    reply = driver.read(collection, [("p",), ("c",)], Consistency.STRONG)
    assert None not in reply.records
