"""The models of spec/model/, with and without each guard."""

from __future__ import annotations

from benchmarks.figures.figure import Figure, Outcome
from spec.model.__main__ import summary
from spec.model.check import verify_all
from spec.model.table import RUNS


def model() -> list[Figure]:
    """The figure of the models."""
    return [
        Figure(
            "model",
            "all designs hold, all removals fail",
            "spin visits every state of each Promela model of spec/model/, and stops at the first "
            "failed assertion; about 20 minutes of CPU; apt-get install spin",
            _checked,
        )
    ]


def _checked() -> Outcome:
    verdicts = verify_all(RUNS)
    wrong = "; ".join(str(verdict) for verdict in verdicts if not verdict.expected)
    return Outcome(f"{summary(verdicts)} {wrong}".strip(), not wrong)
