"""Records over a database's limit, in collections that compress them: like all others."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count
from random import Random
from typing import Any

import pytest

import polystore
from benchmarks.walk import walk
from polystore import (
    Collection,
    Config,
    Conflict,
    DriverError,
    Field,
    Group,
    If,
    LimitExceeded,
    Set,
    Store,
    Transaction,
)
from polystore.driver import Write
from polystore.values import same

BODY = "nothing so long is told twice " * 16_000
"""More than DynamoDB takes in a record."""

_numbers = count(1)


def papers() -> Collection:
    return Collection(
        f"papers{next(_numbers)}",
        ["shelf", "n:int"],
        indexes={"by_state": ["state"]},
        oversized="compress",
    )


def paper(n: int, **fields: Any) -> dict[str, Any]:
    return {"shelf": "a", "n": n, "state": "", "body": BODY, "list": [1.5, {"a": None}], **fields}


def use(papers: Any, n: int) -> None:
    """Each kind of operation on a record of that number."""
    first = papers.put(paper(n))
    read = papers.get("a", n)
    assert same(dict(read), paper(n))
    assert read.version == first
    second = papers.update(
        "a", n, Set(state="x", more=b"1"), when=Field("list") == [1.5, {"a": None}]
    )
    with pytest.raises(Conflict):
        papers.delete("a", n, when=If.version(first))
    (found,) = papers.query(index="by_state", state="x")
    assert found.version == second
    assert found["more"] == b"1"
    assert [r["n"] for r in papers.query("a", where=Field("body") == BODY)][-1] == n
    assert [r["n"] for r in papers.scan() if r["body"] == BODY and r["n"] == n] == [n]
    assert papers.count(index="by_state", state="x") == 1
    papers.update("a", n, Set(state=""))


@pytest.mark.rule("REC-9", "CON-2")
def test_they_are_records_like_others(every_url: str) -> None:
    collection = papers()
    with polystore.open(every_url, [collection]) as store:
        store.create()
        use(store[collection.name], 1)

        def work(tx: Transaction) -> None:
            here = tx[collection.name]
            record = here.get("a", 1)
            assert record is not None
            assert record["body"] == BODY
            here.put(paper(2, of=record["n"]))
            here.update("a", 1, Set(state="done"))

        store.transaction(work)
        records = store[collection.name].get_many([("a", 1), ("a", 2)])
        assert [(r["state"], len(r["body"])) for r in records if r] == [
            ("done", len(BODY)), ("", len(BODY)),
        ]  # fmt: skip


@pytest.mark.rule("REC-10", "ERR-3")
def test_bytes_of_others_are_told_with_their_place(local_url: str) -> None:
    collection = papers()
    with polystore.open(local_url, [collection]) as store:
        store.create()
        driver = store._databases.driver(local_url)
        driver.write(Write(collection, ("a", 1), {"shelf": "a", "n": 1, "_ps_z": b"x"}))
        here = store[collection.name]
        for call in (lambda: here.get("a", 1), lambda: list(here.query("a"))):
            with pytest.raises(DriverError, match="none that polystore wrote") as caught:
                call()
            assert (caught.value.collection, caught.value.key) == (collection.name, ("a", 1))


@pytest.mark.engine
@pytest.mark.rule("REC-9", "CAP-6", "VER-1", "REC-4")
def test_a_migration_moves_them(url_of: Callable[[str], str]) -> None:
    """Memory has no limit: there they lie plain, in DynamoDB compressed, and nothing differs."""
    collection = papers()
    group = Group(
        name="library",
        source=f"memory://{time.monotonic_ns():x}",
        target=url_of("dynamodb"),
        collections=[collection.name],
        colocate=1,
        poll=0.05,
        fast_poll=0.01,
        lease=5.0,
        call_timeout=5.0,
        quarantine=10.0,
    )
    config = Config(collections={collection.name: collection}, groups={"library": group})
    with polystore.open(config) as store:
        store.create()
        here = store[collection.name]
        versions = {n: here.put(paper(n)) for n in range(3)}
        _walk(store, here, versions)


def _walk(store: Store, here: Any, versions: dict[int, Any]) -> None:
    numbers = count(10)

    def at_each_stage(stage: str) -> None:
        if stage in ("source-only", "dual-write", "dual-read 50 %", "target-only"):
            use(here, next(numbers))
        for n, version in versions.items():
            assert here.get("a", n).version == version

    assert walk(store, "library", at_each_stage) == 0
    noise = Random(1).randbytes(500_000)
    with pytest.raises(LimitExceeded):
        here.put(paper(99, more=noise))
    assert here.get("a", 99) is None
