"""What differs between databases, as far as the contract leaves it open."""

from __future__ import annotations

TELLING = frozenset({"memory", "sqlite", "dynamodb", "postgresql", "redis"})
"""Drivers whose refusals tell what they found, and which condition of a commit was false.

Datastore only says that a commit was refused.
"""

BLIND_TO_ADDITIONS = frozenset({"dynamodb"})
"""Drivers that compare the attributes that were read, and cannot ask whether there are more."""
