"""What is noted of a run: who did what, when, about which keys; and how a call is told."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any, Literal

import attrs

from polystore.testing.simulator.faults import FOR_EVER, Fate, Sent
from polystore.values import Key

Kind = Literal["note", "asked", "answered", "sent", "applied", "unheard"]


@attrs.frozen
class Event:
    """One line of a trace.

    Attributes:
        time: seconds of virtual time.
        kind: what it is; ``unheard`` is a call that was applied and whose caller hears nothing.
        process: whose; empty for nobody's.
        side: the database that is called, where one is.
        text: what happened.
        keys: the records that it is about, and of clients the cell.
    """

    time: float
    text: str
    kind: Kind = "note"
    process: str = ""
    side: str = ""
    keys: frozenset[Hashable] = frozenset()

    def __str__(self) -> str:
        who = f"{self.process} " if self.process else ""
        where = f"{self.side}: " if self.side else ""
        return f"{self.time:10.4f} {who}{self.kind} {where}{self.text}"


def concerned(sent: Sent) -> frozenset[Hashable]:
    """The keys that a call names; a scan or a query names none."""
    arguments = sent.call.arguments
    if sent.method == "read":
        return frozenset(arguments[1])
    if not sent.writes:
        return frozenset()
    named = [w.key for w in _writes(sent)]
    if sent.method == "commit":
        named += [check.key for check in arguments[1]]
    return frozenset(named)


def told(sent: Sent) -> str:
    """A call: keys, conditions and stamps, and values of fields too."""
    if sent.method == "read":
        collection, keys, consistency = sent.call.arguments
        return f"read {collection.name} {_told_keys(keys)} {consistency.value}"
    if not sent.writes:
        about = " ".join(_told_argument(a) for a in sent.call.arguments)
        return f"{sent.method} {about}"
    checks = sent.call.arguments[1] if sent.method == "commit" else ()
    parts = [*map(_told_write, _writes(sent)), *(f"check {list(c.key)}" for c in checks)]
    return f"{sent.method} {'; '.join(parts)}"


def told_fate(fate: Fate) -> str:
    """What goes wrong with a call, where something does."""
    if fate.error is None:
        return ""
    if fate.apply is None:
        when = "never"
    elif fate.apply == FOR_EVER:
        when = "when it is released"
    else:
        when = f"in {fate.apply:.3f} s"
    return f" -- answered by {type(fate.error).__name__}, applied {when}"


def told_reply(reply: Any) -> str:
    """What a database says."""
    records = getattr(reply, "records", None)
    if records is None:
        return type(reply).__name__
    shown = [
        "nothing"
        if r is None
        else f"{list(r.key)} = {_told_body(r.key, r.fields)}{_told_stamp(r.stamp)}"
        for r in records[:5]
    ]
    more = "" if len(records) <= len(shown) else f" and {len(records) - len(shown)} more"
    return (", ".join(shown) or "no records") + more


def _writes(sent: Sent) -> Iterable[Any]:
    first = sent.call.arguments[0]
    return first if isinstance(first, list | tuple) else [first]


def _told_keys(keys: Iterable[Key]) -> str:
    return " ".join(str(list(key)) for key in keys)


def _told_argument(argument: Any) -> str:
    name = getattr(argument, "name", None)
    return str(name) if isinstance(name, str) else str(argument)


def _told_body(key: Key, fields: Any) -> Any:
    return "tombstone" if fields is None else {k: v for k, v in fields.items() if v not in key}


def _told_stamp(stamp: int | None) -> str:
    return "" if stamp is None else f" @{stamp >> 40}:{stamp % (1 << 40)}"


def _told_write(write: Any) -> str:
    condition = write.condition
    detail = getattr(condition, "token", getattr(condition, "stamp", ""))
    what = _told_body(write.key, write.fields)
    if write.fields is None and write.stamp is None:
        what = "delete"
    return (
        f"{write.collection.name}{list(write.key)} := {what}{_told_stamp(write.stamp)}"
        f" if {type(condition).__name__} {detail}".rstrip()
    )
