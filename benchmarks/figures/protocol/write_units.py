"""What a small put costs on DynamoDB in each stage, in the write units that the engine reports."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import polystore
from benchmarks.figures.figure import Figure, Outcome
from benchmarks.figures.main_job import urls
from polystore import Collection, Config, Group
from polystore.migration.ledger import CONTROL, SLOTS
from polystore.migration.stages import BUCKETS, SOURCE, TARGET, Setting, Stage

NOTES = Collection("notes", ["id:int"])
WRITERS, PUTS = 16, 480
MOST_UNITS = 2.3

STAGES = (
    ("source-only", SOURCE, Setting()),
    ("prepare", SOURCE, Setting(run=1, epoch=3, stage=Stage.PREPARE)),
    ("dual-write, source", SOURCE, Setting(run=1, epoch=4, stage=Stage.DUAL_WRITE)),
    ("dual-write, target", TARGET, Setting(run=1, epoch=4, stage=Stage.DUAL_WRITE)),
    ("dual-read, target at 0", TARGET, Setting(run=1, epoch=5, stage=Stage.DUAL_READ)),
    (
        "dual-read, target at 100",
        TARGET,
        Setting(run=1, epoch=7, stage=Stage.DUAL_READ, moved=BUCKETS),
    ),
    (
        "target-only",
        TARGET,
        Setting(run=1, epoch=8, stage=Stage.TARGET_ONLY, moved=BUCKETS),
    ),
)
"""Each stage, with the side that DynamoDB is; memory is the other one."""


def write_units() -> list[Figure]:
    """The figure of the write units."""
    return [
        Figure(
            "write units of a small put",
            f"one writer: printed; {WRITERS} writers in one process: ≤ {MOST_UNITS} in each stage",
            f"{PUTS} puts of 100 bytes in each stage on DynamoDB Local, memory as the other side; "
            "ReturnConsumedCapacity of every write that was applied, slots included; 2 an item "
            "of a transaction where the engine reports less",
            _measured,
        )
    ]


def _measured() -> Outcome:
    told, worst = [], 0.0
    with urls("dynamodb") as found:
        for number, (name, side, setting) in enumerate(STAGES):
            url = f"{found['dynamodb']}&prefix=units{number}."
            alone, many = (_units(url, side, setting, writers) for writers in (1, WRITERS))
            told.append(f"{name} {alone:.2f} / {many:.2f}")
            worst = max(worst, many)
    return Outcome("; ".join(told), worst <= MOST_UNITS)


def _units(url: str, side: str, setting: Setting, writers: int) -> float:
    """Write units of one put."""
    memory = f"memory://units{setting.epoch}{side}{writers}"
    source, target = (url, memory) if side == SOURCE else (memory, url)
    group = Group(
        name="g", source=source, target=target, control="memory://", collections=("notes",)
    )
    config = Config(collections={"notes": NOTES}, groups={"g": group})
    with polystore.open(config, check=False) as store:
        open_group = store._databases.member("g").group
        for each in open_group.sides.values():
            for collection in (NOTES, SLOTS):
                each.driver.create(collection)
        open_group.ledger.side.driver.create(CONTROL)
        store._databases.runner.run(open_group.ledger.change_setting(lambda _: setting))
        spent = _Spent(open_group.sides[side].driver)
        notes = store["notes"]

        def put(number: int) -> None:
            notes.put({"id": writers * PUTS + number, "text": "x" * 100})

        put(-1)  # joins, and makes slots
        spent.units = 0.0
        with ThreadPoolExecutor(writers) as pool:
            list(pool.map(put, range(PUTS)))
        return spent.units / PUTS


class _Spent:
    """Adds up what the calls of a driver of DynamoDB say that they wrote.

    DynamoDB Local reports a transaction by table, as if it had one item in each; DynamoDB counts 2
    units an item of up to 1 KB (…/amazondynamodb/latest/developerguide/transaction-apis.html), so
    that is added up where it is more.
    """

    def __init__(self, driver: Any) -> None:
        self.units = 0.0
        self._lock = threading.Lock()
        connection = driver._connection
        connection.call = partial(self._call, connection.call)

    def _call(self, call: Callable[..., Any], operation: str, **request: Any) -> Any:
        if operation not in ("put_item", "delete_item", "transact_write_items"):
            return call(operation, **request)
        reply = call(operation, ReturnConsumedCapacity="TOTAL", **request)
        consumed = reply["ConsumedCapacity"]
        reported = consumed if isinstance(consumed, list) else [consumed]
        units = sum(one["CapacityUnits"] for one in reported)
        with self._lock:
            self.units += max(units, 2 * len(request.get("TransactItems", ())))
        return reply
