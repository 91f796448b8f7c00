"""Broken procedures of the migration: what is replaced, and the rule whose cases must find it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from polystore.driver import Refused, Stored, Write
from polystore.driver.side import Side
from polystore.migration import (
    bringing,
    mirror,
    mirroring,
    reading,
    recovery,
    repair,
    scanning,
    spill,
    verify,
    writing,
)
from polystore.migration.stages import SOURCE, TARGET, Setting
from polystore.records import Version
from tests.migration.guards import GUARDS, Removal


@attrs.frozen
class Broken:
    """One broken procedure.

    Attributes:
        rule: which finds it, with the cases of pairs alone.
        removed: what takes the place of what.
    """

    rule: str
    removed: Callable[[], Sequence[Removal]]


def guard(name: str) -> Callable[[], Sequence[Removal]]:
    """What takes away a guard of the protocol."""
    return GUARDS[name].removed


MIRRORS = (bringing, mirror, mirroring, recovery, spill)
"""Who brings records to the mirror."""

_mirror_write = mirror.mirror_write


def mirrored(change: Callable[[Write], None]) -> Callable[[], Sequence[Removal]]:
    """Everything that goes to the mirror is changed on its way."""

    def write(*arguments: Any, **named: Any) -> Write:
        made = _mirror_write(*arguments, **named)
        change(made)
        return made

    return lambda: [(module, "mirror_write", write) for module in MIRRORS]


def _without_expiry(write: Write) -> None:
    write.expires = None


def _without_write_id(write: Write) -> None:
    write.write_id = "of the mirror"


def _without_empty_values(write: Write) -> None:
    if write.fields is not None:
        write.fields = {name: v for name, v in write.fields.items() if v != "" and v is not None}


def _with_numbers_as_floats(write: Write) -> None:
    if write.fields is not None:
        kept = write.collection.key_names
        write.fields = {
            name: float(v) if type(v) is int and name not in kept else v
            for name, v in write.fields.items()
        }


_brought = mirroring.Mirroring._mirrored


async def _only_from_the_source(self: Any, at: Any, home: Side, writes: Any) -> bool:
    """Nothing goes back: a home on the target has no mirror."""
    return True if home.name == TARGET else await _brought(self, at, home, writes)


async def _no_deletes(self: Any, at: Any, home: Side, writes: Sequence[Write]) -> bool:
    """Deletes are not brought to the mirror."""
    left = [write for write in writes if write.fields is not None]
    return await _brought(self, at, home, left) if left else True


async def _first_of_a_transaction(self: Any, at: Any, home: Side, writes: Sequence[Write]) -> bool:
    """Only one record of a commit is brought to the mirror."""
    return await _brought(self, at, home, writes[:1])


_scanned = scanning.Scanning.page


async def _last_record_lost(self: Any, *arguments: Any) -> Any:
    """The copy takes the end of a page for the beginning of the next."""
    page = await _scanned(self, *arguments)
    if page.cursor is not None and page.records:
        page.records.pop()
    return page


async def _first_page_only(self: Any, *arguments: Any) -> Any:
    """A copy ends with its first page."""
    page = await _scanned(self, *arguments)
    page.cursor = None
    return page


_bring = bringing.Bringing.bring


async def _confirmed_before_it_is_there(
    self: Any, setting: Setting, collection: Any, records: Any
) -> Any:
    """A copy counts a page whose write had no answer as written."""
    try:
        outcomes = await self._target.write_many(
            [_mirror_write(collection, stored, setting, copying=True) for stored in records]
        )
    except Exception:  # noqa: BLE001  # the mistake
        return bringing.Brought(written=len(records))
    newer = sum(isinstance(outcome, Refused) for outcome in outcomes)
    return bringing.Brought(written=len(records) - newer, newer=newer)


async def _without_tombstones(
    self: Any, setting: Setting, collection: Any, records: Sequence[Stored]
) -> Any:
    """A copy leaves out what was deleted, and counts it."""
    shown = [stored for stored in records if stored.fields is not None]
    brought = await _bring(self, setting, collection, shown)
    brought.newer += len(records) - len(shown)
    return brought


async def _not_checked(*_: Any) -> None:
    return


_read = reading.Reading._read


async def _reads_the_source(self: Any, at: Any, *arguments: Any) -> Any:
    """Reads go to the source, whichever side is home."""
    moved = attrs.evolve(at.setting, moved=0)
    return await _read(self, attrs.evolve(at, setting=moved), *arguments)


_page = reading.Reading._page


async def _queries_the_source(self: Any, at: Any, side: str, *arguments: Any) -> Any:
    """Queries go to the source as long as it is in play."""
    return await _page(self, at, SOURCE if at.setting.stage.mirrored else side, *arguments)


def _same_stamp(setting: Setting, stored: Stored | None) -> int:
    """Stamps do not grow."""
    return setting.floor() + 1


async def _touches_nothing(*_: Any) -> None:
    return


async def _finds_nothing(*_: Any, **__: Any) -> list[Any]:
    return []


def _digest_of_now(write: Write) -> Version:
    """The version that a put returns is none that a read shows."""
    return Version(f"returned {write.write_id}")


_home = Setting.home


def _last_bucket_stays(self: Setting, bucket: int) -> str:
    """One bucket never moves."""
    return SOURCE if bucket == 119 and self.stage.mirrored else _home(self, bucket)


PROCEDURES: Mapping[str, Broken] = {
    "BlindBackfill": Broken("BF-2", guard("copy if older")),
    "BackfillLosesTheEndOfAPage": Broken(
        "BF-5", lambda: [(scanning.Scanning, "page", _last_record_lost)]
    ),
    "BackfillEndsWithItsFirstPage": Broken(
        "BF-3", lambda: [(scanning.Scanning, "page", _first_page_only)]
    ),
    "PageConfirmedBeforeItIsThere": Broken(
        "BF-3", lambda: [(bringing.Bringing, "bring", _confirmed_before_it_is_there)]
    ),
    "BackfillWithoutTombstones": Broken(
        "BF-2", lambda: [(bringing.Bringing, "bring", _without_tombstones)]
    ),
    "TombstoneDroppedEarly": Broken("MIR-4", guard("tombstones")),
    "MirrorBlind": Broken("MIR-3", guard("mirror if older")),
    "MirrorForgotten": Broken("MIR-6", guard("slot cleared after the mirror")),
    "MirrorFirst": Broken("MIR-3", guard("home first")),
    "NothingIsMirroredBack": Broken(
        "MIR-6", lambda: [(mirroring.Mirroring, "_mirrored", _only_from_the_source)]
    ),
    "DeletesAreNotMirrored": Broken(
        "REC-8", lambda: [(mirroring.Mirroring, "_mirrored", _no_deletes)]
    ),
    "FirstOfATransactionIsMirrored": Broken(
        "TX-2", lambda: [(mirroring.Mirroring, "_mirrored", _first_of_a_transaction)]
    ),
    "ExpiryIsNotMirrored": Broken("EXP-4", mirrored(_without_expiry)),
    "WriteIdIsNotMirrored": Broken("REC-4", mirrored(_without_write_id)),
    "EmptyValuesAreNotMirrored": Broken("VAL-7", mirrored(_without_empty_values)),
    "NumbersAreMirroredAsFloats": Broken("VAL-2", mirrored(_with_numbers_as_floats)),
    "StampsDoNotGrow": Broken("MIR-6", lambda: [(writing, "next_stamp", _same_stamp)]),
    "TokenNotCompared": Broken("CON-3", guard("token")),
    "StaleStageReads": Broken("SHD-1", lambda: [(reading.Reading, "_read", _reads_the_source)]),
    "StaleStageQueries": Broken("QRY-9", lambda: [(reading.Reading, "_page", _queries_the_source)]),
    "StaleStageWrites": Broken("DIA-2", guard("frozen buckets wait")),
    "TimeoutTakenForNo": Broken("UNK-1", guard("time-out is unknown")),
    "NothingIsBumped": Broken("UNK-2", guard("bump")),
    "IntentLeftOut": Broken("RCV-3", guard("intent")),
    "IntentNamesTheFirst": Broken("MIR-10", guard("intent names all")),
    "RecoveryBringsNothing": Broken("RCV-3", guard("recovery converges")),
    "RecheckLeftOut": Broken("VER-2", guard("recheck")),
    "BarrierLeftOut": Broken("VER-2", guard("barrier")),
    "RepairTouchesNothing": Broken("VER-5", lambda: [(repair, "touch", _touches_nothing)]),
    "VerificationFindsNothing": Broken("VER-1", lambda: [(verify, "certain", _finds_nothing)]),
    "DrainLeftOut": Broken("EPO-4", guard("drain")),
}
"""By name. Each is one mistake in a migration; the cases of its rule alone must find it."""
