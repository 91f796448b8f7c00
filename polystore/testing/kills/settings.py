"""What a run with real kills is made of: its settings, and the configuration that all open."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import attrs

GROUP = "hot"
"""Name of the group."""

ITEMS, TOTALS = "items", "totals"
"""Its collections: records that are worked on alone, and what transactions keep in step."""

PAIRED = 0
"""Number of the item of each owner that only transactions write, with the owner's total."""


def _numbers(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class Settings:
    """One run.

    Attributes:
        seconds: how long the processes work under faults.
        seed: of all choices. What the machine does between two of them no seed repeats.
        workers: application processes at work at a time.
        threads: clients of each.
        owners, items: the hot set: so many owners with so many items each. Few keys find more:
            without the freeze a step goes wrong within seconds on nine keys.
        span: seconds after which clients turn to other items: nobody can judge tens of thousands of
            operations on one record, of which any that was not answered may have come at any time.
        began: the moment of the machine's monotonic clock from which spans count.
        think: most seconds between two operations of a client.
        polls: a process looks at its member record every so many seconds, one of these.
        fast_polls: the same while a change is announced; the more they differ, the longer some
            processes work under one epoch and some under the next.
        lease, call_timeout, quarantine: of the group, in seconds.
        pause: mean seconds between two faults; infinite for none.
    """

    seconds: float = 15.0
    seed: int = 1
    workers: int = 4
    threads: int = 2
    owners: int = 3
    items: int = 2
    span: float = 60.0
    began: float = attrs.field(factory=time.monotonic)
    think: float = 0.02
    polls: tuple[float, ...] = attrs.field(default=(0.1, 0.5), converter=_numbers)
    fast_polls: tuple[float, ...] = attrs.field(default=(0.05, 0.3), converter=_numbers)
    lease: float = 1.5
    call_timeout: float = 1.5
    quarantine: float = 4.0
    pause: float = 0.8

    def owner_names(self) -> list[str]:
        """First key parts of all records."""
        return [f"owner{number}" for number in range(self.owners)]

    def hot(self) -> range:
        """Numbers of the items that clients work on now."""
        first = 1 + self.items * int((time.monotonic() - self.began) / self.span)
        return range(first, first + self.items)

    def burial(self) -> float:
        """Seconds after which a process that stands still has surely been closed and recovered."""
        return (1.5 + 1.1) * self.lease + 1.0

    def write(self, folder: Path, urls: Mapping[str, str]) -> list[Path]:
        """Write a configuration file for each poll; all of one group.

        Args:
            folder: where.
            urls: of ``source``, ``target`` and ``control``.
        """
        paths = []
        for number, (poll, fast) in enumerate(zip(self.polls, self.fast_polls, strict=True)):
            path = folder / f"kills{number}.toml"
            path.write_text(_TOML.format(poll=poll, fast=fast, me=self, **_quoted(urls)))
            paths.append(path)
        return paths


def _quoted(urls: Mapping[str, str]) -> dict[str, str]:
    return {name: json.dumps(url) for name, url in urls.items()}


_TOML = """
timeout = 8.0
[groups.hot]
collections = ["items", "totals"]
source = {source}
target = {target}
control = {control}
colocate = 1
lease = {me.lease}
poll = {poll}
fast_poll = {fast}
call_timeout = {me.call_timeout}
quarantine = {me.quarantine}
[collections.items]
key = ["owner", "item:int"]
[collections.totals]
key = ["owner"]
"""
