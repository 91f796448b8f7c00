"""The broken drivers by name: ``mutant?NAME``. As a plugin of pytest it registers them."""

from __future__ import annotations

import sys
from typing import Any

from polystore.plugin.registry import default_registry
from polystore.plugin.specs import DriverSpec, hookimpl
from polystore.testing.harness import Address
from polystore.testing.harnesses.memory import MemoryHarness
from tests.mutants.kills import NAMED
from tests.mutants.remote import Remote, RemoteAddress, Server


class MutantHarness(MemoryHarness):
    """Memory's harness, with the broken driver of this name on it."""

    def __init__(self, options: str) -> None:
        super().__init__()
        self._mutant: Any = NAMED[options]
        self._server = Server(self._space) if issubclass(self._mutant, Remote) else None

    def open(self) -> Any:
        return self._mutant(self._space) if self.address is None else self.address.open()

    @property
    def address(self) -> Address | None:
        if self._server is None:
            return None
        port = self._server.port
        return RemoteAddress(f"remote://127.0.0.1:{port}", port=port, mutant=self._mutant)


@hookimpl
def polystore_register_drivers() -> list[DriverSpec]:
    """The broken drivers are one, with options."""
    harness = f"{__name__}:MutantHarness"
    return [DriverSpec(name="mutant", factory="-:-", summary="", url="", harness=harness)]


def pytest_configure() -> None:
    """They are registered as an installed one would be."""
    default_registry().register(sys.modules[__name__], "mutants")
