"""What can be seen of a running migration: rare events, and counts."""

from polystore.observe.counters import Counters
from polystore.observe.events import Event

__all__ = ["Counters", "Event"]
