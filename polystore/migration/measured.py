"""Gates that look at numbers: what members told with their heartbeats, and how long ago it was."""

from __future__ import annotations

from polystore.effects import SECOND, WallClock
from polystore.migration.checks import Gate, Situation
from polystore.migration.fleet import named
from polystore.migration.stages import BUCKETS, SPEAKS
from polystore.observe.counters import BACKLOG_MS, CLEAN_READS, COMPARED, DIFFERENCES

LAST_READS = 1_000
"""Among so many reads compared last there may be no difference, whatever was agreed on."""

HOUR = 3600


async def members_know(at: Situation) -> Gate:
    """Every member speaks the version of the protocol that this process does."""
    old = [m for m in await at.fleet.members() if m.speaks != SPEAKS]
    seen = ", ".join(f"{m.id} speaks {m.speaks}" for m in old) or f"all speak {SPEAKS}"
    text = f"bring to this release of polystore, or stop: {named(old)}"
    return Gate("members-know", not old, text, seen, f"version {SPEAKS}", firm=True)


async def backlog_young(at: Situation) -> Gate:
    """No write has waited long for the mirror."""
    most = at.group.config.gates.backlog
    waits = {m: m.told(BACKLOG_MS) / 1000 for m in await at.fleet.members()}
    longest = max(waits.values(), default=0.0)
    late = [m for m, seconds in waits.items() if seconds > most]
    text = f"wait until the mirror has caught up, or mend it: {named(late)}"
    return Gate("backlog-young", not late, text, f"{longest:g} s old", f"at most {most:g} s")


async def verified_lately(at: Situation) -> Gate:
    """The full verification that counts is not too old."""
    most = at.group.config.gates.verified
    age = await WallClock() // SECOND - at.setting.verified_at
    known = at.setting.verified_at > 0
    seen = f"{max(age, 0) / HOUR:.1f} hours ago" if known else "as the gate `verified` says"
    text = "run `polystore migrate verify` again"
    limit = f"within {most / HOUR:g} hours"
    return Gate("verified-lately", not known or age <= most, text, seen, limit)


async def reads_agree(at: Situation) -> Gate:
    """Reads that were compared with the mirror found no difference lately.

    Where a member found one, the reads since then are those that this member compared, at least.
    """
    needed = at.group.config.gates.reads
    members = await at.fleet.members()
    unlike = [m for m in members if m.told(DIFFERENCES)]
    compared = sum(m.told(COMPARED) for m in members)
    since = min((m.told(CLEAN_READS) for m in unlike), default=compared)
    found = sum(m.told(DIFFERENCES) for m in unlike)
    least = max(needed, LAST_READS) if found else needed
    text = "let the application read on" + (
        "; the keys are in the events `discrepancy`; `polystore migrate verify` tells what differs"
        if found
        else f", or lower `reads` in the gates of the group: {needed} were agreed on"
    )
    seen = f"{found} differences, {since} reads compared since"
    return Gate("reads-agree", since >= least, text, seen, f"{least} reads without one")


async def nothing_owed(at: Situation) -> Gate:
    """No slot of any member holds an intent or an answer that is missing."""
    owing = [m for m in await at.fleet.members() if m.lacks]
    total = sum(m.lacks for m in owing)
    text = f"wait for the next heartbeat of {named(owing)}; what lasts is an answer that is missing"
    return Gate("nothing-owed", not owing, text, f"{total} open", "0")


async def window_over(at: Situation) -> Gate:
    """The dial has been at 100 % for as long as was agreed on."""
    agreed = at.group.config.gates.window
    at_100 = at.setting.moved == BUCKETS
    stayed = max(await WallClock() // SECOND - at.setting.full_at, 0) if at_100 else 0
    seen = f"{stayed / HOUR:.1f} hours at 100 %" if at_100 else "not at 100 %"
    text = "wait; until then `polystore migrate dial 0` leads back without a loss"
    return Gate("window-over", stayed >= agreed, text, seen, f"{agreed / HOUR:g} hours")
