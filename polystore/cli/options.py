"""Options that several commands take, and mean alike."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from polystore.cli.output import json_option
from polystore.migration.epochs import PATIENCE

C = TypeVar("C", bound=Callable[..., None])


def group_options(command: C) -> C:
    """The options that say which group of which configuration."""
    for option in (
        json_option,
        click.option("--group", "-g", default=None, help="The group; needed if there are several."),
        click.option(
            "--config", "-c", type=click.Path(path_type=Path), default="polystore.toml",
            show_default=True, help="The configuration file.",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


def user() -> str:
    """Who runs this command, by name, or by number where the number has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def who_and_why(command: C) -> C:
    """The options that every change of a migration asks for: who, and why."""
    for option in (
        click.option("--why", required=True, help="Why; it is kept in the history."),
        click.option("--who", default=user, help="Who; the user's name by default."),
    ):
        command = option(command)
    return command


def who_and_maybe_why(command: C) -> C:
    """The same, for commands that need no reason unless they change something."""
    for option in (
        click.option("--who", default=user, help="Who; the user's name by default."),
        click.option("--why", default="", help="Why; it is kept in the history."),
    ):
        command = option(command)
    return command


def within_option(command: C) -> C:
    """The option that says how long a step may take before it goes back."""
    return click.option(
        "--within", default=None, type=click.FloatRange(0, min_open=True), metavar="SECONDS",
        help="Seconds in which every member has to acknowledge it; else it goes back to where it "
        f"came from. By default {PATIENCE:g} and the group's quarantine.",
    )(command)  # fmt: skip


def parallel_option(default: int, done: str) -> Callable[[C], C]:
    """The option that says how many segments are worked at; ``done`` is what becomes of them."""
    return click.option(
        "--parallel", default=default, type=click.IntRange(1), show_default=True,
        help=f"Segments {done} at once.",
    )  # fmt: skip


def page_option(default: int) -> Callable[[C], C]:
    """The option that says how often there is a checkpoint."""
    return click.option(
        "--page", default=default, type=click.IntRange(1), show_default=True,
        help="Records between two checkpoints.",
    )  # fmt: skip
