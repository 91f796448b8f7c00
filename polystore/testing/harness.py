"""What a driver brings so that the conformance suite can be held against it.

A driver's plugin names its harness in ``DriverSpec(harness="package.module:Class")``. The class is
called with the options of the run: ``--polystore=redis?timeout=9`` gives it ``timeout=9``.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from typing import Any
from unittest.mock import patch

import attrs

from polystore.driver import Driver
from polystore.errors import ConfigError
from polystore.plugin.registry import default_registry
from polystore.schema import Collection
from polystore.values import Key


@attrs.frozen
class Engine:
    """What answers behind a driver.

    Attributes:
        product: its name and version, as reports print it.
        real: whether it is what applications use; otherwise it imitates that.
    """

    product: str
    real: bool


@attrs.frozen
class Address:
    """Where other processes find a database. It can be sent to them.

    Attributes:
        url: what they open, with the options of the run.
        env: variables that the driver's client looks for when it opens.
        port: the TCP port in the URL, of this machine, where the engine listens; ``None`` for what
            is reached in another way, such as a file.
    """

    url: str
    env: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    port: int | None = None

    def having(self, options: str) -> Address:
        """The same with these options, ``name=value&name=value``, in place of those so named."""
        place, _, there = self.url.partition("?")
        given = [option for option in options.split("&") if option]
        names = {option.partition("=")[0] for option in given}
        kept = [o for o in there.split("&") if o and o.partition("=")[0] not in names]
        return attrs.evolve(self, url="?".join(filter(None, [place, "&".join([*kept, *given])])))

    def within(self, seconds: float) -> Address:
        """The same, with another time-out: the option ``timeout`` of the URL."""
        return self.having(f"timeout={seconds}")

    def behind(self, port: int) -> Address:
        """The same through another port of this machine, where a proxy listens."""
        url = self.url.replace(f":{self.port}", f":{port}")
        return attrs.evolve(self, url=url, port=port)

    def open(self) -> Driver:
        """The driver on it; its client has looked for credentials."""
        with environment(self.env):
            driver = default_registry().open(self.url)
            driver.describe(_NOBODYS)
            return driver


_NOBODYS = Collection("nobodys", ["id"])


class Harness(ABC):
    """One database to try a driver on. It is made once a session, and may start an engine.

    Args:
        options: options of the URL, as ``name=value&name=value``; empty for none.
    """

    def __init__(self, options: str = "") -> None:
        self.options = options

    @abstractmethod
    def available(self) -> str | None:
        """Why the database cannot be reached, and what to do; ``None`` where it can.

        It is asked first, and once; an engine that the harness starts is started here.
        """

    @abstractmethod
    def open(self) -> Driver:
        """One more driver on the database, as another process would open it.

        Collections are made by the driver's own ``create``, under names that nothing else has, so
        that each is empty: the database only has to be one where that is allowed.
        """

    def placed(self, collection: Collection) -> Collection:
        """The collection with the placement that it needs here. The default: it needs none."""
        return collection

    @abstractmethod
    def peek(self, collection: Collection, key: Key) -> Any:
        """All that the database has under a key, bookkeeping included, read around the driver.

        Two calls compare equal exactly where nothing was written between them; ``None`` where
        nothing is there. Its ``repr`` shows the names and values that other programs see.
        """

    @abstractmethod
    def poke(self, collection: Collection, key: Key, fields: Mapping[str, str | int]) -> None:
        """Write a record around the driver, as a program would that knows nothing of polystore.

        It replaces what is there, and has these fields and no bookkeeping.
        """

    def settle(self) -> None:
        """Wait until reads that may lag see all writes. The default: they never lag."""
        return

    @property
    def address(self) -> Address | None:
        """Where another process finds the database, once it is available.

        The default, ``None``, leaves out tests that need other processes or a proxy: where the
        database lives in this process. Tests of faults need the address to have a port and the URL
        to have an option ``timeout``, in seconds.
        """
        return None

    def refusing(
        self, driver: Driver, collection: Collection
    ) -> Mapping[str, AbstractContextManager[None]]:
        """States in which the database takes no write to a collection, each by its name.

        Such as full, or locked by another program. A state begins where its context is entered and
        ends with it. The default: there is none that the harness can bring about.

        Args:
            driver: on which the writes will be tried, by the thread that enters the context.
        """
        return {}

    @property
    @abstractmethod
    def engine(self) -> Engine:
        """What answers; asked only where it is available."""


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """These variables for a while: an SDK looks for its endpoint and credentials when it opens."""
    with patch.dict(os.environ, variables):
        yield


def harness_of(named: str) -> Harness:
    """The harness that ``driver`` or ``driver?options`` names, as ``--polystore`` takes it.

    Raises:
        UnknownDriver: no such driver is installed.
        ConfigError: the driver brings no harness, or it is broken.
    """
    name, _, options = named.partition("?")
    spec = default_registry().spec(name)
    if spec.harness is None:
        raise ConfigError(
            f"the driver {name!r} brings no harness, so that it cannot be tested; name one in its "
            'DriverSpec: harness="package.module:Class"',
            driver=name,
        )
    module, _, attribute = spec.harness.partition(":")
    try:
        made = getattr(import_module(module), attribute)(options)
    except (ImportError, AttributeError, TypeError) as error:
        raise ConfigError(
            f"{spec.harness} is no harness that can be made ({type(error).__name__})", driver=name
        ) from error
    if not isinstance(made, Harness):
        raise ConfigError(f"{spec.harness} must be a Harness", driver=name)
    return made
