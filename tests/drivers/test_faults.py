"""Errors: each is known to its driver, says whether it was applied, and holds no values."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest

from polystore.driver import Driver
from polystore.errors import (
    ConfigError,
    Unavailable,
)
from polystore.plugin.registry import default_registry
from polystore.schema import Collection
from polystore.testing.suite.calls import error_of, put
from polystore.testing.suite.test_provisioning import CALLS, Call, raised_by
from tests.drivers.conftest import Place

REMOTE = ("dynamodb", "datastore", "postgresql", "redis")


def closed_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


@pytest.mark.rule("DRV-7", "ERR-1", "ERR-5", "DRV-8")
@pytest.mark.parametrize("call", CALLS)
def test_nothing_is_sent_where_nobody_listens(driver: Driver, place: Place, call: str) -> None:
    """So that it was surely not applied, and may be sent again."""
    if driver.name not in REMOTE:
        return
    url = re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{closed_port()}", place.url)
    opened = Place(url, place.env).open()
    things = Collection("things", ["id"], indexes={"by_state": ["state"]})
    assert raised_by(opened, things, CALLS[call]) is Unavailable
    opened.close()


@pytest.mark.rule("DRV-7", "ERR-5")
@pytest.mark.parametrize(
    "content", [None, b"no database" * 500], ids=["no-directory", "no-database"]
)
def test_a_file_that_cannot_be_used(driver: Driver, tmp_path: Path, content: bytes | None) -> None:
    if driver.name != "sqlite":
        return
    path = tmp_path / "missing" / "app.db" if content is None else tmp_path / "app.db"
    if content is not None:
        path.write_bytes(content)

    def use() -> None:
        opened = default_registry().open(f"sqlite:///{path}")
        opened.describe(Collection("things", ["id"]))

    error = error_of(driver, use)
    assert isinstance(error, ConfigError | Unavailable)
    if content is not None:
        assert path.read_bytes() == content


@pytest.mark.rule("DRV-7")
def test_many_writes_where_nobody_listens_are_unprocessed_or_raise(
    driver: Driver, place: Place
) -> None:
    """All of them in the same way; 60, so that a driver that sends parts sends several."""
    if driver.name not in REMOTE:
        return
    url = re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{closed_port()}", place.url)
    opened = Place(url, place.env).open()
    many: Call = lambda d, t: d.write_many([put(t, (f"k{i}",)) for i in range(60)])  # noqa: E731
    assert raised_by(opened, Collection("things", ["id"]), many) is Unavailable
    opened.close()
