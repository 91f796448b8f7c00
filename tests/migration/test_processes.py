"""Real processes are awkward: forked with an open store, short-lived, frozen, ended midway."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import polystore
import polystore.aio
from polystore import Collection, Config, Group
from polystore.cli.place import opened
from polystore.driver import Segment
from polystore.migration.coordinator import Coordinator
from polystore.migration.fleet import Fleet
from polystore.migration.ledger import SLOTS
from polystore.migration.member import ACTIVE
from polystore.migration.request import Request
from polystore.runner import SyncRunner

WHOLE = Segment()
REQUEST = Request("test", "test", sole=True)


def group_on(folder: Path) -> Config:
    """Two files, with a lease that is soon over."""
    group = Group(
        name="g",
        collections=("notes",),
        source=f"sqlite:///{folder}/source.db",
        target=f"sqlite:///{folder}/target.db",
        lease=1.0,
        poll=0.2,
        call_timeout=0.5,
        quarantine=1.0,
    )
    return Config(collections={"notes": Collection("notes", ["id:int"])}, groups={"g": group})


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """The same, in dual-write."""
    config = group_on(tmp_path)
    with polystore.open(config) as store:
        store.create()
    run = SyncRunner().run
    with opened(config, "g") as member:
        coordinator = Coordinator(member.group)
        run(coordinator.preflight(REQUEST))
        run(coordinator.start(REQUEST))
        run(coordinator.advance(REQUEST))
        run(coordinator.advance(REQUEST))
    return config


def active(config: Config) -> list[str]:
    """Members that serve."""
    with opened(config, "g") as member:
        members = SyncRunner().run(Fleet(member.group).members())
    return [one.id for one in members if one.state == ACTIVE]


def until_gone(config: Config, member: str) -> None:
    """Wait until others have closed a member."""
    until = time.monotonic() + 20
    while member in active(config):
        assert time.monotonic() < until
        time.sleep(0.2)


def forked(work: object) -> int:
    """The process id of a child that does something, and is gone then."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()  # type: ignore[operator]
            code = 0
        finally:
            os._exit(code)
    return child


def ended(child: int) -> int:
    """Wait for a child; its exit code."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.rule("EPO-10")
@pytest.mark.parametrize("used", [True, False])
def test_a_store_opened_before_a_fork_serves_parent_and_children_as_members_of_their_own(
    config: Config, used: bool
) -> None:
    with polystore.open(config) as store:
        notes = store["notes"]
        if used:
            notes.put({"id": 0, "by": "parent"})

        def serve(number: int) -> None:
            for turn in range(20):
                notes.put({"id": number, "by": "child", "turn": turn})
                assert notes.get(number)["turn"] == turn  # type: ignore[index]
                notes.update(100, polystore.Increment("n"), when=polystore.If.any)
            store.close()

        children = [forked(lambda number=number: serve(number)) for number in (1, 2, 3)]
        for turn in range(20):
            notes.put({"id": 0, "by": "parent", "turn": turn})
        assert [ended(child) for child in children] == [0, 0, 0]
        assert len(active(config)) == 1  # the children have left, the parent is there
        assert notes.get(0)["turn"] == 19  # type: ignore[index]
        assert notes.get(100)["n"] == 60  # type: ignore[index]
        assert [notes.get(n)["by"] for n in (1, 2, 3)] == ["child"] * 3  # type: ignore[index]
    with opened(config, "g") as member:
        notes_, sides = member.group.collections["notes"], member.group.sides.values()
        source, target = (side.driver.scan(notes_, WHOLE, None, 99).records for side in sides)
        assert {(s.key, s.stamp) for s in source} == {(s.key, s.stamp) for s in target}


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.rule("EPO-10")
def test_an_asynchronous_store_is_opened_anew_in_a_child_too(config: Config) -> None:
    async def put(notes: polystore.aio.AsyncOpenCollection, number: int) -> None:
        for turn in range(5):
            await notes.put({"id": number, "turn": turn})

    async def opened_there() -> polystore.aio.AsyncStore:
        store = await polystore.aio.open(config)
        await put(store["notes"], 0)
        return store

    store = asyncio.run(opened_there())
    before = active(config)

    def serve() -> None:
        asyncio.run(put(store["notes"], 1))
        (mine,) = set(active(config)) - set(before)
        asyncio.run(store.close())
        assert mine not in active(config)

    assert ended(forked(serve)) == 0
    assert active(config) == before
    asyncio.run(store.close())
    assert active(config) == []


SCRIPT = """
import sys
from pathlib import Path
import polystore
sys.path.insert(0, {root!r})
from tests.migration.test_processes import group_on
config = group_on(Path({folder!r}))
{begin}
{end}
"""
BLOCKING = """
store = polystore.open(config)
store["notes"].put({"id": 7, "by": "script"})
"""
AWAITED = """
import asyncio
import polystore.aio
async def begin():
    global store
    store = await polystore.aio.open(config)
    await store["notes"].put({"id": 7, "by": "script"})
asyncio.run(begin())
"""


def script(folder: Path, end: str, begin: str = BLOCKING) -> subprocess.CompletedProcess[bytes]:
    """A script that writes once and ends in some way."""
    root = str(Path(__file__).parents[2])
    text = SCRIPT.format(root=root, folder=str(folder), begin=begin, end=end)
    return subprocess.run([sys.executable, "-c", text], check=False, capture_output=True)


@pytest.mark.rule("EPO-10")
@pytest.mark.parametrize(
    ("begin", "end", "code"),
    [
        (BLOCKING, "", 0),
        (BLOCKING, "sys.exit(3)", 3),
        (BLOCKING, "raise RuntimeError", 1),
        (BLOCKING, "store.close()", 0),
        (AWAITED, "", 0),
    ],
    ids=["ends", "exits", "raises", "closes", "asynchronous"],
)
def test_a_script_that_ends_without_closing_its_store_has_left_the_fleet(
    config: Config, tmp_path: Path, begin: str, end: str, code: int
) -> None:
    done = script(tmp_path, end, begin)
    assert done.returncode == code, done.stderr.decode()
    assert active(config) == []
    with opened(config, "g") as member:
        (side, *_) = member.group.sides.values()
        assert side.driver.scan(SLOTS, WHOLE, None, 99).records == []


@pytest.mark.rule("EPO-10")
def test_who_is_ended_in_the_middle_is_recovered_by_others(config: Config, tmp_path: Path) -> None:
    done = script(tmp_path, "import os; os._exit(9)")
    assert done.returncode == 9
    (dead,) = active(config)
    with polystore.open(config) as store:
        store["notes"].put({"id": 8})
        until_gone(config, dead)
        assert store["notes"].get(7) is not None


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.rule("EPO-10", "EPO-7")
def test_who_was_frozen_between_two_requests_rejoins_before_it_serves(config: Config) -> None:
    ready, go = os.pipe(), os.pipe()
    with polystore.open(config) as store:

        def served() -> None:
            notes = store["notes"]
            notes.put({"id": 1, "v": "before"})
            os.write(ready[1], b"1")
            os.read(go[0], 1)
            assert notes.get(1)["v"] == "meanwhile"  # type: ignore[index]
            notes.put({"id": 1, "v": "after"})
            store.close()

        store["notes"].put({"id": 0})
        before = active(config)
        child = forked(served)
        os.read(ready[0], 1)
        (its,) = set(active(config)) - set(before)
        os.kill(child, signal.SIGSTOP)
        store["notes"].put({"id": 1, "v": "meanwhile"})
        until_gone(config, its)  # its lease is over, and it has been shut out
        os.write(go[1], b"1")
        os.kill(child, signal.SIGCONT)
        assert ended(child) == 0
        assert store["notes"].get(1)["v"] == "after"  # type: ignore[index]
