"""``polystore new-driver``: a distribution with a driver that conforms from the first minute."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

from polystore.cli.output import Output, json_option, reported
from polystore.errors import ConfigError
from polystore.plugin.registry import default_registry

TEMPLATE = Path(__file__).parent / "template"
"""The distribution as it is written, of a driver named "example"."""

_NAME = re.compile(r"[a-z][a-z0-9]*")


@click.command("new-driver")
@click.argument("name")
@click.option(
    "--into",
    type=click.Path(path_type=Path),
    help="The folder to make.  [default: polystore-NAME]",
)
@json_option
@reported
def new_driver(name: str, into: Path | None, *, as_json: bool) -> None:
    """Write a distribution with a driver for NAME://…, which keeps records in memory at first.

    It has a driver, its harness, and settings for tox and CI. Once installed,
    `polystore conformance NAME` passes; replace memory by your database method by method.

    Exit code 2: the name is none for a URL, is taken, or the folder is there.
    """
    folder = into or Path(f"polystore-{name}")
    written = write_distribution(name, folder)
    Output(as_json=as_json).result(
        {"folder": str(folder), "files": written},
        f"{folder}: {len(written)} files",
        f"next: pip install -e '{folder}[test]', then polystore conformance {name}",
    )


def write_distribution(name: str, folder: Path) -> list[str]:
    """Write the distribution of a driver; the names of its files, below ``folder``.

    Raises:
        ConfigError: the name cannot be that of a driver, or is taken; or ``folder`` is there.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} is no name for a driver: small letters, then digits too")
    if name in default_registry().names():
        raise ConfigError(f"there is a driver {name!r} here; take another name")
    if folder.exists():
        raise ConfigError(f"{folder} is there: nothing was written; take another with --into")
    written = []
    for source in sorted(TEMPLATE.rglob("*")):
        if source.is_dir() or "__pycache__" in source.parts:
            continue
        place = _named(source.relative_to(TEMPLATE).as_posix(), name)
        target = folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_named(source.read_text(), name))
        written.append(place)
    return written


def _named(text: str, name: str) -> str:
    """What the template says of ``example``, said of a name; and of the core that wrote it."""
    for word, by in (("example", name), ("Example", name.capitalize()), ("EXAMPLE", name.upper())):
        text = text.replace(word, by)
    return text.replace("0.0.0", _core())


def _core() -> str:
    try:
        return version("polystore-core")
    except PackageNotFoundError:
        return "0.1.0.dev0"
