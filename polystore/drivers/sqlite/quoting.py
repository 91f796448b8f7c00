"""Names in SQL. Values are always bound."""

from __future__ import annotations


def quoted(name: str) -> str:
    """``name`` as an identifier, whatever it holds."""
    return '"' + name.replace('"', '""') + '"'
