"""The figures of issue 4: every difference named, translated or refused, before it costs data."""

from __future__ import annotations

from benchmarks.figures.alike import alike
from benchmarks.figures.figure import Figure
from benchmarks.figures.limits import limits
from benchmarks.figures.overload import overload
from benchmarks.figures.paced import paced
from benchmarks.figures.preflight import preflight


def differences() -> list[Figure]:
    """The figures of this area, in the order of the table in the issue."""
    return [*preflight(), *limits(), overload(), *paced(), *alike()]
