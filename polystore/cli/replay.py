"""``polystore replay``: a failure of the conformance suite once more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from polystore.cli.conformance import require_suite
from polystore.cli.output import Output, json_option, reported
from polystore.errors import ConfigError, PolystoreError
from polystore.plugin.registry import default_registry


@click.command()
@click.argument("trace", type=click.Path(path_type=Path))
@click.option("--on", "driver", metavar="DRIVER", help="Another driver than the one that failed.")
@click.option(
    "--pair", nargs=2, metavar="A B", help="Another source and target than those that failed."
)
@json_option
@reported
def replay(trace: Path, *, driver: str | None, pair: tuple[str, str] | None, as_json: bool) -> None:
    """Take the steps of TRACE again, which a machine of the suite wrote when it failed.

    On the drivers that it failed on, or on any others, to see whose fault it is. Where: their
    harnesses say.

    Exit code 1: a promise is broken there, too.
    """
    require_suite()
    from polystore.testing.replay import replay as again  # loads what nobody else needs
    from polystore.testing.traces import Trace

    found = Trace.read(trace)
    if driver is not None and (pair or found.place is not None):
        raise ConfigError(f"{trace} is of a pair: name one with --pair A B")
    if pair and found.place is None:
        raise ConfigError(f"{trace} is of one driver: name another one with --on DRIVER")
    drivers = (driver,) if driver is not None else pair or found.drivers
    for name in drivers:
        default_registry().spec(name.partition("?")[0])  # raises where there is none
    output, lines, broken = Output(as_json=as_json), [], None
    try:
        for told in again(found, drivers):
            lines += told
            for line in told if not as_json else ():
                output.say(line)
    except ConfigError:
        raise
    except Exception as error:  # whatever the machine or the database raises
        if isinstance(error, PolystoreError) and not lines:
            raise
        broken = f"{type(error).__name__}: {error}"
    said = " → ".join(drivers)
    body: dict[str, Any] = {"drivers": list(drivers), "program": lines, "broken": broken}
    output.result(body, f"{said}: {broken or 'every promise held'}")
    if broken is not None:
        output.no("a promise was broken")
