"""One database is stopped for good, a real one, and the application goes on with the other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import polystore
from polystore.errors import PolystoreError
from polystore_engines.engine import Engine
from polystore_engines.registry import start
from tests.cli.conftest import Done, run
from tests.cli.test_migrate import TO_DUAL_READ, WHY, forward

CONFIG = """
timeout = 10.0
[collections.cities]
key = ["country:str", "city:int"]
[groups.geo]
collections = ["cities"]
source = "{source}"
target = "{target}"
control = "sqlite:///{folder}/{control}.db"
colocate = 1
lease = 1.0
poll = 0.2
fast_poll = 0.02
call_timeout = 1.0
quarantine = 2.0
"""


class Application:
    """A thread that writes on and on; what was acknowledged, and what failed."""

    def __init__(self, config: Path) -> None:
        self.store = polystore.open(config)
        self.acknowledged: dict[int, int] = {}
        self.failed: list[PolystoreError] = []
        self._running = True
        self._thread = threading.Thread(target=self._write)
        self._thread.start()

    def _write(self) -> None:
        number = 0
        while self._running:
            number += 1
            city = number % 40
            try:
                self.store["cities"].put({"country": "c", "city": city, "number": number})
                self.acknowledged[city] = number
            except PolystoreError as error:
                self.failed.append(error)

    def stop(self) -> None:
        self._running = False
        self._thread.join()

    def shown(self) -> dict[int, object]:
        return {record["city"]: record["number"] for record in self.store["cities"].scan()}


@pytest.fixture(params=["source", "target"])
def kept(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def opened(
    tmp_path: Path, kept: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Path, Engine]]:
    """A group in dual-read whose other side is a DynamoDB Local of its own."""
    with start("dynamodb") as engine:
        for name, value in engine.env.items():
            monkeypatch.setenv(name, value)
        sides = {"source": engine.url, "target": engine.url, kept: f"sqlite:///{tmp_path}/kept.db"}
        path = tmp_path / "polystore.toml"
        path.write_text(CONFIG.format(folder=tmp_path, control="kept", **sides))
        assert run("create", "--config", str(path)).code == 0
        with polystore.open(path) as store:
            store["cities"].put({"country": "c", "city": 1000, "number": 0})
        assert run("preflight", "--config", str(path)).code == 0
        yield path, engine


@pytest.mark.rule("FRC-1", "FRC-2", "FRC-3", "FRC-5", "CLI-4")
@pytest.mark.timeout(180)
def test_an_engine_is_stopped_for_good_and_nothing_acknowledged_is_lost(
    opened: tuple[Path, Engine], kept: str
) -> None:
    path, engine = opened

    def command(*arguments: str) -> Done:
        return run("migrate", *arguments, "--config", str(path))

    forward(command, *TO_DUAL_READ)
    if kept == "source":
        application = Application(path)
    else:  # the side that is left has to be home: what is at the other alone is lost
        forward(command, ("dial", "100", *WHY))
        application = Application(path)
    try:
        while len(application.acknowledged) < 40:
            assert application.failed == []
        engine.stop()
        refused = command("force-home", kept, *WHY)
        assert refused.code == 1
        assert "no acknowledged write is lost" in refused.out
        assert "--confirm geo" in refused.err
        done = command("force-home", kept, *WHY, "--confirm", "geo")
        assert (done.code, done.err) == (0, "")
        again = command("force-home", kept, *WHY, "--confirm", "geo")
        assert (again.code, again.err) == (0, "")
        marks = dict(application.acknowledged)
        while sum(application.acknowledged[c] > marks[c] for c in marks) < 40:
            assert application.failed == []
        application.stop()
        assert application.failed == []
        assert application.shown() == {**application.acknowledged, 1000: 0}
        status = command("status", "--json").data["setting"]
        lost = "target" if kept == "source" else "source"
        assert status["lost"] == lost
        with polystore.open(path) as late:  # a process that starts now does not need it either
            assert late["cities"].get("c", 1000) is not None
        forward(command, *([("back", *WHY)] if kept == "source" else [("advance", *WHY)]))
    finally:
        application.stop()
        application.store.close()
