"""``polystore compare``: what one database cannot hold of what another can."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import click

from polystore.capabilities import Effect
from polystore.cli.matrix import EXAMPLE, matrix
from polystore.cli.output import Output, json_option, reported
from polystore.config import Config, load
from polystore.databases import promised
from polystore.driver.side import Side
from polystore.errors import ConfigError
from polystore.migration.stages import SOURCE, TARGET
from polystore.plugin.registry import Registry, default_registry
from polystore.route.compared import Compared, compared
from polystore.schema import Collection

HEADINGS: dict[Effect, str] = {
    Effect.REFUSED: "Refused, before anything is written, while both databases are in play:",
    Effect.TRANSLATED: "Translated; what is read is what was written:",
    Effect.WEAKER: "Weaker:",
    Effect.SPLIT: "Split by polystore into smaller calls:",
}


@click.command()
@click.argument("places", nargs=-1, metavar="[SOURCE TARGET]")
@click.option("--config", "-c", type=click.Path(path_type=Path), help="The configuration file.")
@click.option("--group", "-g", help="Compare the two sides of this group of the configuration.")
@click.option("--collection", "-C", "names", multiple=True, help="Only this one; can be repeated.")
@click.option("--matrix", "as_matrix", is_flag=True, help="All drivers, as docs/support-matrix.md.")
@json_option
@reported
def compare(
    places: tuple[str, ...],
    config: Path | None,
    group: str | None,
    names: tuple[str, ...],
    *,
    as_matrix: bool,
    as_json: bool,
) -> None:
    """Say what TARGET cannot hold of SOURCE's, and what an application must stop doing first.

    SOURCE and TARGET are URLs, or names of drivers. Without them the two sides of a group of the
    configuration are compared, for its collections. No database is called.
    """
    output, registry = Output(as_json=as_json), default_registry()
    if as_matrix:
        text = matrix(registry)
        output.result({"matrix": text}, text.rstrip())
        return
    loaded = None if places and config is None else _loaded(config, registry)
    source, target, among = _asked(places, group, loaded, registry)
    if unknown := sorted(set(names) - among.keys()):
        raise ConfigError(f"no collection {', '.join(unknown)}; there are: {', '.join(among)}")
    with _open(registry, source, SOURCE) as one, _open(registry, target, TARGET) as other:
        found = [compared(among[name], one, other) for name in names or among]
    data = {"comparisons": [each.data() for each in found]}
    output.result(data, *(line for each in found for line in lines(each)))


def _loaded(config: Path | None, registry: Registry) -> Config:
    return load(config or Path("polystore.toml"), registry.names())


def _asked(
    places: tuple[str, ...], group: str | None, config: Config | None, registry: Registry
) -> tuple[str, str, dict[str, Collection]]:
    """The two URLs, and the collections."""
    if len(places) not in (0, 2):
        raise ConfigError("name two databases, SOURCE and TARGET, or none and a group")
    among = {EXAMPLE.name: EXAMPLE} if config is None else dict(config.collections)
    if places:
        source, target = (_url(place, registry) for place in places)
        return source, target, among
    assert config is not None
    if group is None and len(config.groups) != 1:
        raise ConfigError(f"say which group with --group: {', '.join(config.groups) or 'none is'}")
    declared = config.groups.get(group or next(iter(config.groups)))
    if declared is None:
        raise ConfigError(f"no group {group!r} is declared; declared: {', '.join(config.groups)}")
    return declared.source, declared.target, {name: among[name] for name in declared.collections}


def _url(place: str, registry: Registry) -> str:
    """A URL as it is; for the name of a driver one that stands for any place."""
    return place if "://" in place else registry.spec(place).url.partition("?")[0]


@contextmanager
def _open(registry: Registry, url: str, name: str) -> Iterator[Side]:
    driver = registry.open(url)
    try:
        yield Side(name, driver, partial(promised, registry))
    finally:
        driver.close()


def lines(found: Compared) -> Iterator[str]:
    """A comparison for people."""
    yield f"{found.collection}: from {found.source} to {found.target}"
    if not found.differences:
        yield f"  {found.target} holds everything that {found.source} does."
    for effect, heading in HEADINGS.items():
        if differences := found.of(effect):
            yield f"  {heading}"
            yield from (f"    {difference.says}" for difference in differences)
        if effect is Effect.TRANSLATED:
            yield from (f"      {line}" for line in costs(found))
    if stops := first(found):
        yield "  The application must first see to this:"
        yield from (f"    {number}. {stop}" for number, stop in enumerate(stops, 1))


def costs(found: Compared) -> Iterator[str]:
    """What translated kinds take, a line each."""
    for cost in found.costs:
        yield (
            f"{cost.kind}: a field takes {cost.target} bytes on {found.target}, {cost.source} on "
            f"{found.source}"
        )


def first(found: Compared) -> list[str]:
    """What an application must stop doing first, each once."""
    asked: Iterable[str] = (
        difference.do
        for effect in (Effect.REFUSED, Effect.WEAKER)
        for difference in found.of(effect)
    )
    return list(dict.fromkeys(asked))
