"""The root of the command line, and the commands that are about drivers and places."""

from __future__ import annotations

from pathlib import Path

import click

from polystore.capabilities.wire import to_json
from polystore.capabilities.words import describe
from polystore.cli.compare import compare
from polystore.cli.conformance import conformance
from polystore.cli.demo.command import demo
from polystore.cli.force_home import force_home
from polystore.cli.history import history
from polystore.cli.load import policy, rate
from polystore.cli.migrate import migrate
from polystore.cli.output import Output, json_option, reported
from polystore.cli.poison import poison
from polystore.cli.preflight import preflight
from polystore.cli.rehearse.command import rehearse
from polystore.cli.replay import replay
from polystore.cli.scaffold import new_driver
from polystore.cli.simulate import simulate
from polystore.cli.status import status
from polystore.cli.verify import verify
from polystore.plugin.registry import default_registry
from polystore.schema import Collection


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="polystore-core")
def main() -> None:
    """One application, any database; and from one to another without downtime.

    Exit codes: 0 done; 1 the answer is no, or it failed; 2 wrong arguments or configuration;
    3 a database or an engine cannot be reached.
    """


@main.command()
@click.argument("urls", nargs=-1)
@json_option
@reported
def drivers(urls: tuple[str, ...], *, as_json: bool) -> None:
    """List the installed drivers; open those of URLS to show what they promise there.

    Without URLs no SDK is imported and nothing is connected to.
    """
    output = Output(as_json=as_json)
    registry = default_registry()
    listed = [
        {"name": spec.name, "summary": spec.summary, "url": spec.url} for spec in registry.specs()
    ]
    lines = [f"{d['name']:<12} {d['summary']}\n{'':<12} {d['url']}" for d in listed]
    promised = {}
    for url in urls:
        driver = registry.open(url)
        try:
            capabilities = driver.capabilities(Collection("example", ["id:str"]))
        finally:
            driver.close()
        promised[driver.name] = to_json(capabilities)
        lines += ["", f"{driver.name} promises for a collection with one text key:"]
        lines += [f"  {line}" for line in describe(capabilities)]
    output.result({"drivers": listed, "capabilities": promised}, *lines)


@main.command()
@click.option(
    "--config", "-c", type=click.Path(path_type=Path), default="polystore.toml", show_default=True
)
@json_option
@reported
def create(config: Path, *, as_json: bool) -> None:
    """Create the tables and indexes of the declared collections, wherever they are missing.

    In a group they are created on both sides, with the collections that a migration needs.
    """
    import polystore

    with polystore.open(config, check=False) as store:  # what is missing is made here
        store.create()
        names = sorted(store.config.collections)
    Output(as_json=as_json).result({"created": names}, f"ready: {', '.join(names)}")


@main.command()
@click.option(
    "--config", "-c", type=click.Path(path_type=Path), default="polystore.toml", show_default=True
)
@click.option("--collection", "names", multiple=True, help="Of this collection alone; repeatable.")
@click.option("--rate", type=float, help="Most records to look at in a second.")
@json_option
@reported
def purge(config: Path, names: tuple[str, ...], rate: float | None, *, as_json: bool) -> None:
    """Remove the records that have expired and still lie there.

    Applications do not see them whether or not this runs; it frees their space where the database
    does not do so itself, and while a migration is under way, when no database may.
    """
    import polystore

    with polystore.open(config) as store:
        chosen = names or sorted(store.config.collections)
        purged = {name: store[name].purge(rate=rate) for name in chosen}
    lines = [f"{name}: {count} expired records removed" for name, count in purged.items()]
    Output(as_json=as_json).result({"purged": purged}, *lines)


main.add_command(compare)
main.add_command(conformance)
main.add_command(new_driver)
main.add_command(preflight)
migrate.add_command(force_home)
migrate.add_command(status)
migrate.add_command(history)
migrate.add_command(rate)
migrate.add_command(policy)
migrate.add_command(poison)
migrate.add_command(verify)
main.add_command(migrate)
main.add_command(demo)
main.add_command(replay)
main.add_command(simulate)
main.add_command(rehearse)
