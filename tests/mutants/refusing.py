"""A driver that refuses everything, and the plugin that names it ``refusing``."""

from __future__ import annotations

from typing import Any

from polystore.drivers.memory import MemoryDriver
from polystore.errors import Unsupported
from polystore.plugin.specs import DriverSpec, hookimpl
from polystore.testing.harnesses.memory import MemoryHarness


class RefusesEverything(MemoryDriver):
    """Collections can be made, and nothing done with them."""

    def __getattribute__(self, name: str) -> Any:
        return _refused if name in _WORK else super().__getattribute__(name)


_WORK = {"read", "write", "write_many", "commit", "query", "scan", "describe"}


def _refused(*_: Any) -> Any:
    raise Unsupported("this database does nothing", driver="refusing")


class RefusingHarness(MemoryHarness):
    """Memory's harness, with that driver on it."""

    def open(self) -> RefusesEverything:
        return RefusesEverything(self._space)


@hookimpl
def polystore_register_drivers() -> list[DriverSpec]:
    """The driver."""
    harness = f"{__name__}:RefusingHarness"
    return [DriverSpec(name="refusing", factory="-:-", summary="", url="", harness=harness)]
