"""What polystore costs beside the bare call (benchmarks/ratios.py)."""

from __future__ import annotations

from functools import cache, partial

from benchmarks import ratios
from benchmarks.figures.figure import Figure, Outcome
from benchmarks.figures.ground import Ground

HOW = f"CPU time of both by turns in one process, median of {ratios.ROUNDS} rounds"
CANNED = f"boto3's client with its TypeSerializer, 10 fields, a server of canned replies; {HOW}"

_dynamodb = cache(ratios.dynamodb)


def _memory_get(_ground: Ground) -> Outcome:
    value = round(ratios.memory_get().value, 3)
    return Outcome(value, value <= 2.0)


def _ratio(_ground: Ground, name: str, most: float) -> Outcome:
    value = round(_dynamodb()[name].value, 3)
    return Outcome(value, value <= most)


FIGURES = (
    Figure("memory get ÷ driver call", "≤ 2.0", f"Store get ÷ MemoryDriver.read; {HOW}",
           _memory_get),
    Figure("DynamoDB get ÷ boto3", "≤ 1.1", f"get ÷ get_item of {CANNED}",
           partial(_ratio, name="get", most=1.1)),
    Figure("DynamoDB put ÷ boto3", "≤ 1.1", f"put ÷ put_item of {CANNED}",
           partial(_ratio, name="put", most=1.1)),
    Figure("DynamoDB put in dual-write ÷ boto3", "shown", f"put to two servers ÷ put_item of "
           f"{CANNED}", partial(_ratio, name="dual-write", most=float("inf"))),
)  # fmt: skip
