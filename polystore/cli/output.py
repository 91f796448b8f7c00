"""What commands print: text for people, one JSON object for programs, and errors for both."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any, NoReturn, ParamSpec

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from polystore.errors import (
    GateClosed,
    InvalidRequest,
    PermissionDenied,
    PolystoreError,
    Unavailable,
)

P = ParamSpec("P")

FAILED, WRONG, UNREACHABLE = 1, 2, 3
"""Exit codes."""

_REACH = "Does the database run? Are its URL in the configuration, and your credentials, right?"


def exit_code(error: PolystoreError) -> int:
    """The exit code that stands for an error."""
    if isinstance(error, InvalidRequest):
        return WRONG
    return UNREACHABLE if isinstance(error, Unavailable | PermissionDenied) else FAILED


class Output:
    """Where one command prints to.

    Args:
        as_json: print one JSON object at the end and nothing else on standard output.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.console = Console(stderr=as_json, highlight=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """A line for people."""
        self.console.print(text, markup=False)

    def result(self, data: Mapping[str, Any], *lines: str) -> None:
        """The outcome: ``data`` for programs, ``lines`` for people."""
        if self.as_json:
            click.echo(json.dumps(data, default=str))
        for line in lines if not self.as_json else ():
            self.say(line)

    def no(self, why: str) -> NoReturn:
        """The result has been printed, and the answer is no: say why, and exit with FAILED."""
        click.echo(f"error: {why}", err=True)
        sys.exit(FAILED)

    @contextmanager
    def progress(self, label: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """A bar for something that takes over a second; call what it yields with each advance."""
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        ) as bars:
            task = bars.add_task(label, total=total)
            yield lambda count: bars.advance(task, count)


def reported(command: Callable[P, None]) -> Callable[P, None]:
    """Turns an error of the tree into a message, or a JSON object, and an exit code."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except PolystoreError as error:
            if kwargs.get("as_json"):
                gates = list(error.gates) if isinstance(error, GateClosed) else []
                data = {"error": error.code, "message": str(error), "gates": gates}
                click.echo(json.dumps(data))
            click.echo(f"error ({error.code}): {error}", err=True)
            code = exit_code(error)
            if code == UNREACHABLE and error.driver is not None:
                click.echo(_REACH, err=True)
            sys.exit(code)

    return run


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
"""The option that every command has."""
