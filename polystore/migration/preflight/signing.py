"""Signing off: somebody answers for a finding of a run, in the preflight or of the copy."""

from __future__ import annotations

import attrs

from polystore.migration.ledger import Ledger
from polystore.migration.preflight.checkpoints import root_of, run_of
from polystore.migration.stages import Setting
from polystore.values import Fields


@attrs.frozen
class Signed:
    """A finding that somebody answers for: up to how many cases, who, and why."""

    count: int
    who: str
    why: str


async def signed(ledger: Ledger, run: int) -> dict[str, Signed]:
    """What was signed off for a run, by name of the finding."""
    answered = {}
    for stored in await ledger.all(root_of(run) + "signed/"):
        fields = stored.fields or {}
        count, who, why = fields["count"], fields["who"], fields["why"]
        assert type(count) is int
        answered[str(fields["finding"])] = Signed(count, str(who), str(why))
    return answered


async def sign(
    ledger: Ledger, setting: Setting, name: str, count: int, says: str, who: str, why: str
) -> None:
    """Answer for so many cases of a finding; it is recorded, with what is wrong in words."""
    fields: Fields = {"finding": name, "count": count, "who": who, "why": why}
    await ledger.record(setting, f"signed off {name}: {count} cases, {says}", who, why)
    await ledger.change(f"{root_of(run_of(setting))}signed/{name}", lambda _: fields)
