"""``python -m polystore.testing.simulator SEED``: run one trial again, and print its events."""

from __future__ import annotations

import sys

from polystore.testing.simulator import Choices, Trial


def main() -> None:
    """Print every event of a seed, and then what went wrong, if anything did."""
    trial = Trial(Choices.seeded(int(sys.argv[1])), tracing=True)
    try:
        trial.run()
    finally:
        sys.stdout.write("\n".join([*(trial.fleet.scheduler.trace or ()), ""]))


if __name__ == "__main__":
    main()
