"""Hooks of the control plane: they register objects; data calls never pass through them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import attrs
import pluggy

if TYPE_CHECKING:
    from polystore.capabilities import Capabilities
    from polystore.driver import Driver

hookspec = pluggy.HookspecMarker("polystore")
hookimpl = pluggy.HookimplMarker("polystore")


@attrs.frozen(kw_only=True)
class DriverSpec:
    """What a plugin registers for one kind of database.

    Attributes:
        name: the URL scheme, lower case; also the key of its placements.
        factory: ``"package.module:function"``, so that listing drivers imports no SDK. The
            function takes a :class:`DriverURL` and returns an open driver; it raises ConfigError
            for a wrong URL and may raise what the driver's ``translate`` knows.
        summary: one line for people.
        url: an example URL with every option.
        harness: ``"package.module:Class"``: what the conformance suite tries the driver on, see
            :mod:`polystore.testing.harness`; imported by the suite alone.
    """

    name: str
    factory: str
    summary: str
    url: str
    harness: str | None = None


@attrs.frozen
class DriverURL:
    """A URL taken apart: ``scheme://place?option=value``. ``repr`` shows no options.

    Attributes:
        scheme: name of the driver.
        place: what stands between ``//`` and ``?``, unquoted.
        options: the options, texts as given.
    """

    scheme: str
    place: str
    options: Mapping[str, str] = attrs.field(factory=dict, repr=False)


class Hooks:
    """The hookspecs."""

    @hookspec
    def polystore_register_drivers(self) -> Iterable[DriverSpec]:
        """Called once when a plugin is loaded; returns the drivers that it brings.

        Example::

            @hookimpl
            def polystore_register_drivers():
                return [DriverSpec(name="redis", factory="polystore_redis.driver:open", ...)]
        """
        raise NotImplementedError  # pragma: no cover  # a hookspec is never called

    @hookspec
    def polystore_lower_capabilities(
        self, driver: Driver, collection: str, declared: Capabilities
    ) -> Capabilities | None:
        """Called once when a collection is opened; may return less than was declared.

        For a look-alike endpoint that cannot do all that the product can. The result is met with
        ``declared``, so that it can only lower it.
        """
        raise NotImplementedError  # pragma: no cover  # a hookspec is never called

    @hookspec
    def polystore_event(self, event: Mapping[str, Any]) -> None:
        """Called for rare events: stage or dial changed, a member closed, a discrepancy found.

        It is called once, in the process that did or found it, and should be quick: that process
        waits. ``event["kind"]`` names the event, see :mod:`polystore.observe.events`. An exception
        raised here is logged and changes nothing.
        """
        raise NotImplementedError  # pragma: no cover  # a hookspec is never called
