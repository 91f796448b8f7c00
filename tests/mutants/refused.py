"""A pytest plugin: the driver that refuses everything can be named."""

from __future__ import annotations

import pytest

from polystore.plugin.registry import default_registry
from tests.mutants import refusing


def pytest_configure(config: pytest.Config) -> None:
    """It is registered as an installed one would be."""
    default_registry().register(refusing, "refusing")
