"""How many seeds the tests of the simulator run: few in CI, more where the environment says so."""

from __future__ import annotations

import os

NIGHTLY = os.environ.get("POLYSTORE_NIGHTLY") == "1"


def seeds(usual: int, nightly: int) -> range:
    """``POLYSTORE_SEEDS=2000`` runs so many, ``POLYSTORE_SEEDS=7000:9000`` a range."""
    told = os.environ.get("POLYSTORE_SEEDS", str(nightly if NIGHTLY else usual))
    first, _, last = told.rpartition(":")
    return range(int(first or 0), int(last))
