"""Protobuf timestamps as whole microseconds since 1970, the unit of every version here."""

from __future__ import annotations

import time

from google.protobuf import timestamp_pb2

MICROS = 1_000_000


def to_timestamp(micros: int) -> timestamp_pb2.Timestamp:
    """The protobuf message of a time in microseconds."""
    seconds, rest = divmod(micros, MICROS)
    return timestamp_pb2.Timestamp(seconds=seconds, nanos=rest * 1000)


def to_micros(stamp: timestamp_pb2.Timestamp) -> int:
    """A protobuf timestamp in microseconds, cut, not rounded."""
    return stamp.seconds * MICROS + stamp.nanos // 1000


def now_micros() -> int:
    """The wall clock."""
    return time.time_ns() // 1000
