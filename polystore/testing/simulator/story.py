"""A run told as a sequence diagram in text: a column for each process and each database."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator, Sequence

from polystore.migration.stages import SOURCE, TARGET
from polystore.testing.simulator.trace import Event

WIDTH = 9
"""Characters of a column."""

STORES = ("control", SOURCE, TARGET)


def story(events: Iterable[Event], *, broken: str = "", everything: bool = False) -> list[str]:
    """The lines of a diagram.

    Args:
        events: the trace of a run.
        broken: what went wrong; the keys that it names decide what is shown.
        everything: show all events all the same.
    """
    chosen = list(events)
    keys = named(broken)
    if keys and not everything:
        chosen = [e for e in chosen if _matters(e, keys)]
    lanes = _lanes(chosen)
    return [_head(lanes), *(_line(event, lanes) for event in chosen)]


def named(text: str) -> frozenset[Hashable]:
    """The keys that a sentence about a broken promise names."""
    found: set[Hashable] = set()
    for owner, item in re.findall(r"\('(\w+)', (\d+)\)", text):
        found.add((owner, int(item)))
    for owner in re.findall(r"\('pair', '(\w+)'\)|\('(\w+)',\)", text):
        name = owner[0] or owner[1]
        found |= {("pair", name), (name,), (name, 0)}
    return frozenset(found)


def _matters(event: Event, keys: frozenset[Hashable]) -> bool:
    """Whether an event is about one of these keys, or about everything."""
    if event.keys & keys:
        return True
    if event.kind == "note":
        return True
    return event.side == "control" and event.kind == "applied" and " control" in event.text


def _lanes(events: Sequence[Event]) -> list[str]:
    processes = dict.fromkeys(e.process for e in events if e.process)
    stores = [name for name in STORES if any(e.side == name for e in events)]
    return [*processes, *stores]


def _head(lanes: Sequence[str]) -> str:
    return " " * 10 + "".join(f"{lane[: WIDTH - 1]:^{WIDTH}}" for lane in lanes).rstrip()


def _line(event: Event, lanes: Sequence[str]) -> str:
    """One event: an arrow between two columns, or a mark in one."""
    row = list(("|".center(WIDTH)) * len(lanes))
    if event.process:
        here = _middle(lanes, event.process)
        if event.side:
            _arrow(row, here, _middle(lanes, event.side), event.kind)
        else:
            row[here] = {"asked": ">", "answered": "<"}.get(event.kind, "#")
    return f"{event.time:9.4f} {''.join(row)}  {event.text}"


def _middle(lanes: Sequence[str], name: str) -> int:
    return lanes.index(name) * WIDTH + (WIDTH - 1) // 2


def _arrow(row: list[str], process: int, store: int, kind: str) -> None:
    """From a process to a database, or back; nothing goes back where nobody hears."""
    if kind == "unheard":
        row[store] = "*"
        return
    for i in range(min(process, store) + 1, max(process, store)):
        row[i] = "-"
    to_store = kind == "sent"
    row[process] = "o" if to_store else ("<" if process < store else ">")
    row[store] = (">" if process < store else "<") if to_store else "*"


def told_run(found: str, events: Iterable[Event], *, everything: bool = False) -> Iterator[str]:
    """What went wrong, how to read the diagram, and the diagram."""
    yield found or "every promise held"
    yield ""
    yield "o---> a call is sent  <---* it was applied and is answered  * applied, and nobody hears"
    yield "> a client asks  < it is answered  # something happens to a process"
    yield ""
    yield from story(events, broken=found, everything=everything)
