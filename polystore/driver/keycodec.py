"""Keys as text: order-preserving, prefix-preserving, safe in every database. For driver authors.

One part is a tag, a body and the terminator U+0001. Ints are 16 hex digits of ``n + 2**63``,
bytes are hex, and in text U+0000, U+0001 and U+0002 are escaped, so that there is never a U+0000,
never an empty text, UTF-8 byte order is key order, and the text of leading parts is a prefix of
the text of the whole key (form and proof by trial: research/database-facts.md 4.4).
"""

from __future__ import annotations

from collections.abc import Iterable

from polystore.values import Key, KeyPart

END = "\x01"
"""What ends each part."""

AFTER = "\x7f"
"""Greater than every tag: ``prefix + AFTER`` is above all keys that start with ``prefix``."""

_ESCAPES = str.maketrans({"\x00": "\x02\x03", "\x01": "\x02\x04", "\x02": "\x02\x05"})
_UNESCAPES = {"\x03": "\x00", "\x04": "\x01", "\x05": "\x02"}


def escaped(text: str) -> str:
    """``text`` without U+0000 and U+0001, in the same order."""
    return text.translate(_ESCAPES)


def unescaped(text: str) -> str:
    """What :func:`escaped` was given. Raises ValueError for what it never made."""
    if "\x02" not in text:
        return text
    head, *rest = text.split("\x02")
    try:
        return head + "".join(_UNESCAPES[piece[:1]] + piece[1:] for piece in rest)
    except KeyError:
        raise ValueError("not an escaped text") from None


def encode_part(part: KeyPart) -> str:
    """One key part as text, with its terminator."""
    if type(part) is str:
        return "s" + part.translate(_ESCAPES) + END
    if type(part) is int:
        return f"i{part + (1 << 63):016x}{END}"
    assert type(part) is bytes
    return "b" + part.hex() + END


def encode_key(parts: Iterable[KeyPart]) -> str:
    """A key, or its leading parts, as text."""
    return "".join(map(encode_part, parts))


def decode_key(text: str) -> Key:
    """The parts that :func:`encode_key` was given.

    Raises:
        ValueError: ``text`` is nothing that it ever made.
    """
    parts = text.split(END)
    if parts.pop() != "":
        raise ValueError("not an encoded key: no terminator")
    key = tuple(map(_decode_part, parts))
    # What int() and fromhex() forgive would give two texts to one key (KEY-4).
    if encode_key(key) != text:
        raise ValueError("not an encoded key: another form of one")
    return key


def _decode_part(text: str) -> KeyPart:
    tag, body = text[:1], text[1:]
    if tag == "s":
        return unescaped(body)
    if tag == "i" and len(body) == 16:
        return int(body, 16) - (1 << 63)
    if tag == "b":
        return bytes.fromhex(body)
    raise ValueError(f"not an encoded key: unknown tag {tag!r}")
