"""Two drivers by name, in the order of source and target, and the benches they are tried on."""

from __future__ import annotations

import re
from contextlib import closing
from itertools import count
from uuid import uuid4

import attrs

from polystore.capabilities import Capabilities
from polystore.errors import ConfigError
from polystore.migration.stages import SOURCE, TARGET
from polystore.schema import Collection
from polystore.testing.claims import Bench
from polystore.testing.pairs.placed import Placed

_run = uuid4().hex[:6]
_numbers = count(1)


def named_pair(text: str) -> tuple[str, str]:
    """The names of ``SOURCE:TARGET``; options of each follow a ``?``.

    Raises:
        ConfigError: it is not two names.
    """
    names = re.split(r":(?=[A-Za-z])", text)
    if len(names) != 2 or not all(names):
        raise ConfigError(f"a pair is SOURCE:TARGET, such as memory:sqlite, not {text!r}")
    return names[0], names[1]


@attrs.frozen
class Pair:
    """A source and a target.

    Attributes:
        names: of both drivers, as ``--polystore`` takes them.
        benches: of both; one where the names are the same.
        opened: all that was opened on them, for the count of calls.
    """

    names: tuple[str, str]
    benches: tuple[Bench, Bench]
    opened: list[Placed] = attrs.field(factory=list)

    @property
    def unavailable(self) -> str | None:
        """Why one of the databases cannot be reached; ``None`` where both can."""
        for name, bench in zip(self.names, self.benches, strict=True):
            if bench.unavailable is not None:
                return f"{name} is unavailable: {bench.unavailable}"
        return None

    @property
    def calls(self) -> int:
        """Calls of both databases so far."""
        return sum(placed.calls for placed in self.opened)

    def open(self) -> dict[str, Placed]:
        """Both sides, with collections of their own."""
        number = next(_numbers)
        sides = {}
        for side, bench in zip((SOURCE, TARGET), self.benches, strict=True):
            prefix = f"p{_run}n{number}{side[0]}_"
            sides[side] = Placed(bench.harness.open(), bench.harness, prefix)
        self.opened.extend(sides.values())
        return sides

    def promised(self, collection: Collection) -> Capabilities:
        """What both promise together."""
        promises = []
        for bench in self.benches:
            with closing(bench.harness.open()) as driver:
                promises.append(driver.capabilities(bench.harness.placed(collection)))
        return promises[0] & promises[1]
