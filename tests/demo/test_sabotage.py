"""The demo on two files: the copy killed twice, and a record taken away at its end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import polystore
from polystore import Collection
from polystore.cli.demo.dataset import COLLECTIONS, load
from polystore.values import Key

CITIES = 4000

SEGMENTS = 4
"""Segments that are copied at once: as many pages may be in flight when the copy is killed."""


def nobodys() -> Key:
    """A city that no process writes, and no query of the application asks for."""
    data = load(CITIES)
    written = {*list(data.cities)[:400], *(key for pair in data.pairs for key in pair)}
    return next(
        key
        for key in data.cities
        if key not in written | data.stateless and len(data.by_country[str(key[0])]) > 100
    )


def taken_away(target: str, key: Key) -> None:
    """Delete a city in the target, past the application."""
    cities = Collection("cities", COLLECTIONS["cities"]["key"])
    with polystore.open(target, [cities], check=False) as store:
        store["cities"].delete(*key)


@pytest.mark.slow
@pytest.mark.rule("DEMO-1", "CLI-1", "BF-3")
def test_one_record_that_is_gone_at_the_end_is_exit_code_1(tmp_path: Path) -> None:
    target = f"sqlite:///{tmp_path}/new.db"
    command = [sys.executable, "-m", "polystore.cli", "demo", "--json", "--kill-backfill", "30,70"]
    command += ["--cities", str(CITIES)]
    command += ["--source", f"sqlite:///{tmp_path}/old.db", "--target", target]
    key = nobodys()  # before it begins: its last stage is short
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as demo:
        try:
            assert demo.stderr is not None
            while " clean " not in demo.stderr.readline():
                assert demo.poll() is None, "it ended before its last stage"
            taken_away(target, key)
            printed, _ = demo.communicate(timeout=60)
        finally:
            demo.kill()
    result = json.loads(printed)
    assert demo.returncode == 1
    assert result["verdict"] == "not clean"
    assert result["findings"][0] == f"lost: cities {key!r} is missing"
    assert (result["lost"], result["errors"], result["different"]) == (1, 0, 0)
    assert len(result["backfill"]) == 2
    assert result["pages_twice"] <= 2 * SEGMENTS
