"""From TOML and mappings to a configuration."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Collection as Container
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from polystore.capacity import Capacity
from polystore.comparing import Compare
from polystore.config.agreed import Agreed
from polystore.config.declared import TIMES, Config, Group
from polystore.config.table import Table
from polystore.errors import ConfigError
from polystore.schema import Collection

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*\Z")
_VARIABLE = re.compile(r"\$\{([^}]*)\}?")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def load(path: str | os.PathLike[str], drivers: Container[str] | None = None) -> Config:
    """Read a TOML file.

    Args:
        path: the file.
        drivers: as for :func:`parse`.

    Raises:
        ConfigError: it cannot be read, is no TOML, or says something wrong; the message names
            the file, the place in it and what is expected there.
    """
    where = os.fspath(path)
    try:
        data = tomllib.loads(Path(where).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{where}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{where}: is not text in UTF-8 (byte {error.start})") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where}: is not TOML: {error}") from error
    return parse(data, where, drivers)


def parse(data: Mapping[str, Any], where: str, drivers: Container[str] | None = None) -> Config:
    """Read a mapping of the form that TOML has.

    Args:
        data: the mapping.
        where: what messages call it, such as the name of a file.
        drivers: names of the drivers that placements may be for; those of the configuration's
            own URLs always count. ``None`` takes any name.

    Raises:
        ConfigError: something is wrong; the message says where, and what is expected there.
    """
    try:
        return _config(Table(data), drivers)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error.message}") from error.__cause__


def _config(table: Table, drivers: Container[str] | None) -> Config:
    url = _url(table, "url")
    timeout = table.seconds("timeout")
    capacity = _capacity(table.table("capacity"))
    collections, groups = table.table("collections"), table.table("groups")
    table.done()
    read_groups = {name: _group(name, groups.table(name)) for name in groups.names()}
    if drivers is not None:
        drivers = {*drivers, *_schemes(url, read_groups)}
    return Config(
        url=url,
        collections={
            name: _collection(name, collections.table(name), drivers)
            for name in collections.names()
        },
        groups=read_groups,
        capacity=capacity,
        **_given(timeout=timeout),
    )


def _schemes(url: str | None, groups: Mapping[str, Group]) -> set[str]:
    urls = [url or "", *(u for g in groups.values() for u in (g.source, g.target, g.control))]
    return {u.partition("://")[0].lower() for u in urls if u}


def _group(name: str, table: Table) -> Group:
    source, target = _needed_url(table, "source"), _needed_url(table, "target")
    given = _given(
        control=_url(table, "control"),
        colocate=table.count("colocate"),
        foreign=table.text("foreign"),
        **{time: table.seconds(time) for time in TIMES},
    )
    collections = table.texts("collections")
    capacity = table.table("capacity")
    gates = table.table("gates")
    table.done()
    limits = {side: _capacity(capacity.table(side)) for side in ("source", "target")}
    copying = capacity.number("backfill")
    capacity.done()
    return Group(
        name=name,
        source=source,
        target=target,
        collections=collections,
        capacity={side: limit for side, limit in limits.items() if limit.limited},
        **given,
        **_given(backfill_rate=copying),
        gates=_agreed(gates),
    )


def _agreed(table: Table) -> Agreed:
    seconds = {name: table.seconds(name) for name in ("verified", "backlog", "window")}
    given = _given(**seconds, reads=table.count("reads"))
    table.done()
    try:
        return Agreed(**given)
    except ConfigError as error:
        raise ConfigError(f"{table.path}.{error.message}") from None


def _capacity(table: Table) -> Capacity:
    given = _given(
        rate=table.number("rate"),
        bytes=table.number("bytes"),
        concurrency=table.count("concurrency"),
    )
    table.done()
    try:
        return Capacity(**given)
    except ConfigError as error:
        raise ConfigError(f"{table.path}.{error.message}") from None


def _collection(name: str, table: Table, drivers: Container[str] | None) -> Collection:
    key, partition, indexes = table.texts("key"), table.count("partition"), table.table("indexes")
    declared = {index: indexes.texts(index) for index in indexes.names()}
    overload, oversized = table.text("overload"), table.text("oversized")
    foreign, compare = table.text("foreign"), _compare(table.table("compare"))
    placements = _placements(table, drivers)
    try:
        return Collection(
            name,
            key,
            indexes=declared,
            placements=placements,
            compare=compare,
            foreign=foreign,
            **_given(partition=partition, overload=overload, oversized=oversized),
        )
    except ConfigError as error:
        raise ConfigError(f"{table.path}: {error.message}") from error.__cause__


def _compare(table: Table) -> Compare:
    ignore = table.texts("ignore") if table.has("ignore") else ()
    forms = table.table("normalise")
    table.done()
    normalise = {path: forms.texts(path) for path in forms.names()}
    try:
        return Compare(ignore, normalise)
    except ConfigError as error:
        raise ConfigError(f"{table.path}.{error.message}") from None


def _placements(table: Table, drivers: Container[str] | None) -> dict[str, Mapping[str, Any]]:
    """What is left of a collection's table: a table for each driver that has to know something."""
    found: dict[str, Mapping[str, Any]] = {}
    for name in table.names():
        if drivers is None:
            own = ("key", "partition", "indexes", "overload", "oversized", "compare", "foreign")
            mistyped = get_close_matches(name, own, cutoff=0.7)
            known = table.has_table(name) and not mistyped
        else:
            known = name in drivers
        if not known:
            table.done(drivers or ())
        found[name] = table.mapping(name)
    return found


def _needed_url(table: Table, name: str) -> str:
    url = _url(table, name)
    if url is None:
        raise ConfigError(f"{table.at(name)}: missing; expected the URL of a database")
    return url


def _url(table: Table, name: str) -> str | None:
    """A URL with ``${NAME}`` replaced from the environment; the text is in no message."""
    text = table.text(name)
    if text is None:
        return None
    url = _VARIABLE.sub(lambda found: _variable(found, table.at(name)), text)
    scheme, separator, _ = url.partition("://")
    if not separator or not _SCHEME.match(scheme):
        raise ConfigError(
            f"{table.at(name)}: expected the URL of a database, such as sqlite:///app.db"
        )
    return url


def _variable(found: re.Match[str], place: str) -> str:
    name = found[1]
    if not found[0].endswith("}") or not _NAME.match(name):
        raise ConfigError(f"{place}: expected ${{NAME}}, the name of an environment variable")
    if name not in os.environ:
        raise ConfigError(f"{place}: the environment variable {name} is not set")
    return os.environ[name]


def _given(**values: Any) -> dict[str, Any]:
    """The values that are given: the others keep the defaults of the records."""
    return {name: value for name, value in values.items() if value is not None}
