"""Writes of a group: decided and committed at the home of the key, then brought to the mirror."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import TypeVar

import attrs

from polystore.driver import Check, Refused, Rejected, Stored, Write, Written
from polystore.driver.side import Side, read_one
from polystore.effects import Now
from polystore.errors import (
    Conflict,
    Contention,
    DriverError,
    MixedHome,
    OutcomeUnknown,
    PolystoreError,
)
from polystore.migration.frame import Admitted
from polystore.migration.grouping import Part
from polystore.migration.home import Holding, commit
from polystore.migration.member import Incarnation
from polystore.migration.mirroring import Mirroring
from polystore.migration.preflight.shape import TRANSACTION, kind_of
from polystore.migration.remembered import Remembered
from polystore.migration.session import Session
from polystore.migration.sharing import Sharing
from polystore.migration.slots import FREE, OWED, UNKNOWN, targets_of
from polystore.migration.stages import SOURCE, Setting
from polystore.observe.counters import ACKNOWLEDGED
from polystore.pacing.turn import Need
from polystore.records import Version
from polystore.route.base import Decision, Place, Put, Seen, Verb, as_seen
from polystore.route.bound import Bound
from polystore.route.plain import (
    RETRY,
    PlainRoute,
    Retry,
    check_width,
    decision_is_void,
    unchanged,
    version_of,
)
from polystore.values import Key

T = TypeVar("T")


ROOM_SECONDS = 0.1
"""How long a write waits for a free slot before it looks again what could spill."""


class Writing(Mirroring):
    """Carries out single writes and transactions."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.sharing = Sharing(session, self._slot)
        self.remembered = Remembered()

    async def write(self, bound: Bound, key: Key, verb: Verb, timeout: float) -> Version | None:
        """Decide on one record at its home, commit, and bring the mirror up to it."""
        bucket = self.group.bucket(key)
        tried = False

        async def attempt(at: Admitted) -> Version | None | Retry:
            nonlocal tried
            again, tried = tried, True
            if at.setting.stage.plain:
                return await self._plain(at, bound, key, verb, again=again)
            return await self._stamped(at, bound, key, verb)

        return await self._under(
            (bucket, bucket + 1),
            timeout,
            attempt,
            (bound, key),
            lambda s: self._writes(s, key, 1, 0 if s.stage.plain and verb.blind else 1),
        )

    def _writes(self, setting: Setting, key: Key, writes: int, reads: int) -> list[Need]:
        """What writing some records needs, the slot among them, on both sides."""
        home = self.group.home(setting, key)
        slot = 0 if setting.stage.plain else 1
        needs = [Need(home, reads + writes + slot)]
        if setting.stage.mirrored and writes:
            needs.append(Need(self.group.other(home), writes, later=True))
        return needs

    async def _plain(
        self, at: Admitted, bound: Bound, key: Key, verb: Verb, *, again: bool
    ) -> Version | None | Retry:
        plain = self._plain_route(at).attempt(at.bound(bound), key, verb, again=again)
        version = await self._answered(at.incarnation, plain)
        if not isinstance(version, Retry):
            self._did(at, bound.collection.name, kind_of(verb, version))
        return version

    def _plain_route(self, at: Admitted) -> PlainRoute:
        """The route of a plain stage: the lease is looked at when a write is sent."""

        async def before_write() -> None:
            if not await at.live():
                raise Contention("the lease has run out")

        side = at.side(at.setting.home(0))
        observing = at.setting.observe and side.name == SOURCE
        observer = self.session.observed if observing else None
        return PlainRoute(side, self.group.ids, before_write, observer)

    async def _answered(self, incarnation: Incarnation, plain: Awaitable[T]) -> T:
        """Await a plain call; where it has no answer, remember until when it may land.

        It has none either where the application gives up waiting [M: NO_QUARANTINE].
        """
        config = self.group.config
        latest = await Now() + 2 * config.call_timeout + config.quarantine
        answered = False
        try:
            result = await plain
            answered = True
            return result
        except (OutcomeUnknown, DriverError):
            latest = await Now() + config.quarantine
            raise
        except PolystoreError:
            answered = True
            raise
        finally:
            if not answered:
                incarnation.unanswered_until = max(incarnation.unanswered_until, latest)

    async def _stamped(
        self, at: Admitted, bound: Bound, key: Key, verb: Verb
    ) -> Version | None | Retry:
        """One attempt of PROTOCOL.md 4; without a read where a guess may do."""
        home = at.home(key)
        place = (home.name, bound.collection.name, key)
        guess, told = self.remembered.guess(place, verb), Refused()
        if guess is not None:
            decision = verb.decide(guess.record)
            outcome = await self._tried(at, home, bound, key, decision, guess.stored)
            if not isinstance(outcome, Refused):
                self.remembered.right(place, guess)
                return outcome
            told = outcome
            self.remembered.wrong(place, guess)
            if await Now() >= at.turn.until:
                return RETRY
        stored = told.current
        if not told.told:
            stored = await read_one(home, bound.collection, key)
            self.remembered.saw(place, stored)
        if not await at.live():
            return RETRY
        (record,) = await as_seen((stored,))
        outcome = await self._tried(at, home, bound, key, verb.decide(record), stored)
        return RETRY if isinstance(outcome, Refused) else outcome

    async def _tried(
        self,
        at: Admitted,
        home: Side,
        bound: Bound,
        key: Key,
        decision: Decision,
        stored: Stored | None,
    ) -> Version | None | Refused:
        """Write what was decided on a state, if that is still there; the new version."""
        if decision_is_void(decision, stored):
            return None
        write = self._made(at, bound, key, decision, stored)
        outcome = await self._written(at, home, write)
        if isinstance(outcome, Refused):
            return outcome
        self.remembered.wrote(home.name, write, outcome.token)
        return version_of(write)

    async def _written(self, at: Admitted, home: Side, write: Write) -> Written | Refused:
        """Commit one write at home, with others where they wait too, then mirror it."""
        with Part(at.incarnation.lines[home.name], write, at.setting) as part:
            outcome = await self.sharing.outcome(at, home, part)
            if isinstance(outcome, Written):
                self.session.counters.add(ACKNOWLEDGED)
                part.mirrored = await self._mirrored(at, home, [write])
            return outcome

    async def _applied(
        self,
        at: Admitted,
        holding: Holding,
        home: Side,
        writes: Sequence[Write],
        checks: Sequence[Check],
    ) -> bool:
        """Commit at home, then mirror; whether it was applied. ``False``: a token was lost."""
        holding.state = UNKNOWN
        ids, until = self.group.ids, at.turn.until
        outcome = await commit(home, holding.slot, ids, writes, checks, until)
        if isinstance(outcome, Rejected):
            holding.state = FREE
            return False
        holding.state = OWED
        self.session.counters.add(ACKNOWLEDGED, len(writes))
        if await self._mirrored(at, home, writes):
            holding.state = FREE
        return True

    async def _slot(self, at: Admitted, home: Side) -> Holding:
        pool = at.incarnation.pools[home.name]
        slot = pool.take()
        while slot is None:
            try:
                await self.session.upkeep.make_room(at.incarnation, home, at.turn.until)
            except PolystoreError:  # one may come free all the same
                self.session.counters.add("slots_postponed")
            slot = await pool.take_within(ROOM_SECONDS, at.turn.until)
        return Holding(pool, slot)

    def _made(
        self, at: Admitted, bound: Bound, key: Key, decision: Decision, stored: Stored | None
    ) -> Write:
        """The stamped write of a decision, checked against every side in play."""
        fields = expires = None
        if isinstance(decision, Put):
            fields, expires = decision.fields, decision.expires
        stamp = next_stamp(at.setting, stored)
        write_id = self.group.ids.new()
        write = Write(bound.collection, key, fields, unchanged(stored), write_id, stamp, expires)
        if fields is not None:
            at.bound(bound).check_write(write)
        return write

    # -- transactions -------------------------------------------------------------------------

    async def commit(
        self,
        seen: Sequence[tuple[Place, Seen]],
        writes: Sequence[tuple[Place, Decision]],
        timeout: float,
    ) -> list[Version | None]:
        """Write all at one home if everything seen is still so."""
        places = [place for place, _ in seen] + [place for place, _ in writes]
        if not places:
            return []
        keys = [key for _, key in places]

        async def attempt(at: Admitted) -> list[Version | None] | Retry:
            homes = {at.home(key).name for key in keys}
            if len(homes) > 1:
                raise MixedHome(
                    "the keys of this transaction have different homes at this dial: declare a "
                    "colocation key, or keep the dial at 0 or 100"
                )
            home = at.side(homes.pop())
            if any(s.home != home.name for _, s in seen):
                raise Conflict("the home has moved since the transaction read; nothing was written")
            inner = [((at.bound(bound), key), decision) for (bound, key), decision in writes]
            if at.setting.stage.plain:
                plain = self._plain_route(at).commit(seen, inner, at.turn.until - await Now())
                versions = await self._answered(at.incarnation, plain)
                self._did(at, places[0][0].collection.name, TRANSACTION)
                return versions if writes or await at.live() else RETRY
            if not writes:
                return await self._checked(at, home, seen)
            return await self._committed(at, home, seen, inner)

        checks = len({(b.collection.name, key) for b, key in places}) - len(writes)
        return await self._under(
            self._range(keys),
            timeout,
            attempt,
            places[0],
            lambda s: self._writes(s, keys[0], len(writes), checks),
        )

    async def _checked(
        self, at: Admitted, home: Side, seen: Sequence[tuple[Place, Seen]]
    ) -> list[Version | None] | Retry:
        """A read transaction: a commit of checks alone."""
        if len(seen) > 1:
            checks = [Check(b.collection, k, unchanged(s.stored)) for (b, k), s in seen]
            check_width([p for p, _ in seen], (), len(checks))
            outcome = await home.commit((), checks)
            if isinstance(outcome, Rejected):
                raise Conflict("something that the transaction read has changed")
        return [] if await at.live() else RETRY

    async def _committed(
        self,
        at: Admitted,
        home: Side,
        seen: Sequence[tuple[Place, Seen]],
        writes: Sequence[tuple[Place, Decision]],
    ) -> list[Version | None] | Retry:
        known = {(b.collection.name, k): s.stored for (b, k), s in seen}
        made = await self._all_made(at, home, known, writes)
        written = {(w.collection.name, w.key) for w in made}
        checks = [
            Check(b.collection, k, unchanged(s.stored))
            for (b, k), s in seen
            if (b.collection.name, k) not in written
        ]
        with await self._slot(at, home) as holding:
            self._check_room(home, holding, [p for p, _ in writes], made, len(checks))
            if not await self._applied(at, holding, home, made, checks):
                raise Conflict("something that the transaction read has changed")
        versions = {(w.collection.name, w.key): version_of(w) for w in made}
        return [versions.get((b.collection.name, k)) for (b, k), _ in writes]

    def _check_room(
        self,
        home: Side,
        holding: Holding,
        places: Sequence[Place],
        made: Sequence[Write],
        checks: int,
    ) -> None:
        """Whether the commit has room for the writes and the slot, and the slot for their keys."""
        slot = holding.slot.attempt(targets_of(made), self.group.ids.new())
        check_width(places, made, checks, beside=(slot,))
        for violation in self.group.slots[home.name].violations(slot):
            says = f"One slot has no room for the keys of the transaction: {violation.says}"
            raise attrs.evolve(violation, says=says).error(places[0][0].collection.name, None)

    async def _all_made(
        self,
        at: Admitted,
        home: Side,
        known: dict[tuple[str, Key], Stored | None],
        writes: Sequence[tuple[Place, Decision]],
    ) -> list[Write]:
        """The stamped writes of a transaction; what it writes unseen is read for its stamp."""
        made = []
        for (bound, key), decision in writes:
            name = (bound.collection.name, key)
            stored = known[name] if name in known else await read_one(home, bound.collection, key)
            if not decision_is_void(decision, stored):
                made.append(self._made(at, bound, key, decision, stored))
            elif name not in known:
                known[name] = stored
        return made


def next_stamp(setting: Setting, stored: Stored | None) -> int:
    """The stamp of the next commit on a record: one more, and above the start of this run."""
    floor = setting.floor()
    stamp = floor if stored is None or stored.stamp is None else max(stored.stamp, floor)
    return stamp + 1
