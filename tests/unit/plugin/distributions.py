"""Distributions that are really installed, in a folder of one test."""

from __future__ import annotations

from pathlib import Path


def install(folder: Path, name: str, entry_points: dict[str, str], **modules: str) -> None:
    """Put a distribution and its modules where ``folder`` is on ``sys.path``."""
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"{scheme} = {module}" for scheme, module in entry_points.items()]
    (info / "entry_points.txt").write_text("\n".join(["[polystore]", *lines, ""]))
    for module, text in modules.items():
        (folder / f"{module}.py").write_text(text)


def plugin(*schemes: str, factory: str = "nowhere:open") -> str:
    """The text of a plugin module that registers drivers."""
    return f"""
from polystore.plugin import DriverSpec, hookimpl

@hookimpl
def polystore_register_drivers():
    return [
        DriverSpec(name=name, factory={factory!r}, summary="", url=name + "://x")
        for name in {schemes!r}
    ]
"""
