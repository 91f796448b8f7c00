"""Broken drivers by name, for a process: ``mutant?NAME``.

Importing it registers them; as a plugin of pytest it does no more.
"""

from __future__ import annotations

import os

from polystore.plugin.registry import default_registry
from polystore.plugin.specs import DriverSpec, hookimpl
from tests.mutants.hunt import MutantHarness


class Named:
    """All, as an installed distribution would bring them."""

    @hookimpl
    def polystore_register_drivers(self) -> list[DriverSpec]:
        """They are one driver, with options."""
        harness = f"{MutantHarness.__module__}:{MutantHarness.__name__}"
        return [DriverSpec(name="mutant", factory="-:-", summary="", url="", harness=harness)]


default_registry().register(Named(), f"named in {os.getpid()}")
