"""Compressed fields: exact, and safe against what another program may have left there."""

from __future__ import annotations

import sys
import tracemalloc
from contextlib import suppress
from typing import Any

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from polystore.driver.compression import (
    MOST_BYTES,
    check_installed,
    compressed,
    decompressed,
    read_canonical,
)
from polystore.errors import ConfigError, DriverError
from polystore.testing import strategies as portable
from polystore.values import canonical, same

BODY = canonical({"a": [1, {"b": b"x"}], "c": None})
DEEP = b"l0:"
for _ in range(3000):
    DEEP = b"l%d:%b" % (len(DEEP), DEEP)


@pytest.mark.rule("REC-9")
@given(portable.values())
def test_the_canonical_form_of_every_value_can_be_read(value: Any) -> None:
    assert same(read_canonical(canonical(value)), value)


@pytest.mark.rule("REC-9")
@given(st.dictionaries(portable.names(), portable.values(), max_size=3))
def test_compressed_fields_come_back(fields: dict[str, Any]) -> None:
    frame = compressed(fields)
    assert same(decompressed(frame), fields)


def streamed(body: bytes) -> bytes:
    """A frame that does not say how much is in it."""
    writer = zstd.ZstdCompressor()
    return writer.compress(body) + writer.flush()


@pytest.mark.rule("REC-10")
@pytest.mark.parametrize(
    "frame",
    [
        None, "text", b"", b"\x00" * 40, zstd.compress(BODY)[:-3], zstd.compress(BODY) + b"x",
        zstd.compress(BODY) * 2, zstd.compress(BODY[:-1]), zstd.compress(BODY + b"n0:"),
        zstd.compress(b"o99:s1:a"), zstd.compress(b"o8:n-3:s1:a"), zstd.compress(b"s1:\xff"),
        zstd.compress(b"n0:"), zstd.compress(b"?0:"), zstd.compress(b"d1:x"),
        zstd.compress(b"o4:s1:a"), zstd.compress(b"r0:"), zstd.compress(b"f1:x"),
        zstd.compress(canonical({"a": 1})[:-5] + b"i2:1_"), zstd.compress(b"m30:" + b"9" * 30),
        zstd.compress(DEEP), zstd.compress(canonical({1: 2})), streamed(BODY),
    ],
)  # fmt: skip
def test_what_polystore_did_not_compress_is_refused(frame: object) -> None:
    with pytest.raises(DriverError, match="none that polystore wrote"):
        decompressed(frame)


@pytest.mark.rule("REC-10")
@given(st.binary(max_size=60))
def test_no_bytes_bring_it_down(garbage: bytes) -> None:
    for frame in (garbage, zstd.compress(garbage), zstd.compress(BODY)[:-20] + garbage):
        with suppress(DriverError):
            decompressed(frame)


@pytest.mark.rule("REC-10")
def test_a_frame_that_would_fill_memory_is_not_opened() -> None:
    bomb = zstd.compress(b"\x00" * (200 * 2**20))
    assert len(bomb) < 20_000
    size = 200 * 2**20
    lying = bomb.replace(size.to_bytes(4, "little"), (1000).to_bytes(4, "little"), 1)
    assert zstd.get_frame_info(lying).decompressed_size == 1000
    frames = (bomb, lying, streamed(b"\x00" * (64 * 2**20)))
    tracemalloc.start()
    for frame in frames:
        with pytest.raises(DriverError):
            decompressed(frame)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < MOST_BYTES


@pytest.mark.rule("REC-10")
def test_what_is_over_the_most_is_not_compressed() -> None:
    assert compressed({"a": b"x" * MOST_BYTES}) is None
    assert compressed({"a": b"x" * (MOST_BYTES - 100)}) is not None


@pytest.mark.rule("REC-10")
def test_without_zstd_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = compressed({"a": 1})
    monkeypatch.setitem(sys.modules, "backports.zstd", None)
    monkeypatch.delattr("backports.zstd", raising=False)
    for call in (check_installed, lambda: compressed({}), lambda: decompressed(frame)):
        with pytest.raises(ConfigError, match=r"pip install \"polystore-core\[compress\]\""):
            call()
