"""Real processes that are killed, paused and cut off while a group migrates; see ``harness``."""

from polystore.testing.kills.found import Found
from polystore.testing.kills.harness import kill_run
from polystore.testing.kills.settings import Settings

__all__ = ["Found", "Settings", "kill_run"]
