"""The areas that have figures. An issue that brings figures adds its own area here."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.figures import main_job
from benchmarks.figures.figure import Figure

AREAS: Mapping[str, tuple[Figure, ...]] = {"main-job": main_job.FIGURES}
"""Figures by area, in the order in which they are measured and shown."""
