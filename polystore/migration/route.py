"""The route of a group under migration: every operation at the home of its key, then the mirror.

Each operation is admitted for its buckets and works under the setting of that moment. What was read
counts only if the lease is live after the answer; a commit only if its slot is open.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias, TypeVar
from zlib import crc32

import attrs

from polystore.driver import (
    Check,
    Consistency,
    QueryPage,
    Refused,
    Rejected,
    Segment,
    Stored,
    Unprocessed,
    Write,
)
from polystore.driver.keycodec import encode_key
from polystore.driver.side import Side, read_all, read_one
from polystore.effects import Both, Now
from polystore.errors import (
    Conflict,
    Contention,
    CursorExpired,
    DeadlineExceeded,
    DriverError,
    MixedHome,
    OutcomeUnknown,
    PolystoreError,
    Throttled,
)
from polystore.migration.compare import differs
from polystore.migration.group import OpenGroup
from polystore.migration.home import Fenced, Holding, commit
from polystore.migration.latch import ALL, Ticket
from polystore.migration.member import Incarnation
from polystore.migration.mirror import check_refusal, mirror_write, put_if_older
from polystore.migration.pages import merged
from polystore.migration.session import Session
from polystore.migration.slots import FREE, OWED, UNKNOWN, targets_of
from polystore.migration.stages import BUCKETS, SOURCE, TARGET, Setting, Stage
from polystore.observe.counters import ACKNOWLEDGED, MIRRORED, PENDING, QUEUED
from polystore.pacing.turn import Need, Turn, idle, take_turn
from polystore.queries import Position, QueryPlan
from polystore.records import Record, Version
from polystore.route.base import (
    Decision,
    Page,
    Place,
    Put,
    ScannedPage,
    Seen,
    Show,
    Verb,
    as_seen,
    present,
    visible,
    wall_clock,
)
from polystore.route.bound import Bound
from polystore.route.plain import (
    RETRY,
    PlainRoute,
    Retry,
    check_width,
    decision_is_void,
    pause,
    unchanged,
    version_of,
)
from polystore.values import Key

T = TypeVar("T")
Attempt: TypeAlias = Callable[[Ticket, Incarnation, Turn], Awaitable[T | Retry]]
"""One attempt at an operation, under a ticket, in the operation's turn."""

_SEED = 0x5EED
"""Start of the hash that picks shadow reads: another one than that of the buckets."""
Suspect = tuple[str, Key]


class MigratingRoute:
    """Carries out the verbs of a group's collections in whatever stage the group is."""

    def __init__(self, session: Session, suspect: Callable[[Suspect], None]) -> None:
        self.session = session
        self.group: OpenGroup = session.group
        self._suspect = suspect

    # -- the frame of every operation ---------------------------------------------------------

    async def _under(
        self,
        buckets: tuple[int, int],
        timeout: float,
        attempt: Attempt[T],
        place: Place,
        needs: Callable[[Setting], Sequence[Need]],
    ) -> T:
        """Run attempts in the turn of the operation, until one of them counts."""
        deadline = await Now() + timeout
        await self._joined(deadline)
        turn = await self._turn(place, needs, deadline)
        try:
            return await self._attempts(buckets, attempt, place, turn)
        finally:
            turn.end()

    async def _turn(
        self, place: Place, needs: Callable[[Setting], Sequence[Need]], deadline: float
    ) -> Turn:
        """Wait until the sides have room; before a ticket is held, which others would wait for."""
        setting = self.session.latch.setting
        if setting is None or not self.group.limited:
            return Turn(deadline)
        return await take_turn(needs(setting), self.group.overload(place[0].collection), deadline)

    async def _attempts(
        self, buckets: tuple[int, int], attempt: Attempt[T], place: Place, turn: Turn
    ) -> T:
        """Run attempts, each under a ticket of its own, until one of them counts."""
        deadline = turn.until
        tries = 0
        while True:
            await self._joined(deadline)
            ticket = await self.session.latch.admit(buckets, deadline)
            incarnation = ticket.incarnation
            error: PolystoreError | None = None
            try:
                result = await attempt(ticket, incarnation, turn)
                if not isinstance(result, Retry):
                    return result
            except Fenced:
                self.session.lost(incarnation)
                continue
            except (Contention, Throttled) as gave_way:  # surely not applied
                error = gave_way
            finally:
                self.session.latch.release(ticket)
            tries += 1
            await pause(tries, deadline, place, error)

    async def _joined(self, deadline: float) -> None:
        while self.session.incarnation is None:
            if await Now() >= deadline:
                raise DeadlineExceeded("could not join the fleet in time; nothing was done")
            await self.session.join(deadline)
            if self.session.incarnation is None:
                await self.session.wait_joined(deadline)

    def _range(self, keys: Sequence[Key]) -> tuple[int, int]:
        buckets = [self.group.bucket(key) for key in keys]
        return (min(buckets), max(buckets) + 1)

    # -- reads --------------------------------------------------------------------------------

    async def read(
        self, bound: Bound, keys: Sequence[Key], consistency: Consistency, timeout: float
    ) -> list[Record | None]:
        """Records by key, in order; in dual-read compared with the mirror."""
        if not keys:
            return []

        async def attempt(
            ticket: Ticket, incarnation: Incarnation, turn: Turn
        ) -> list[Record | None] | Retry:
            found = await self._read(ticket.setting, bound, keys, consistency, turn)
            if not await self.session.live(incarnation, turn.until):
                return RETRY
            return await as_seen(found)

        return await self._under(
            self._range(keys), timeout, attempt, (bound, keys[0]), lambda s: self._reads(s, keys)
        )

    def _reads(self, setting: Setting, keys: Sequence[Key]) -> list[Need]:
        """What reading some keys at their homes needs."""
        counted = Counter(setting.home(self.group.bucket(key)) for key in keys)
        return [Need(self.group.sides[name], count) for name, count in counted.items()]

    async def _read(
        self,
        setting: Setting,
        bound: Bound,
        keys: Sequence[Key],
        consistency: Consistency,
        turn: Turn,
    ) -> list[Stored | None]:
        collection = bound.collection
        if setting.stage is not Stage.DUAL_READ:
            home = turn.at(self.group.sides[setting.home(0)])
            return await read_all(home, collection, keys, consistency)
        shadowed = self._shadowed(setting, keys)
        homes = {key: setting.home(self.group.bucket(key)) for key in keys}
        asked = {
            name: [k for k in keys if homes[k] == name or k in shadowed]
            for name in self.group.sides
        }
        replies = await Both(
            *(self._side(name, bound, asked[name], consistency, homes, turn) for name in asked)
        )
        by_side = {
            name: dict(zip(asked[name], reply, strict=True)) if reply is not None else None
            for name, reply in zip(asked, replies, strict=True)
        }
        found = [(by_side[homes[key]] or {})[key] for key in keys]
        for key, stored in zip(keys, found, strict=True):
            mirror = by_side[self.group.other(self.group.sides[homes[key]]).name]
            if key in shadowed and mirror is not None and differs(setting, stored, mirror[key]):
                self._suspect((collection.name, key))
        return found

    async def _side(
        self,
        name: str,
        bound: Bound,
        keys: list[Key],
        consistency: Consistency,
        homes: dict[Key, str],
        turn: Turn,
    ) -> list[Stored | None] | None:
        """One side's records; ``None`` where it failed and was only to be compared with."""
        if not keys:
            return []
        at_home = name in (homes[key] for key in keys)
        side = self.group.sides[name]
        try:
            side = turn.at(side) if at_home else await idle(side)
            return await read_all(side, bound.collection, keys, consistency)
        except PolystoreError:
            if at_home:
                raise
            self.session.counters.add("shadow-failed")
            return None

    def _shadowed(self, setting: Setting, keys: Sequence[Key]) -> frozenset[Key]:
        if setting.shadow >= 100:
            return frozenset(keys)
        return frozenset(
            key for key in keys if crc32(encode_key(key).encode(), _SEED) % 100 < setting.shadow
        )

    # -- writes -------------------------------------------------------------------------------

    async def write(self, bound: Bound, key: Key, verb: Verb, timeout: float) -> Version | None:
        """Decide on one record at its home, commit, and bring the mirror up to it."""
        bucket = self.group.bucket(key)
        tried = False

        async def attempt(
            ticket: Ticket, incarnation: Incarnation, turn: Turn
        ) -> Version | None | Retry:
            nonlocal tried
            again, tried = tried, True
            setting = ticket.setting
            if setting.stage.plain:
                return await self._plain(setting, incarnation, bound, key, verb, turn, again)
            return await self._stamped(setting, incarnation, bound, key, verb, turn)

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
        self,
        setting: Setting,
        incarnation: Incarnation,
        bound: Bound,
        key: Key,
        verb: Verb,
        turn: Turn,
        again: bool,
    ) -> Version | None | Retry:
        route = self._plain_route(setting, incarnation, turn)
        inner = self._bound(setting, bound)
        return await self._answered(incarnation, route.attempt(inner, key, verb, again=again))

    def _plain_route(self, setting: Setting, incarnation: Incarnation, turn: Turn) -> PlainRoute:
        """The route of a plain stage: the lease is looked at when a write is sent."""

        async def before_write() -> None:
            if not await self.session.live(incarnation, turn.until):
                raise Contention("the lease has run out")

        side = self.group.sides[setting.home(0)]
        observing = setting.observe and side.name == SOURCE
        observer = self.session.observed if observing else None
        return PlainRoute(turn.at(side), self.group.ids, before_write, observer)

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
        self,
        setting: Setting,
        incarnation: Incarnation,
        bound: Bound,
        key: Key,
        verb: Verb,
        turn: Turn,
    ) -> Version | None | Retry:
        """One attempt of PROTOCOL.md 4."""
        home = turn.at(self.group.home(setting, key))
        with await self._slot(incarnation, home, turn.until) as holding:
            stored = await read_one(home, bound.collection, key)
            if not await self.session.live(incarnation, turn.until):
                return RETRY
            (record,) = await as_seen((stored,))
            decision = verb.decide(record)
            if decision_is_void(decision, stored):
                return None
            write = self._made(setting, bound, key, decision, stored)
            applied = await self._applied(setting, holding, home, [write], (), turn)
            return version_of(write) if applied else RETRY

    async def _applied(
        self,
        setting: Setting,
        holding: Holding,
        home: Side,
        writes: Sequence[Write],
        checks: Sequence[Check],
        turn: Turn,
    ) -> bool:
        """Commit at home, then mirror; whether it was applied. ``False``: a token was lost."""
        holding.state = UNKNOWN
        if not await commit(home, holding.slot, self.group.ids, writes, checks, turn.until):
            holding.state = FREE
            return False
        holding.state = OWED
        self.session.counters.add(ACKNOWLEDGED, len(writes))
        if await self._mirrored(setting, home, writes, turn):
            holding.state = FREE
        return True

    async def _slot(self, incarnation: Incarnation, home: Side, deadline: float) -> Holding:
        pool = incarnation.pools[home.name]
        slot = pool.take()
        if slot is None:
            try:
                await self.session.grow(incarnation, home)
            except PolystoreError:  # one may come free all the same
                self.session.counters.add("slots_postponed")
            slot = await pool.take_by(deadline)
        return Holding(pool, slot)

    def _made(
        self,
        setting: Setting,
        bound: Bound,
        key: Key,
        decision: Decision,
        stored: Stored | None,
    ) -> Write:
        """The stamped write of a decision, checked against every side in play."""
        fields = expires = None
        if isinstance(decision, Put):
            fields, expires = decision.fields, decision.expires
        stamp = next_stamp(setting, stored)
        write_id = self.group.ids.new()
        write = Write(bound.collection, key, fields, unchanged(stored), write_id, stamp, expires)
        if fields is not None:
            self.group.bounds[bound.collection.name].during(setting.stage).check_write(write)
        return write

    async def _mirrored(
        self, setting: Setting, home: Side, writes: Sequence[Write], turn: Turn
    ) -> bool:
        """Bring the mirror what was just committed; ``False`` leaves it to the background."""
        if not setting.stage.mirrored:
            return True
        mirror = turn.at(self.group.other(home))
        if turn.full(mirror):
            self.session.counters.add(QUEUED, len(writes))
            self.session.counters.add(PENDING, len(writes))
            return False
        ready = [
            mirror_write(
                w.collection,
                Stored(w.key, w.fields, None, w.write_id, w.stamp, w.expires),
                setting,
            )
            for w in writes
        ]
        try:
            if len(ready) == 1:
                await put_if_older(mirror, ready[0])
            else:
                for part in mirror.batches(ready):
                    outcomes = await mirror.write_many(part)
                    for write, outcome in zip(part, outcomes, strict=True):
                        if isinstance(outcome, Refused):
                            await check_refusal(mirror, write, outcome)
                        elif isinstance(outcome, Unprocessed):
                            raise outcome.error
        except PolystoreError:
            self.session.counters.add(PENDING, len(ready))
            return False
        self.session.counters.add(MIRRORED, len(ready))
        return True

    # -- transactions -------------------------------------------------------------------------

    async def look(self, place: Place, timeout: float) -> Seen:
        """Read one record for a transaction, at its home."""
        bound, key = place
        bucket = self.group.bucket(key)

        async def attempt(ticket: Ticket, incarnation: Incarnation, turn: Turn) -> Seen | Retry:
            home = turn.at(self.group.home(ticket.setting, key))
            stored = await read_one(home, bound.collection, key)
            if not await self.session.live(incarnation, turn.until):
                return RETRY
            return Seen(home.name, stored)

        return await self._under(
            (bucket, bucket + 1), timeout, attempt, place, lambda s: self._reads(s, (key,))
        )

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

        async def attempt(
            ticket: Ticket, incarnation: Incarnation, turn: Turn
        ) -> list[Version | None] | Retry:
            setting = ticket.setting
            homes = {setting.home(self.group.bucket(key)) for key in keys}
            if len(homes) > 1:
                raise MixedHome(
                    "the keys of this transaction have different homes at this dial: declare a "
                    "colocation key, or keep the dial at 0 or 100"
                )
            home = turn.at(self.group.sides[homes.pop()])
            if any(s.home != home.name for _, s in seen):
                raise Conflict("the home has moved since the transaction read; nothing was written")
            inner = [
                ((self._bound(setting, bound), key), decision) for (bound, key), decision in writes
            ]
            if setting.stage.plain:
                route = self._plain_route(setting, incarnation, turn)
                plain = route.commit(seen, inner, turn.until - await Now())
                versions = await self._answered(incarnation, plain)
                if not writes and not await self.session.live(incarnation, turn.until):
                    return RETRY
                return versions
            if not writes:
                return await self._checked(setting, incarnation, home, seen, turn)
            return await self._committed(setting, incarnation, home, seen, inner, turn)

        checks = len({(b.collection.name, key) for b, key in places}) - len(writes)
        return await self._under(
            self._range(keys),
            timeout,
            attempt,
            places[0],
            lambda s: self._writes(s, keys[0], len(writes), checks),
        )

    def _bound(self, setting: Setting, bound: Bound) -> Bound:
        return self.group.bounds[bound.collection.name].during(setting.stage)

    async def _checked(
        self,
        setting: Setting,
        incarnation: Incarnation,
        home: Side,
        seen: Sequence[tuple[Place, Seen]],
        turn: Turn,
    ) -> list[Version | None] | Retry:
        """A read transaction: a commit of checks alone."""
        if len(seen) > 1:
            checks = [Check(b.collection, k, unchanged(s.stored)) for (b, k), s in seen]
            check_width([p for p, _ in seen], (), len(checks))
            outcome = await home.commit((), checks)
            if isinstance(outcome, Rejected):
                raise Conflict("something that the transaction read has changed")
        return [] if await self.session.live(incarnation, turn.until) else RETRY

    async def _committed(
        self,
        setting: Setting,
        incarnation: Incarnation,
        home: Side,
        seen: Sequence[tuple[Place, Seen]],
        writes: Sequence[tuple[Place, Decision]],
        turn: Turn,
    ) -> list[Version | None] | Retry:
        known = {(b.collection.name, k): s.stored for (b, k), s in seen}
        made = await self._all_made(setting, home, known, writes)
        written = {(w.collection.name, w.key) for w in made}
        checks = [
            Check(b.collection, k, unchanged(s.stored))
            for (b, k), s in seen
            if (b.collection.name, k) not in written
        ]
        with await self._slot(incarnation, home, turn.until) as holding:
            self._check_room(home, holding, [p for p, _ in writes], made, len(checks))
            if not await self._applied(setting, holding, home, made, checks, turn):
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
        setting: Setting,
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
                made.append(self._made(setting, bound, key, decision, stored))
            elif name not in known:
                known[name] = stored
        return made

    # -- queries and scans --------------------------------------------------------------------

    async def query(
        self, bound: Bound, plan: QueryPlan, after: Position | None, limit: int, timeout: float
    ) -> Page:
        """One page from the home; from both sides, merged, where homes are mixed."""
        buckets = self._buckets(plan)

        async def attempt(ticket: Ticket, incarnation: Incarnation, turn: Turn) -> Page | Retry:
            setting = ticket.setting
            homes = self._homes(setting, buckets)
            pages = await Both(*(self._page(turn, h, bound, plan, after, limit) for h in homes))
            if not await self.session.live(incarnation, turn.until):
                return RETRY
            if len(pages) == 1:
                return Page(await present(pages[0].records), pages[0].next)
            for home, page in zip(homes, pages, strict=True):
                page.records = [
                    s for s in page.records if setting.home(self.group.bucket(s.key)) == home
                ]
            now = await wall_clock([s for page in pages for s in page.records])
            return merged(plan, pages, after, limit, now)

        def needs(setting: Setting) -> list[Need]:
            return [Need(self.group.sides[h], 1) for h in self._homes(setting, buckets)]

        return await self._under(buckets, timeout, attempt, (bound, ()), needs)

    def _homes(self, setting: Setting, buckets: tuple[int, int]) -> list[str]:
        return sorted({setting.home(buckets[0]), setting.home(buckets[1] - 1)})

    async def _page(
        self,
        turn: Turn,
        side: str,
        bound: Bound,
        plan: QueryPlan,
        after: Position | None,
        limit: int,
    ) -> QueryPage:
        return await turn.at(self.group.sides[side]).query(bound.collection, plan, after, limit)

    def _buckets(self, plan: QueryPlan) -> tuple[int, int]:
        """The buckets that a query may touch: one, where its key prefix decides."""
        colocate = self.group.config.colocate
        if plan.index is None and colocate is not None and len(plan.equals) >= colocate:
            bucket = self.group.bucket(tuple(plan.equals))
            return (bucket, bucket + 1)
        return ALL

    async def scan(
        self, bound: Bound, cursor: str | None, limit: int, timeout: float, show: Show = visible
    ) -> ScannedPage:
        """One page of a scan.

        Each key is taken from the side that was its home when the scan began: while both sides are
        in play, each of them has it. When a side goes, a scan on it ends with CursorExpired.
        """
        collection = bound.collection

        async def attempt(
            ticket: Ticket, incarnation: Incarnation, turn: Turn
        ) -> ScannedPage | Retry:
            name, moved, native = _scan_start(ticket.setting, cursor)
            if not _in_play(ticket.setting, name):
                raise CursorExpired(
                    f"this scan began on the {name}, which is out of play: start it again",
                    collection=collection.name,
                )
            side = turn.at(self.group.sides[name])
            page = await side.scan(collection, Segment(), native, limit)
            if not await self.session.live(incarnation, turn.until):
                return RETRY
            records = [
                record
                for record in await present(page.records, show)
                if (self.group.bucket(record.key) < moved) == (name == TARGET)
            ]
            return ScannedPage(records, _scan_rest(name, moved, page.cursor))

        def needs(setting: Setting) -> list[Need]:
            return [Need(self.group.sides[_scan_start(setting, cursor)[0]], 1)]

        return await self._under(ALL, timeout, attempt, (bound, ()), needs)


def next_stamp(setting: Setting, stored: Stored | None) -> int:
    """The stamp of the next commit on a record: one more, and above the start of this run."""
    floor = setting.floor()
    stamp = floor if stored is None or stored.stamp is None else max(stored.stamp, floor)
    return stamp + 1


def _scan_start(setting: Setting, cursor: str | None) -> tuple[str, int, str | None]:
    """Side, moved buckets and native cursor that a scan goes on with."""
    if cursor is None:
        whole = setting.home(0) == setting.home(BUCKETS - 1) == TARGET
        moved = BUCKETS if whole else setting.moved
        return (SOURCE if moved < BUCKETS else TARGET, moved, None)
    side, moved_text, rest = cursor.split(":", 2)
    return (side, int(moved_text), rest or None)


def _scan_rest(side: str, moved: int, cursor: str | None) -> str | None:
    """The cursor after a page: within this side, then on the target, then none."""
    if cursor is not None:
        return f"{side}:{moved}:{cursor}"
    return f"{TARGET}:{moved}:" if side == SOURCE and moved > 0 else None


def _in_play(setting: Setting, side: str) -> bool:
    """Whether a side still has every record: as a home, or as a mirror."""
    return setting.stage.mirrored or side in setting.homes()
