"""Real processes that are killed and paused; and the judge of what they were told."""

from __future__ import annotations

import json
import math
import os
import socket
import threading
from contextlib import closing, suppress
from itertools import product
from pathlib import Path

import pytest

from benchmarks.real_kills import real_kills
from polystore.testing.history import Operation
from polystore.testing.kills import Found, Settings
from polystore.testing.kills.found import LAST
from polystore.testing.kills.journal import GONE, Journal, Told
from polystore.testing.kills.paused import NEW, woken
from polystore.testing.proxy import Proxy

NIGHTLY = os.environ.get("POLYSTORE_NIGHTLY") == "1"
SECONDS = float(os.environ.get("POLYSTORE_KILL_SECONDS", "60" if NIGHTLY else "30"))
SEED = int(os.environ.get("POLYSTORE_KILL_SEED", "3"))
THINK = 0.02 if NIGHTLY else 0.25
"""Most seconds between two operations of a client: CI has two cores for all pairs at once."""

PAIRS = list(product(("sqlite", "datastore", "dynamodb"), repeat=2))
"""Every ordered pair of databases that processes can share; memory is the simulator's."""


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.rule("RCV-7")
@pytest.mark.timeout(SECONDS + 240)
@pytest.mark.parametrize("pair", PAIRS, ids=" → ".join)
def test_nothing_is_lost_when_processes_connections_and_engines_fail(
    pair: tuple[str, str],
) -> None:
    """Four processes and more, killed and paused; connections cut; engines stopped, restarted."""
    found = real_kills(pair, Settings(seconds=SECONDS, seed=SEED, think=THINK))
    assert found.clean, found.told()
    assert found.operations > 4 * SECONDS, found.told()  # an engine that restarts stops all
    assert sum(found.faults.values()) > SECONDS / 4, found.told()
    print(found.told())  # noqa: T201  # what fired, for who asks with -s


@pytest.mark.rule("EPO-7", "WR-6")
@pytest.mark.timeout(120)
def test_what_wakes_after_a_hand_over_writes_nothing_and_tells_nothing_old(tmp_path: Path) -> None:
    source, target = f"sqlite:///{tmp_path}/s.db", f"sqlite:///{tmp_path}/t.db"
    found = woken(tmp_path, {"source": source, "target": target, "control": source}, each=1)
    assert (found.landed, found.stale, found.different) == (0, 0, 0), found
    assert found.outcomes == ["done", NEW]


def done(verb: str, argument: object, at: int, outcome: object = "done") -> Operation:
    return Operation("p", ("a", 1), verb, argument, at, at + 1, outcome)


def last(value: object) -> Operation:
    return Operation(LAST, ("a", 1), "get", None, 100, 101, value)


@pytest.mark.rule("RCV-7")
@pytest.mark.parametrize(
    ("history", "verdict"),
    [
        ([done("put", 1, 0), last(1)], (0, 0, 0)),
        ([done("put", 1, 0), done("put", 2, 2), last(1)], (1, 0, 0)),
        ([done("put", 1, 0), last(None)], (1, 0, 0)),
        ([done("put", 1, 0), done("delete", None, 2), last(1)], (0, 1, 0)),
        ([done("put", 1, 0), done("get", None, 2, None), last(1)], (0, 0, 1)),
        ([Operation("p", ("a", 1), "put", 1, 0, math.inf), last(None)], (0, 0, 0)),
        ([Operation("p", ("a", 1), "put", 1, 0, math.inf), last(1)], (0, 0, 0)),
    ],
)
def test_the_verdict_of_a_history(history: list[Operation], verdict: tuple[int, int, int]) -> None:
    found = Found(seed=0)
    found.judge(history)
    assert (found.lost, found.resurrected, found.impossible) == verdict
    assert found.clean == (sum(verdict) == 0)


@pytest.mark.rule("RCV-7")
def test_a_journal_is_read_back_as_a_history(tmp_path: Path) -> None:
    path = tmp_path / "p.journal"
    cell = ("a", 1)
    with closing(Journal(path, "p")) as journal:
        journal.answered(journal.asked(cell, "put", 7), "done")
        journal.answered(journal.asked(cell, "put", 8), GONE, "unavailable")
        journal.unknown(journal.asked(cell, "put", 9), "outcome-unknown")
        journal.asked(cell, "get", None)  # killed: a read without an answer says nothing
        journal.asked(cell, "put", 10)  # killed: it may have been applied
        moving = journal.asked(cell, "transfer", [5])
        journal.read(moving, [None, None])
        journal.read(moving, [-1, 1])  # a second attempt
    with path.open("ab") as file:
        file.write(json.dumps([1, "end"]).encode()[:-2])  # cut in the middle of a line
    told = Told()
    told.add(path)
    assert [(o.cell, o.argument, o.open) for o in told.history] == [
        (cell, 7, False), (cell, 9, True), (cell, 10, True),
        (cell, (5, (None, None), (-1, 1)), True),
    ]  # fmt: skip
    assert told.errors == {"unavailable": 1, "outcome-unknown": 1}


def gone(client: socket.socket) -> bool:
    """Whether the connection ends without another byte."""
    try:
        return client.recv(100) == b""
    except ConnectionError:
        return True


def test_a_proxy_passes_on_swallows_holds_and_cuts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, Proxy(server.getsockname()[1]) as proxy:
        heard: list[bytes] = []

        def echo() -> None:
            for _ in range(3):
                connection, _ = server.accept()
                with connection, suppress(ConnectionError):  # a cut is a reset here as well
                    while data := connection.recv(100):
                        heard.append(data)
                        connection.sendall(data)

        thread = threading.Thread(target=echo, daemon=True)
        thread.start()
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as client:
            client.sendall(b"one")
            assert client.recv(100) == b"one"
            proxy.cut()
            assert gone(client)
        proxy.swallow = True
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as client:
            client.sendall(b"two")
            while heard[-1] != b"two":
                thread.join(0.01)
            proxy.cut()
            assert gone(client)
        proxy.swallow = False
        proxy.hold()
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=0.2) as client:
            client.sendall(b"three")
            with pytest.raises(TimeoutError):
                client.recv(100)
            assert heard[-1] == b"two"
            proxy.release()
            client.settimeout(10)
            assert client.recv(100) == b"three"
        thread.join(10)
    assert heard == [b"one", b"two", b"three"]
