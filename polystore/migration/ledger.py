"""What the processes of a fleet agree on: records of the control store, changed by compare-and-set.

All of one group lie in one partition of the collection :data:`CONTROL`: the item ``control`` holds
the setting, ``member/…`` the members, ``copy/…`` and ``verify/…`` the progress of long tasks,
``history/…`` who changed what and why.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from polystore.driver import NOTHING, Stored, Unchanged, Write, Written
from polystore.driver.side import Side, read_one
from polystore.effects import SECOND, Now, Sleep, Uniform, WallClock
from polystore.errors import Contention, OutcomeUnknown, Unavailable
from polystore.identity import WriteIds
from polystore.migration.stages import Setting
from polystore.queries import Between, Position, QueryPlan, Range
from polystore.schema import Collection
from polystore.values import Fields

CONTROL = Collection("_ps_control", ["group:str", "item:str"])
"""The control store's collection."""

SLOTS = Collection("_ps_slots", ["member:str", "slot:int"])
"""Slots, in each store that may be a home."""

DONE, BEGUN = "done", "begun"
"""How something in the history ended; what was begun and never ended stays ``begun``."""

_SETTING = "control"
_HISTORY = "history/"
_MOST_TEXT = 2_000
"""Characters of what polystore itself says in an entry of the history."""

_ATTEMPTS = 30
_PAGE = 200


class Ledger:
    """The records of one group in the control store.

    Args:
        side: the control store.
        group: name of the group.
        ids: makes write ids.
    """

    def __init__(self, side: Side, group: str, ids: WriteIds) -> None:
        self.side = side
        self.group = group
        self._ids = ids

    async def get(self, item: str) -> Stored | None:
        """One record, read strongly."""
        return await read_one(self.side, CONTROL, (self.group, item))

    async def put(
        self, item: str, fields: Fields, known: Stored | None, until: float = math.inf
    ) -> Stored | None:
        """Write a record if it is still as ``known``; the new one, or ``None`` if it is not.

        A call without an answer is repeated, up to the moment ``until`` on the monotonic clock:
        its own write id tells whether it was applied.
        """
        key = (self.group, item)
        condition = NOTHING if known is None else Unchanged(known.token)
        whole: Fields = {**fields, "group": self.group, "item": item}
        write = Write(CONTROL, key, whole, condition, self._ids.new())
        for attempt in range(_ATTEMPTS):
            try:
                if isinstance(outcome := await self.side.write(write), Written):
                    return Stored(key, whole, outcome.token, write.write_id)
                now = await self.get(item) if attempt else None
                return now if now is not None and now.write_id == write.write_id else None
            except (OutcomeUnknown, Unavailable, Contention):
                if attempt == _ATTEMPTS - 1 or await Now() >= until:
                    raise
                await Sleep(0.05 * await Uniform() * min(attempt + 1, 20))
        return None

    async def change(
        self, item: str, change: Callable[[Fields | None], Fields | None]
    ) -> Stored | None:
        """Read, change, write, until nobody came between.

        Args:
            change: from the present fields (``None``: no record) to the new ones; it returns
                ``None`` to leave things as they are. It may be called several times.

        Returns:
            The record as it is now.
        """
        for attempt in range(_ATTEMPTS):
            known = await self.get(item)
            fields = change(None if known is None else known.fields)
            if fields is None:
                return known
            written = await self.put(item, fields, known)
            if written is not None:
                return written
            await Sleep(0.02 * await Uniform() * (attempt + 1))
        raise Contention(f"{item}: others changed it {_ATTEMPTS} times", collection=CONTROL.name)

    async def delete(self, known: Stored) -> bool:
        """Delete a record if it is still as ``known``; whether it was deleted now."""
        write = Write(CONTROL, known.key, None, Unchanged(known.token))
        return isinstance(await self.side.write(write), Written)

    async def all(self, prefix: str) -> list[Stored]:
        """All records whose item starts with ``prefix``, in order."""
        plan = QueryPlan(None, (self.group,), _below(prefix))
        found: list[Stored] = []
        after: Position | None = None
        while True:
            page = await self.side.query(CONTROL, plan, after, _PAGE)
            found += page.records
            after = page.next
            if after is None:
                return found

    async def setting(self) -> Setting:
        """The newest setting; where none was ever written, the first."""
        stored = await self.get(_SETTING)
        return Setting() if stored is None or stored.fields is None else _setting(stored.fields)

    async def change_setting(self, change: Callable[[Setting], Setting | None]) -> Setting:
        """Read, change and write the setting, until nobody came between; the newest one."""

        def on_fields(fields: Fields | None) -> Fields | None:
            new = change(Setting() if fields is None else _setting(fields))
            return None if new is None else new.to_fields()

        stored = await self.change(_SETTING, on_fields)
        return Setting() if stored is None or stored.fields is None else _setting(stored.fields)

    async def record(
        self, setting: Setting, what: str, who: str, why: str, outcome: str = DONE
    ) -> str:
        """Keep in the history who does what, and why: before it is done, so that nothing is missed.

        Args:
            setting: in which it is done.
            outcome: ``begun`` for what :meth:`amend` tells the end of; it stays where that died.

        Returns:
            The item of the entry.
        """
        fields: Fields = {
            "at": await WallClock() // SECOND, "what": _cut(what), "who": who, "why": why,
            "run": setting.run, "epoch": setting.epoch, "outcome": outcome,
        }  # fmt: skip
        newest = QueryPlan(None, (self.group,), _below(_HISTORY), descending=True)
        page = await self.side.query(CONTROL, newest, None, 1)
        number = int(str(page.records[0].key[1])[len(_HISTORY) :]) + 1 if page.records else 0
        while await self.put(f"{_HISTORY}{number:010d}", fields, None) is None:
            number += 1  # somebody else was quicker
        return f"{_HISTORY}{number:010d}"

    async def amend(self, item: str, outcome: str) -> None:
        """Tell in the history how something ended."""
        text = _cut(outcome)
        await self.change(item, lambda f: None if f is None else {**f, "outcome": text})

    async def history(self) -> list[Fields]:
        """What was done to this group, oldest first."""
        return [s.fields for s in await self.all(_HISTORY) if s.fields is not None]


def _below(prefix: str) -> Range:
    return Between(prefix, prefix + "\U0010ffff")


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_TEXT else text[: _MOST_TEXT - 1] + "…"


def _setting(fields: Fields) -> Setting:
    return Setting.from_fields(fields)
