"""The demo's configuration file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from polystore.cli.demo.dataset import COLLECTIONS
from polystore.plugin.registry import default_registry

GROUP = "geo"
"""Name of the group that the demo's collections migrate in."""


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
