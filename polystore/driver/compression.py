"""Fields as one compressed frame, and back: zstd over their canonical form. No I/O.

The standard library has zstd from Python 3.14 on; before, the extra ``polystore-core[compress]``
brings it. Nothing is imported before a record needs it.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import ModuleType
from typing import Any

from polystore.errors import ConfigError, DriverError, InvalidRequest
from polystore.values import MOST_LEVELS, Fields, GeoPoint, Ref, canonical, checked_fields

MOST_BYTES = 16 * 2**20
"""Largest canonical form that is compressed, and that a frame may claim to hold: a frame of a few
bytes can name any size, and decompressing believes it."""

_MALFORMED = (
    ValueError, LookupError, TypeError, ArithmeticError, struct.error, InvalidRequest,
)  # fmt: skip
"""What reading another program's bytes may raise."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def check_installed() -> None:
    """Whether there is zstd. Raises ConfigError saying what to install."""
    _zstd()


def _zstd() -> ModuleType:
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
    except ImportError as error:
        raise ConfigError(
            'oversized = "compress" needs zstd: pip install "polystore-core[compress]"'
        ) from error
    found: ModuleType = zstd
    return found


def compressed(fields: Fields) -> bytes | None:
    """These fields as a frame; ``None`` where they are over :data:`MOST_BYTES`.

    Raises:
        ConfigError: there is no zstd.
    """
    body = canonical(fields)
    if len(body) > MOST_BYTES:
        return None
    frame: bytes = _zstd().compress(body)
    return frame


def decompressed(frame: object) -> Fields:
    """The fields that :func:`compressed` was given.

    Raises:
        DriverError: another program's bytes, or more than :data:`MOST_BYTES` in them.
        ConfigError: there is no zstd.
    """
    zstd = _zstd()
    try:
        body = _opened(zstd, frame)
        return checked_fields(read_canonical(body))
    except (zstd.ZstdError, *_MALFORMED) as error:
        raise DriverError("the compressed part of a record is none that polystore wrote") from error


def _opened(zstd: ModuleType, frame: object) -> bytes:
    """What is in one whole frame that says how much it holds."""
    if type(frame) is not bytes:
        raise ValueError("no bytes")
    size = zstd.get_frame_info(frame).decompressed_size
    if size is None or size > MOST_BYTES:
        raise ValueError("more in it than is ever compressed")
    reader = zstd.ZstdDecompressor()
    body: bytes = reader.decompress(frame, max_length=size + 1)
    if not reader.eof or reader.unused_data:
        raise ValueError("not one frame")
    return body


def read_canonical(text: bytes) -> Any:
    """The value whose canonical form this is.

    Raises:
        ValueError, LookupError, TypeError, ArithmeticError, struct.error, InvalidValue: it is that
            of no value.
    """
    value, end = _read(text, 0, MOST_LEVELS + 1)
    if end != len(text):
        raise ValueError("more than one value")
    return value


def _read(text: bytes, at: int, levels: int) -> tuple[Any, int]:
    """The value that begins at a place, and the place after it."""
    colon = text.index(b":", at)
    tag, start = text[at : at + 1], colon + 1
    end = start + int(text[at + 1 : colon])
    if not start <= end <= len(text):
        raise ValueError("cut off")
    scalar = _SCALARS.get(tag)
    if scalar is not None:
        return scalar(text[start:end]), end
    if levels <= 0:
        raise ValueError("nested too deeply")
    parts: list[Any] = []
    at = start
    while at < end:
        part, at = _read(text, at, levels - 1)
        parts.append(part)
    if at != end:
        raise ValueError("cut off")
    return _CONTAINERS[tag](parts), end


def _float(body: bytes) -> float:
    (number,) = struct.unpack(">d", body)
    return float(number)


def _point(body: bytes) -> GeoPoint:
    return GeoPoint(*struct.unpack(">dd", body))


_SCALARS: dict[bytes, Callable[[bytes], Any]] = {
    b"n": lambda _: None,
    b"t": lambda body: body == b"1",
    b"i": int,
    b"f": _float,
    b"d": lambda body: Decimal(body.decode()),
    b"s": lambda body: body.decode(),
    b"b": lambda body: body,
    b"m": lambda body: _EPOCH + timedelta(microseconds=int(body)),
    b"g": _point,
}
_CONTAINERS: dict[bytes, Callable[[list[Any]], Any]] = {
    b"o": lambda parts: dict(zip(parts[::2], parts[1::2], strict=True)),
    b"l": list,
    b"u": frozenset,
    b"r": lambda parts: Ref(parts[0], tuple(parts[1:])),
}
