"""The databases of a configuration, open: a driver for each URL, a way to each collection."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from difflib import get_close_matches
from functools import partial
from itertools import chain
from typing import Any

import attrs

from polystore.capabilities import Capabilities
from polystore.config import Config
from polystore.config import Group as DeclaredGroup
from polystore.driver import Description, Driver
from polystore.driver.side import Side
from polystore.effects import Call
from polystore.errors import ConfigError, InvalidRequest, Unavailable, Unsupported
from polystore.identity import WriteIds
from polystore.membership import Membership
from polystore.migration.group import OpenGroup
from polystore.migration.ledger import CONTROL, SLOTS
from polystore.migration.stages import SOURCE, TARGET, Setting
from polystore.observe import Counters
from polystore.operations import Access
from polystore.pacing.limiter import Limiter
from polystore.pacing.pace import Pace
from polystore.plugin.registry import Registry
from polystore.route.bound import Bound
from polystore.route.direct import Direct
from polystore.route.limited import LimitedRoute
from polystore.route.plain import PlainRoute
from polystore.runner import SyncRunner, ThreadSignal, perform, wall_clock
from polystore.schema import Collection

DATABASE = "database"
"""Name of the side of collections that are in no group."""


@attrs.frozen(eq=False)
class Lying:
    """A collection in one of the databases in play."""

    collection: Collection
    side: Side


class Databases:
    """What a store has open. One driver serves all that has its URL.

    Args:
        config: what to open.
        registry: finds the drivers.
        opened_at: file and line of the application that opened it, for a warning.
        wall: tells microseconds since 1970.

    Raises:
        PolystoreError: a driver is unknown, or its database cannot be opened; all that had been
            opened is closed again.
    """

    def __init__(
        self,
        config: Config,
        registry: Registry,
        opened_at: str,
        wall: Callable[[], int] = wall_clock,
    ) -> None:
        self.config = config
        self.opened_at = opened_at
        self.closed = False
        self.runner = SyncRunner(wall=wall)
        self._registry = registry
        # Not a method: what a group's threads hold must not keep a leaked store alive.
        self._promised = partial(promised, registry)
        self._drivers: dict[str, Driver] = {}
        self._ids = WriteIds()
        self.counters = Counters()
        self._limiter = Limiter(DATABASE, ThreadSignal(), self.counters.add, config.capacity)
        self._members: dict[str, Membership] = {}
        try:
            for group in config.groups.values():
                self._members[group.name] = Membership(self._group(group))
            self.accesses = {c.name: self._access(c) for c in config.collections.values()}
        except BaseException:
            self.close()
            raise

    def __del__(self) -> None:
        if not getattr(self, "closed", True):
            warnings.warn(
                f"a store opened at {self.opened_at} was never closed: use `with`, or close()",
                ResourceWarning,
                source=self,
                stacklevel=2,
            )
            for member in self._members.values():
                member.stop()

    # -- opening ------------------------------------------------------------------------------

    def driver(self, url: str) -> Driver:
        """The driver of a URL, opened when it is first asked for."""
        if url not in self._drivers:
            self._drivers[url] = self._registry.open(url)
        return self._drivers[url]

    def _group(self, group: DeclaredGroup) -> OpenGroup:
        return OpenGroup(
            group,
            {name: self.config.collections[name] for name in group.collections},
            self.driver(group.source),
            self.driver(group.target),
            self.driver(group.control),
            self._ids,
            self._promised,
            ThreadSignal(),
            self._registry.notify,
        )

    def _access(self, collection: Collection) -> Access:
        group = self.config.group_of(collection.name)
        if group is not None:
            member = self._members[group.name]
            return Access(
                collection,
                f"the group {group.name!r}",
                member.route,
                lambda: member.bound(collection.name),
                lambda: self._enter(member),
            )
        side = self._plain_side()
        bound = Bound(collection, (side,))
        plain = PlainRoute(side, self._ids)
        route = plain if side.pace is None else LimitedRoute(plain)
        return Access(collection, "the store's url", route, lambda: bound, self._check_open)

    def _plain_side(self) -> Side:
        assert self.config.url is not None  # Config checks it
        pace = Pace(self._limiter) if self._limiter.active else None
        return Side(DATABASE, self.driver(self.config.url), self._promised, pace)

    # -- using --------------------------------------------------------------------------------

    def access(self, name: str) -> Access:
        """The way to a collection.

        Raises:
            InvalidRequest: it is not declared; the message lists those that are.
        """
        try:
            return self.accesses[name]
        except (KeyError, TypeError):
            raise _not_declared(name, self.accesses) from None

    def direct(self, name: str) -> Direct | None:
        """The short way to a collection of one unlimited database; ``None`` for all others."""
        access = self.access(name)
        route = access.route
        if not isinstance(route, PlainRoute):
            return None
        return Direct(route, access.bound(), self.runner.wall)

    def member(self, group: str) -> Membership:
        """This process in one group. Raises InvalidRequest listing the declared groups."""
        if group not in self._members:
            declared = ", ".join(self._members) or "none"
            raise InvalidRequest(f"no group {group!r} is declared; declared: {declared}")
        return self._members[group]

    def counts(self, group: str | None) -> dict[str, int]:
        """What was counted in this process, of one group or of the store's own database."""
        counters = self.counters if group is None else self.member(group).session.counters
        return counters.snapshot()

    def _check_open(self) -> None:
        if self.closed:
            raise Unavailable("this store is closed; open it again")

    def _enter(self, member: Membership) -> None:
        self._check_open()
        member.enter()

    def again(self) -> Databases:
        """The same, opened anew; these are not used any more, and nothing of theirs is touched."""
        self.closed = True
        return Databases(self.config, self._registry, self.opened_at, self.runner.wall)

    def close(self) -> None:
        """Leave all groups and let go of all connections. A second call does nothing."""
        if self.closed:
            return
        self.closed = True
        for member in self._members.values():
            member.leave(self.runner)
        with ExitStack() as stack:  # all of them, also where one fails
            stack.callback(self.runner.close)
            for driver in self._drivers.values():
                stack.callback(driver.close)

    # -- provisioning -------------------------------------------------------------------------

    def check(self) -> None:
        """Compare what is really there with what is declared.

        Of a group only the sides are asked that are home now.

        Raises:
            ConfigError: something is there and differs from its declaration.
            PolystoreError: a database cannot be reached.
        """
        for lying in chain.from_iterable(map(self._checked, self.config.collections.values())):
            described = self._describe(lying)
            if described.exists and described.problems:
                raise ConfigError(
                    "; ".join(described.problems),
                    collection=lying.collection.name,
                    driver=lying.side.driver.name,
                )

    def _checked(self, collection: Collection) -> Iterator[Lying]:
        group = self.config.group_of(collection.name)
        homes = None if group is None else self._homes(self._members[group.name].group)
        for lying in self._places(collection):
            if homes is None or lying.side.name in homes:
                yield lying

    def _homes(self, group: OpenGroup) -> frozenset[str]:
        """The sides that are home now. Where no control store was made yet: the source."""
        try:
            setting = self.runner.run(group.ledger.setting())
        except ConfigError:
            setting = Setting()
        return setting.homes()

    def create(self) -> None:
        """Make what the declared collections, and the groups' own records, need.

        In a group no database is told to remove what has expired: a migration wants that off.
        """
        self._check_open()
        for lying in self._everything():
            driver = lying.side.driver
            perform(Call(lying.side.name, driver, driver.create, (lying.collection,)))
            if lying.side.name == DATABASE:
                expire = driver.expire_natively
                perform(Call(lying.side.name, driver, expire, (lying.collection,)))

    def drop(self) -> None:
        """Remove the declared collections, and the groups' own records, with all they hold."""
        self._check_open()
        for lying in self._everything():
            driver = lying.side.driver
            perform(Call(lying.side.name, driver, driver.drop, (lying.collection,)))

    def describe(self) -> dict[str, dict[str, Description]]:
        """What is really there: by collection, and by side."""
        self._check_open()
        found: dict[str, dict[str, Description]] = {}
        for lying in self._everything():
            described = self._describe(lying)
            if described.exists:
                expiry = perform(lying.side.native_expiry(lying.collection))
                described = attrs.evolve(described, expiry=expiry)
            found.setdefault(lying.collection.name, {})[lying.side.name] = described
        return found

    def _describe(self, lying: Lying) -> Description:
        return perform(lying.side.describe(lying.collection))

    def _everything(self) -> Iterator[Lying]:
        for collection in self.config.collections.values():
            yield from self._places(collection)
        for member in self._members.values():
            yield Lying(CONTROL, member.group.ledger.side)
            for side in member.group.sides.values():
                yield Lying(SLOTS, side)

    def _places(self, collection: Collection) -> Iterator[Lying]:
        group = self.config.group_of(collection.name)
        if group is None:
            yield Lying(collection, self._plain_side())
            return
        for side in self._members[group.name].group.sides.values():
            yield Lying(collection, side)

    def native(self, name: str, side: str | None) -> Any:
        """A database's own client, for what polystore does not offer."""
        access = self.access(name)
        self._check_open()
        for lying in self._places(access.collection):
            if side in (None, lying.side.name) and (side or lying.side.name == DATABASE):
                return lying.side.driver.native(access.collection)
        if self.config.group_of(name) is None:
            raise InvalidRequest("side= is for collections of a group", collection=name)
        raise Unsupported(
            f"{name!r} has two databases, and writes that bypass polystore are lost in a "
            f"migration: say which one with side={SOURCE!r} or side={TARGET!r}",
            collection=name,
        )


def promised(registry: Registry, driver: Driver, collection: Collection) -> Capabilities:
    """What a driver promises for a collection, lowered by plugins."""
    return registry.lower(driver, collection.name, driver.capabilities(collection))


def _not_declared(name: object, declared: Mapping[str, Access]) -> InvalidRequest:
    close = get_close_matches(str(name), declared, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    names = ", ".join(declared) or "none"
    return InvalidRequest(f"no collection {name!r} is declared; {hint}declared: {names}")
