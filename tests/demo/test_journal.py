"""The demo's own log: what a process was told is read back, also after it died in the middle."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from polystore.cli.crew.journal import Journal, Reader, Touch, entries

PLACE = ("notes", ("DE", "own-1"))

DYING = """
import os, signal, sys
from pathlib import Path
from polystore.cli.crew.journal import Journal, Touch
journal = Journal(Path(sys.argv[1]))
touch = [Touch(("notes", ("DE", "own-1")), None, "m1")]
journal.done(journal.announce("put", touch))
journal.announce("put", touch)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "p0.journal"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    with closing(Journal(path)) as opened:
        yield opened


@pytest.mark.rule("DEMO-1")
def test_operations_come_back_as_they_were_told(path: Path, journal: Journal) -> None:
    first = journal.announce("put", [Touch(PLACE, None, "m1")])
    second = journal.announce("update", [], [("cities", ("DE", 7))])
    journal.done(second, "conflict")
    journal.done(first)
    journal.read("get", 1.5, [Touch(PLACE, "m1")], wrong="odd")
    journal.read("get", 2.5, [], error="unavailable")
    put, update, get, failed = entries(path)
    assert (put.kind, put.writes, put.acked, put.error) == ("put", True, True, None)
    assert put.touches == [Touch(PLACE, None, "m1")]
    assert put.ended is not None
    assert put.began <= put.ended
    assert (update.acked, update.error, update.counted) == (
        False,
        "conflict",
        [("cities", ("DE", 7))],
    )
    assert (get.writes, get.acked, get.began, get.wrong) == (False, True, 1.5, "odd")
    assert get.touches == [Touch(PLACE, "m1")]
    assert (failed.acked, failed.error) == (False, "unavailable")


@pytest.mark.rule("DEMO-1")
def test_a_write_without_an_outcome_is_neither_acknowledged_nor_failed(
    path: Path, journal: Journal
) -> None:
    journal.announce("put", [Touch(PLACE, None, "m1")])
    (entry,) = entries(path)
    assert (entry.acked, entry.error, entry.ended) == (False, None, None)


@pytest.mark.rule("DEMO-1")
def test_the_journal_of_a_killed_process_has_all_that_was_acknowledged(path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", DYING, str(path)], check=False)
    assert done.returncode == -9
    assert [(e.acked, e.error) for e in entries(path)] == [(True, None), (False, None)]


@pytest.mark.rule("DEMO-1")
def test_a_line_that_was_cut_off_is_no_operation(path: Path, journal: Journal) -> None:
    journal.announce("put", [Touch(PLACE, None, "m1")])
    with path.open("ab") as file:
        file.write(b'["try", 2, "put", 1')
    assert len(entries(path)) == 1


def test_a_reader_gives_each_line_once_and_whole(path: Path, journal: Journal) -> None:
    reader = Reader(path)
    assert list(reader.lines()) == []
    number = journal.announce("put", [Touch(PLACE, None, "m1")])
    assert [line[0] for line in reader.lines()] == ["try"]
    with path.open("ab") as file:
        file.write(b'["read", "get"')
    assert list(reader.lines()) == []
    with path.open("ab") as file:
        file.write(b", 1.0, 2.0, [], null, null]\n")
    journal.done(number)
    assert [line[0] for line in reader.lines()] == ["read", "done"]
