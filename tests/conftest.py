"""Settings that every test shares.

The fixtures of real engines (``datastore_engine``, ``dynamodb_engine``: one a session) come with
the distribution polystore-engines, whose pytest plugin loads itself.

``HYPOTHESIS_PROFILE=nightly tox run -e tests`` runs the long profile.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

# A deadline per example would measure the machine; a failure prints the blob that repeats it.
settings.register_profile("ci", deadline=None, print_blob=True)
# Hours: more examples, and slow generation is not held against a test.
settings.register_profile(
    "nightly",
    parent=settings.get_profile("ci"),
    max_examples=10_000,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where several run at once, what takes long comes first: at the end all would wait for it."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.get_closest_marker("slow") is None)
