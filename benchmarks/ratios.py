"""What polystore costs beside the bare call, as ratios of CPU time taken in one run.

    python -m benchmarks.ratios

Ratios, not times: the machine's speed cancels out. The cases of a ratio take turns, round by
round, and the median round counts.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from statistics import median
from typing import Any

import attrs
import boto3
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

import polystore
from benchmarks import canned_dynamo
from benchmarks.canned_dynamo import DOCUMENT
from polystore import Collection, Config, Group, OpenCollection, Store
from polystore.driver import Consistency
from polystore.migration.ledger import CONTROL
from polystore.migration.stages import Setting, Stage

COLLECTION = Collection("bench", ["pk", "sk"])
KEY = (DOCUMENT["pk"], DOCUMENT["sk"])
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "polystore",
    "AWS_SECRET_ACCESS_KEY": "polystore",
    "AWS_EC2_METADATA_DISABLED": "true",
}
REGION = "us-east-1"
ROUNDS = 41
ROUND_SECONDS = 0.04
"""CPU seconds that one case takes in one round, about."""


@attrs.frozen
class Ratio:
    """One figure: CPU µs of polystore's call and of the bare one, and the first by the second."""

    value: float
    ours: float
    bare: float
    how: str


def compared(ours: Callable[[], object], bare: Callable[[], object], how: str) -> Ratio:
    """Both calls by turns, the first in line changing; medians over the rounds."""
    times = {ours: _times(ours), bare: _times(bare)}
    costs: dict[Callable[[], object], list[float]] = {ours: [], bare: []}
    for number in range(ROUNDS):
        for call in (ours, bare) if number % 2 else (bare, ours):
            costs[call].append(_cost(call, times[call]))
    return Ratio(
        median(o / b for o, b in zip(costs[ours], costs[bare], strict=True)),
        median(costs[ours]),
        median(costs[bare]),
        f"{how}; CPU, {ROUNDS} rounds by turns, median",
    )


def _times(call: Callable[[], object]) -> int:
    """How many calls make a round."""
    for _ in range(20):
        call()
    return max(1, int(ROUND_SECONDS * 1e6 / _cost(call, 50)))


def _cost(call: Callable[[], object], times: int) -> float:
    """CPU µs of one call, all threads of this process together."""
    begun = time.process_time_ns()
    for _ in range(times):
        call()
    return (time.process_time_ns() - begun) / times / 1000


def memory_get() -> Ratio:
    """A get of the memory driver through a store, by the bare call of the driver."""
    with polystore.open("memory://", [COLLECTION]) as store:
        store.create()
        records = store[COLLECTION.name]
        records.put(DOCUMENT)
        driver = store._databases.driver("memory://")
        keys = (KEY,)
        return compared(
            lambda: records.get(*KEY),
            lambda: driver.read(COLLECTION, keys, Consistency.STRONG),
            "Store get ÷ MemoryDriver.read, 10 fields",
        )


def dynamodb() -> dict[str, Ratio]:
    """``get``, ``put`` and ``dual-write``, each by boto3's client with its own serializer."""
    os.environ.update(CREDENTIALS)
    with canned_dynamo.running() as endpoint, canned_dynamo.running() as other:
        plain, get_bare, put_bare = _bare(endpoint)
        with _single(endpoint) as single, _dual(endpoint, other) as dual:
            assert plain == dict(DOCUMENT) == dict(single.get(*KEY) or {})
            how = "canned server, 10 fields"
            return {
                "get": compared(lambda: single.get(*KEY), get_bare, f"get ÷ get_item, {how}"),
                "put": compared(lambda: single.put(DOCUMENT), put_bare, f"put ÷ put_item, {how}"),
                "dual-write": compared(
                    lambda: dual.put(DOCUMENT), put_bare, f"put in dual-write ÷ put_item, {how}"
                ),
            }


def _bare(endpoint: str) -> tuple[dict[str, Any], Callable[[], object], Callable[[], object]]:
    """What boto3 reads, its get and its put: as its documentation shows them."""
    client = boto3.session.Session().client("dynamodb", region_name=REGION, endpoint_url=endpoint)
    serialize, deserialize = TypeSerializer().serialize, TypeDeserializer().deserialize
    key = dict(zip(("pk", "sk"), KEY, strict=True))

    def get() -> Mapping[str, Any]:
        wanted = {name: serialize(value) for name, value in key.items()}
        reply = client.get_item(TableName="bench", Key=wanted, ConsistentRead=True)
        return {name: deserialize(value) for name, value in reply["Item"].items()}

    def put() -> object:
        item = {name: serialize(value) for name, value in DOCUMENT.items()}
        return client.put_item(TableName="bench", Item=item)

    found = {name: value for name, value in get().items() if not name.startswith("_ps_")}
    return found, get, put


def _url(endpoint: str) -> str:
    return f"dynamodb://{REGION}?endpoint={endpoint}"


@contextmanager
def _single(endpoint: str) -> Iterator[OpenCollection]:
    with polystore.open(_url(endpoint), [COLLECTION], check=False) as store:
        yield store[COLLECTION.name]


@contextmanager
def _dual(source: str, target: str) -> Iterator[OpenCollection]:
    """A group in dual-write; its control store is memory, so that no refresh of it is counted."""
    group = Group(
        name="bench",
        source=_url(source),
        target=_url(target),
        control="memory://",
        collections=[COLLECTION.name],
        lease=60.0,
        poll=20.0,
    )
    config = Config(collections={COLLECTION.name: COLLECTION}, groups={"bench": group})
    with polystore.open(config, check=False) as store:
        _in_dual_write(store)
        yield store[COLLECTION.name]


def _in_dual_write(store: Store) -> None:
    ledger = store._databases.member("bench").group.ledger
    ledger.side.driver.create(CONTROL)
    setting = Setting(run=1, epoch=5, stage=Stage.DUAL_WRITE)
    store._databases.runner.run(ledger.change_setting(lambda _: setting))


def main() -> None:
    """Print all ratios."""
    for name, ratio in {"memory get": memory_get(), **dynamodb()}.items():
        print(f"{name}: {ratio.value:.2f} ({ratio.ours:.1f} µs / {ratio.bare:.1f} µs; {ratio.how})")


if __name__ == "__main__":
    main()
