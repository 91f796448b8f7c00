"""The demo's configuration file, and all records of one side, read past polystore's routes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from polystore.cli.demo.dataset import COLLECTIONS
from polystore.driver import Driver, Segment, Stored
from polystore.plugin.registry import default_registry
from polystore.schema import Collection

GROUP = "geo"
"""Name of the group that the demo's collections migrate in."""

_PAGE = 1000


def write_config(path: Path, source: str, target: str, times: Mapping[str, float]) -> Path:
    """Write the configuration of the demo's group; the file.

    Args:
        path: the file to write.
        source, target: URLs.
        times: the group's times in seconds, by name.
    """
    lines = [
        "timeout = 15.0",
        f"[groups.{GROUP}]",
        f"collections = {json.dumps(list(COLLECTIONS))}",
        f"source = {json.dumps(source)}",
        f"target = {json.dumps(target)}",
        "colocate = 1",
        *(f"{name} = {seconds}" for name, seconds in times.items()),
    ]
    installed = default_registry().names()
    for name, declared in COLLECTIONS.items():
        lines += [f"[collections.{name}]", f"key = {json.dumps(declared['key'])}"]
        if "indexes" in declared:
            lines += [f"[collections.{name}.indexes]"]
            lines += [f"{i} = {json.dumps(fields)}" for i, fields in declared["indexes"].items()]
        if "datastore" in installed:
            lines += [f"[collections.{name}.datastore]"]
            lines += [f"path = {json.dumps(declared['datastore']['path'])}"]
    path.write_text("\n".join(lines) + "\n")
    return path


def everything(driver: Driver, collection: Collection) -> Iterator[Stored]:
    """All records of a collection on one side, tombstones included."""
    cursor: str | None = None
    while True:
        page = driver.scan(collection, Segment(), cursor, _PAGE)
        yield from page.records
        cursor = page.cursor
        if cursor is None:
            return
