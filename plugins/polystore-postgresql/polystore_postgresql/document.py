"""Documents as jsonb, which holds less than JSON: no U+0000, no −0.0, no form of a number."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from polystore.driver.document import TAG, decode_document, encode_document
from polystore.values import Fields, KeyPart

_LOW = re.compile(r"\\\\|\\u000[01]")
_LOWERED = re.compile(r"\\\\|\\u0001\\u000[12]")
_FLOAT = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?e[+-]?\d+|-0\.0(?!\d)')
_ESCAPED = {"\\u0000": "\\u0001\\u0001", "\\u0001": "\\u0001\\u0002"}
_PLAIN = {escaped: plain for plain, escaped in _ESCAPED.items()}


def to_jsonb(fields: Mapping[str, Any]) -> str:
    """Fields as a text that jsonb gives back as it was."""
    text = encode_document(fields)
    if "\\u000" in text:
        text = _LOW.sub(lambda found: _ESCAPED.get(found[0], found[0]), text)
    if "e+" in text or "e-" in text or "-0.0" in text:
        text = _FLOAT.sub(_tagged, text)
    return text


def from_jsonb(text: str) -> Fields:
    """The fields of :func:`to_jsonb`, or of another program."""
    if "\\u0001" in text:
        text = _LOWERED.sub(lambda found: _PLAIN.get(found[0], found[0]), text)
    return decode_document(text)


def _tagged(found: re.Match[str]) -> str:
    token = found[0]
    return token if token[0] == '"' else f'{{"{TAG}":"float","v":"{token}"}}'


def to_column(part: KeyPart) -> KeyPart:
    """A part of a key as its column holds it: in the same order, without U+0000."""
    if type(part) is str and ("\x00" in part or "\x01" in part):
        return part.replace("\x01", "\x01\x02").replace("\x00", "\x01\x01")
    return part


def from_column(part: Any) -> Any:
    """What :func:`to_column` was given."""
    if type(part) is str and "\x01" in part:
        return part.replace("\x01\x01", "\x00").replace("\x01\x02", "\x01")
    return part
