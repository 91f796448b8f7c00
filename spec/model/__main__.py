"""``tox run -e model``: all runs as a table; ``-- movement.pml SEED``: one, with its trace."""

from __future__ import annotations

import sys

from spec.model.check import NoSpin, Verdict, check_tools, verify, verify_all
from spec.model.table import GUARDS, RUNS, Run


def main(arguments: list[str]) -> int:
    """Run all models, or one.

    Returns:
        0 if all came out as they must, 1 if not, 2 if it cannot be told here.
    """
    try:
        check_tools()
    except NoSpin as missing:
        print(missing, file=sys.stderr)
        return 2
    if arguments:
        return _one(arguments[0], [a.removeprefix("-D") for a in arguments[1:]])
    verdicts = verify_all(RUNS, lambda verdict: print(verdict, flush=True))
    wrong = [verdict for verdict in verdicts if not verdict.expected]
    print(summary(verdicts))
    return 1 if wrong else 0


def summary(verdicts: list[Verdict]) -> str:
    """All runs in one line."""
    designs = [verdict for verdict in verdicts if verdict.run.holds]
    removed = [verdict for verdict in verdicts if not verdict.run.holds]
    return (
        f"{sum(v.expected for v in designs)} of {len(designs)} designs hold, "
        f"{sum(v.expected for v in removed)} of {len(removed)} removals have a counterexample; "
        f"{sum(v.states for v in verdicts):,} states visited"
    )


def _one(model: str, switches: list[str]) -> int:
    if model not in GUARDS:
        print(f"no model {model}: there are {', '.join(GUARDS)}", file=sys.stderr)
        return 2
    known = [run for run in RUNS if run.model == model and set(run.switches) == set(switches)]
    run = known[0] if known else Run(model, tuple(switches), holds=True)
    verdict = verify(run, trace=True)
    print(verdict.trace)
    print(verdict)
    return 0 if verdict.expected else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
