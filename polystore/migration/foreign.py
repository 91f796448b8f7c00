"""Writers that go past the library: whether what they wrote is adopted, or stops the run.

With ``halt`` a comparison that meets a foreign record leaves it as it is, and notes that in the
control store: a gate keeps the run where it is until a full verification has found none, or
somebody goes on with a reason. Only what leads back stays open.
"""

from __future__ import annotations

import attrs

from polystore.effects import SECOND, WallClock
from polystore.migration.ledger import Ledger
from polystore.migration.stages import Setting
from polystore.values import Fields


@attrs.frozen(kw_only=True)
class Noted:
    """Foreign records of one collection.

    Attributes:
        found: how often one was met in this run, ever.
        gone: how many of these a full verification, begun after them, has not met again.
        at: when the last one was met, in seconds since 1970.
    """

    collection: str
    found: int = 0
    gone: int = 0
    at: int = 0

    @property
    def open(self) -> int:
        """How often one was met since the last full verification without it began."""
        return self.found - self.gone

    @classmethod
    def from_fields(cls, collection: str, fields: Fields | None) -> Noted:
        """What a record says; none: nothing was met."""
        told = {} if fields is None else {name: fields[name] for name in ("found", "gone", "at")}
        return cls(collection=collection, **told)  # type: ignore[arg-type]


def _item(setting: Setting, collection: str = "") -> str:
    return f"foreign/{setting.run}/{collection}"


async def note(ledger: Ledger, setting: Setting, collection: str) -> None:
    """One more foreign record of a collection was met."""
    now = await WallClock() // SECOND

    def one_more(fields: Fields | None) -> Fields:
        known = Noted.from_fields(collection, fields)
        return attrs.asdict(attrs.evolve(known, found=known.found + 1, at=now))

    await ledger.change(_item(setting, collection), one_more)


async def met(ledger: Ledger, setting: Setting, collection: str) -> int:
    """How often foreign records of a collection were met in this run so far."""
    stored = await ledger.get(_item(setting, collection))
    return 0 if stored is None else Noted.from_fields(collection, stored.fields).found


async def noted(ledger: Ledger, setting: Setting) -> dict[str, int]:
    """How often foreign records were met, by collection, where that is open."""
    found = [
        Noted.from_fields(str(stored.fields["collection"]), stored.fields)
        for stored in await ledger.all(_item(setting))
        if stored.fields is not None
    ]
    return {one.collection: one.open for one in found if one.open}


async def forget(ledger: Ledger, setting: Setting, collection: str, before: int) -> None:
    """A full verification has met none.

    Args:
        before: how often they had been met when it began: what was met meanwhile may have been
            written behind its back.
    """

    def gone(fields: Fields | None) -> Fields | None:
        known = Noted.from_fields(collection, fields)
        if known.gone >= before:
            return None
        return attrs.asdict(attrs.evolve(known, gone=before))

    await ledger.change(_item(setting, collection), gone)
