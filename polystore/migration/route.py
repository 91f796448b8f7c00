"""The route of a group under migration: every operation at the home of its key, then the mirror."""

from __future__ import annotations

from polystore.migration.reading import Reading
from polystore.migration.writing import Writing


class MigratingRoute(Reading, Writing):
    """Carries out the verbs of a group's collections in whatever stage the group is."""
