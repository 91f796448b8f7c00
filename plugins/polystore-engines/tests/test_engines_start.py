"""Each engine starts, answers its client, is emptied, and stops."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias
from unittest import mock

import boto3
import psycopg
import pytest
from google.cloud import datastore as datastore_client
from psycopg import sql

import polystore_engines
from polystore_engines import datastore as datastore_stub_starter
from polystore_engines import dynamodb, ports, postgresql, redis, registry, toolchain
from polystore_engines.dynamodb_api import DynamoDBApi
from polystore_engines.process import ServerProcess

pytestmark = pytest.mark.engine

datastore: Any = datastore_client  # has no types

LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F"}  # as /proc/net writes them
ALL_INTERFACES = {"0" * 8, "0" * 32}

NAMES = list(polystore_engines.NAMES)


class DatastoreUser:
    """Writes and counts with google-cloud-datastore."""

    def __init__(self, engine: polystore_engines.Engine) -> None:
        with mock.patch.dict(os.environ, engine.env):
            self.client: Any = datastore.Client(project=engine.env["DATASTORE_PROJECT_ID"])
            _ = self.client._datastore_api  # reads the environment now

    def write(self, name: str) -> None:
        self.client.put(datastore.Entity(self.client.key("Thing", name)))

    def names(self) -> list[str]:
        return [entity.key.name for entity in self.client.query(kind="Thing").fetch(timeout=10)]

    def close(self) -> None:
        self.client.close()


class DynamoDBUser:
    """Writes and counts with boto3: a table for each name."""

    def __init__(self, engine: polystore_engines.Engine) -> None:
        endpoint = engine.url.partition("endpoint=")[2]
        with mock.patch.dict(os.environ, engine.env):
            self.client: Any = boto3.client("dynamodb", endpoint_url=endpoint)

    def write(self, name: str) -> None:
        self.client.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            DeletionProtectionEnabled=True,
        )

    def names(self) -> list[str]:
        names: list[str] = self.client.list_tables()["TableNames"]
        return names

    def close(self) -> None:
        self.client.close()


class PostgreSQLUser:
    """Writes and counts with psycopg: a table for each name."""

    def __init__(self, engine: polystore_engines.Engine) -> None:
        self.open = partial(
            psycopg.connect, engine.url, password=engine.env["PGPASSWORD"], autocommit=True
        )

    def write(self, name: str) -> None:
        with self.open() as connection:
            connection.execute(sql.SQL("CREATE TABLE {} (k text)").format(sql.Identifier(name)))

    def names(self) -> list[str]:
        query = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        with self.open() as connection:
            return [name for (name,) in connection.execute(query)]

    def close(self) -> None:
        """Each call had a connection of its own."""


class RedisUser:
    """Writes and counts over a socket: a key for each name."""

    def __init__(self, engine: polystore_engines.Engine) -> None:
        self._port = engine.port

    def write(self, name: str) -> None:
        assert "OK" in redis._told(self._port, f"SET {name} 1")

    def names(self) -> list[str]:
        lines = redis._told(self._port, "KEYS *").split("\r\n")
        return [line for line in lines if line and line[0] not in "*$+"]

    def close(self) -> None:
        """Each call had a connection of its own."""


User: TypeAlias = DatastoreUser | DynamoDBUser | PostgreSQLUser | RedisUser

USERS: dict[str, Callable[[polystore_engines.Engine], User]] = {
    "datastore": DatastoreUser,
    "dynamodb": DynamoDBUser,
    "postgresql": PostgreSQLUser,
    "redis": RedisUser,
}


@pytest.fixture(scope="module", params=NAMES)
def engine(request: pytest.FixtureRequest) -> Iterator[polystore_engines.Engine]:
    with polystore_engines.start(request.param) as running:
        yield running


@pytest.fixture
def user(engine: polystore_engines.Engine) -> Iterator[User]:
    user = USERS[engine.name](engine)
    yield user
    user.close()


def test_answers_its_official_client(user: User) -> None:
    user.write("written")
    assert "written" in user.names()


def test_reset_empties_it(engine: polystore_engines.Engine, user: User) -> None:
    user.write("gone")
    engine.reset()
    assert user.names() == []


def test_says_what_it_is(engine: polystore_engines.Engine) -> None:
    products = {
        "datastore": "Google Cloud Datastore stub (appengine-python-standard 3.1.0)",
        "dynamodb": "DynamoDB Local 3.3.1",
        "postgresql": "PostgreSQL 18.4",
        "redis": "Redis 6.2.14",
    }
    urls = {
        "datastore": f"datastore://polystore-test?emulator=127.0.0.1:{engine.port}",
        "dynamodb": f"dynamodb://us-east-1?endpoint=http://127.0.0.1:{engine.port}",
        "postgresql": f"postgresql://127.0.0.1:{engine.port}/polystore?user=polystore",
        "redis": f"redis://127.0.0.1:{engine.port}/0",
    }
    assert engine.product == products[engine.name]
    assert engine.url == urls[engine.name]


@pytest.mark.rule("SEC-1")
def test_the_port_is_its_own(engine: polystore_engines.Engine) -> None:
    assert engine.alive
    assert ports.listens(engine.pid, engine.port)
    assert not ports.listens(os.getpid(), engine.port)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.rule("SEC-1")
def test_who_listens_beyond_loopback_says_so(engine: polystore_engines.Engine) -> None:
    open_files = ports._open_files(engine.pid)
    addresses = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{engine.pid}/net/{table}").read_text().splitlines()[1:]:
            columns = line.split()
            if columns[3] == ports.TCP_LISTEN and f"socket:[{columns[9]}]" in open_files:
                addresses.add(columns[1].partition(":")[0])
    if engine.name != "dynamodb":
        assert addresses <= LOOPBACK
        assert engine.notices == ()
    else:
        assert addresses <= ALL_INTERFACES
        assert f"all network interfaces, on port {engine.port}" in engine.notices[0]


def test_two_of_a_kind_share_nothing_and_stop_alone(
    engine: polystore_engines.Engine, user: User
) -> None:
    engine.reset()
    with polystore_engines.start(engine.name) as second:
        other = USERS[engine.name](second)
        other.write("second")
        assert (other.names(), user.names()) == (["second"], [])
        assert {second.port, second.pid}.isdisjoint({engine.port, engine.pid})
        other.close()
        second.stop()
        second.stop()
        assert not second.alive
        assert not Path(f"/proc/{second.pid}").exists()
    user.write("first")
    assert user.names() == ["first"]


def test_many_start_at_once() -> None:
    with polystore_engines.start_many("datastore", "datastore") as one:
        assert list(one) == ["datastore"]
        running = one["datastore"]
        assert running.alive
    assert not running.alive


def test_one_of_many_that_fails_stops_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    def remember(timeout: float) -> polystore_engines.Engine:
        started.append(datastore_stub_starter.start(timeout))
        return started[0]

    def fail(timeout: float) -> polystore_engines.Engine:
        raise polystore_engines.EngineStartFailed("dynamodb", "it was told not to")

    kinds = {"datastore": registry._Kind(list, remember), "dynamodb": registry._Kind(list, fail)}
    monkeypatch.setattr(registry, "_KINDS", kinds)
    with (
        pytest.raises(polystore_engines.EngineStartFailed, match="told not to"),
        polystore_engines.start_many("datastore", "dynamodb"),
    ):
        raise AssertionError("the block must not run")
    assert not started[0].alive


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="datastore, dynamodb"):
        polystore_engines.start("oracle")
    with pytest.raises(ValueError, match="datastore, dynamodb"):
        polystore_engines.available("oracle")


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_missing_here(name: str) -> None:
    assert polystore_engines.available(name) == []


def test_what_is_missing_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "find_java", lambda: None)
    (missing,) = polystore_engines.available("dynamodb")
    assert str(missing) == "Java 17 or later: pip install 'polystore-engines[dynamodb]'"
    with pytest.raises(polystore_engines.EngineUnavailable, match="Java 17 or later") as caught:
        polystore_engines.start("dynamodb")
    assert caught.value.missing == (missing,)


def test_missing_packages_of_the_stub_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datastore_stub_starter, "_version", lambda distribution: None)
    with pytest.raises(polystore_engines.EngineUnavailable, match="appengine-python-standard"):
        polystore_engines.start("datastore")


@pytest.mark.parametrize("starter", [dynamodb, postgresql, redis], ids=lambda one: one.NAME)
def test_a_port_taken_meanwhile_is_replaced(
    starter: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stub of Datastore binds port 0 itself: nobody can take its port."""
    with polystore_engines.start(starter.NAME) as first:
        offered = iter([first.port, ports.free_port()])
        monkeypatch.setattr(ports, "free_port", lambda: next(offered))
        with polystore_engines.start(starter.NAME) as second:
            assert second.port != first.port


def test_a_process_that_ends_too_early_is_reported_with_its_log() -> None:
    process = ServerProcess("test", [sys.executable, "-c", "import sys; sys.exit('no disk')"])
    with pytest.raises(polystore_engines.EngineStartFailed, match="no disk") as caught:
        process.wait_for(lambda: None, "it answered", time.monotonic() + 30)
    process.stop()
    assert "ended with status 1 before it answered" in str(caught.value)


def test_a_process_that_never_answers_is_reported() -> None:
    process = ServerProcess("test", [sys.executable, "-c", "import time; time.sleep(60)"])
    with pytest.raises(polystore_engines.EngineStartFailed, match="ran out of time"):
        process.wait_for(lambda: None, "it answered", time.monotonic() + 0.2)
    process.stop()
    assert not process.alive


def test_a_command_that_does_not_exist_is_reported() -> None:
    with pytest.raises(polystore_engines.EngineStartFailed, match="cannot be executed"):
        ServerProcess("test", ["/nonexistent/java"])


def test_dynamodb_local_keeps_its_data_where_it_has_a_folder(tmp_path: Path) -> None:
    with dynamodb.start(60, tmp_path) as engine:
        api = DynamoDBApi(engine.port)
        key = {"AttributeName": "k", "KeyType": "HASH"}
        api.call(
            "CreateTable",
            TableName="kept",
            KeySchema=[key],
            AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        before = engine.pid
        engine.restart()
        assert engine.pid != before
        assert api.call("ListTables")["TableNames"] == ["kept"]


def test_dynamodb_local_leaves_nothing_behind() -> None:
    with dynamodb.start(60) as engine:
        command = Path(f"/proc/{engine.pid}/cmdline").read_text().split("\0")
        (scratch,) = [Path(part.partition("=")[2]) for part in command if "java.io.tmpdir" in part]
        DynamoDBApi(engine.port).call("ListTables")
        assert scratch.is_dir()
    assert not scratch.exists()


def test_an_engine_without_a_folder_is_not_restarted(
    datastore_engine: polystore_engines.Engine,
) -> None:
    with pytest.raises(ValueError, match="keeps its data in memory"):
        datastore_engine.restart()
