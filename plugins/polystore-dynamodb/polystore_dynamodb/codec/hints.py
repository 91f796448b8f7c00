"""Hints: where a record holds values whose native form does not tell which they are."""

from __future__ import annotations

from typing import Any, TypeAlias

Wire: TypeAlias = dict[str, Any]
"""An attribute value, such as ``{"S": "text"}``; bytes are bytes."""

Item: TypeAlias = dict[str, Wire]
Path: TypeAlias = tuple[str, ...]
Hints: TypeAlias = dict[str, list[str]]
"""Paths by tag."""

HINTS = "_ps_t"
"""The attribute that holds them."""

EACH = None
"""The step ``*``, every element of a list, in a tree of hints."""


def add_hint(hints: Hints, tag: str, path: Path) -> None:
    """Note that the value at ``path`` has this tag."""
    pointer = "/".join(step if step.isidentifier() else _escaped(step) for step in path)
    hints.setdefault(tag, []).append(pointer)


def _escaped(step: str) -> str:
    if step == "*":
        return "~2"
    return step.replace("~", "~0").replace("/", "~1")


def hint_tree(hints: Wire) -> dict[Any, Any]:
    """Hints by step: a tag, or the hints below. What has another form than ours is no hint."""
    tree: dict[Any, Any] = {}
    for tag, paths in hints.get("M", {}).items():
        for path in paths.get("SS", ()):
            if "/" not in path:
                tree[_unescaped(path)] = tag
                continue
            *steps, last = path.split("/")
            below = tree
            for step in steps:
                below = below.setdefault(_unescaped(step), {})
            below[EACH if last == "*" else _unescaped(last)] = tag
    return tree


def _unescaped(step: str) -> str:
    if "~" not in step:
        return step
    return "*" if step == "~2" else step.replace("~1", "/").replace("~0", "~")
