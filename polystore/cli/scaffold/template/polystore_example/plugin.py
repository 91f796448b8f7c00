"""What polystore loads first: the driver's name and where its code is."""

from __future__ import annotations

from collections.abc import Iterable

from polystore.plugin.specs import DriverSpec, hookimpl


@hookimpl
def polystore_register_drivers() -> Iterable[DriverSpec]:
    """The one driver of this distribution."""
    return [
        DriverSpec(
            name="example",
            factory="polystore_example.driver:open_example",
            summary="the example database",
            url="example://place",
            harness="polystore_example.harness:ExampleHarness",
        )
    ]
