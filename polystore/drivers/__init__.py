"""The built-in drivers: ``memory`` and ``sqlite``. Registered here, imported when opened."""

from __future__ import annotations

from polystore.plugin.specs import DriverSpec, hookimpl


@hookimpl
def polystore_register_drivers() -> list[DriverSpec]:
    """The drivers that need nothing but the standard library."""
    return [
        DriverSpec(
            name="memory",
            factory="polystore.drivers.memory:open_memory",
            summary="this process's memory: the reference driver, for tests",
            url="memory://name",
            harness="polystore.testing.harnesses.memory:MemoryHarness",
        ),
        DriverSpec(
            name="sqlite",
            factory="polystore.drivers.sqlite:open_sqlite",
            summary="one file, for many threads and processes of one machine",
            url="sqlite:///app.db?synchronous=full&timeout=5",
            harness="polystore.testing.harnesses.sqlite:SQLiteHarness",
        ),
    ]
