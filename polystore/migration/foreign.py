"""Writers that go past the library: whether what they wrote is adopted, or stops the run.

With ``halt`` a comparison that meets a foreign record leaves it as it is, and notes that in the
control store: a gate keeps the run where it is until a full verification has found none, or
somebody goes on with a reason. Only what leads back stays open.
"""

from __future__ import annotations

from polystore.effects import SECOND, WallClock
from polystore.migration.ledger import Ledger
from polystore.migration.stages import Setting
from polystore.values import Fields


def _item(setting: Setting, collection: str = "") -> str:
    return f"foreign/{setting.run}/{collection}"


async def note(ledger: Ledger, setting: Setting, collection: str) -> None:
    """One more foreign record of a collection was met."""
    at = await WallClock() // SECOND

    def one_more(fields: Fields | None) -> Fields:
        found = 0 if fields is None else fields["found"]
        assert type(found) is int
        return {"collection": collection, "found": found + 1, "at": at}

    await ledger.change(_item(setting, collection), one_more)


async def noted(ledger: Ledger, setting: Setting) -> dict[str, int]:
    """How often foreign records were met, by collection."""
    found: dict[str, int] = {}
    for stored in await ledger.all(_item(setting)):
        count = 0 if stored.fields is None else stored.fields["found"]
        assert type(count) is int
        if stored.fields is not None and count:
            found[str(stored.fields["collection"])] = count
    return found


async def forget(ledger: Ledger, setting: Setting) -> None:
    """A full verification has met none."""
    for collection in await noted(ledger, setting):
        await ledger.change(
            _item(setting, collection), lambda fields: fields and {**fields, "found": 0}
        )
