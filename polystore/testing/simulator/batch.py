"""Many trials of one pair of databases: what was seen in all of them together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import product

import attrs

from polystore.testing.history import NotLinearizable
from polystore.testing.simulator.choices import Choices
from polystore.testing.simulator.happenings import missing
from polystore.testing.simulator.imitation import MANNERS, MASKED
from polystore.testing.simulator.plan import MIRRORED, PAIRS
from polystore.testing.simulator.trial import Trial
from polystore.testing.simulator.watch import Violation

HOMES = tuple(name for name in MANNERS if name != MASKED)
"""The databases that can be a home, by the names of their drivers."""

_EACH = ("memory", "sqlite", "datastore", "dynamodb")
EVERY_PAIR = tuple(product(_EACH, _EACH))
"""Source and target of the figures of the protocol; each with each, itself too."""

TO_A_MIRROR = ("memory", MASKED)
"""A pair whose target cannot be more than a mirror."""

PLAYED = (*product(HOMES, HOMES), TO_A_MIRROR)
"""All pairs that can be played."""


@attrs.define
class Batch:
    """What came of the trials of one pair.

    Attributes:
        pair: names of the databases that source and target imitate.
        seeds: how many trials there were.
        operations: what their clients asked for.
        happened: how often each fault and each event was seen.
        violations: the broken promise of each seed that broke one.
    """

    pair: tuple[str, str]
    seeds: int = 0
    operations: int = 0
    happened: Counter[str] = attrs.field(factory=Counter)
    violations: dict[int, str] = attrs.field(factory=dict)

    def missing(self) -> list[str]:
        """Faults and events that no trial had (see ``happenings``)."""
        return missing(self.happened, self.pair)

    def told(self) -> str:
        """One line for people."""
        fired = ", ".join(f"{what} {count}" for what, count in sorted(self.happened.items()))
        return (
            f"{self.pair[0]} → {self.pair[1]}: {self.seeds} seeds, {self.operations} operations, "
            f"{len(self.violations)} violations; {fired}"
        )


def played(pair: tuple[str, str], choices: Choices) -> Trial:
    """One trial of a pair, ready to run."""
    return Trial(choices, attrs.evolve(MIRRORED if MASKED in pair else PAIRS, pair=pair))


def run_batch(pair: tuple[str, str], seeds: Iterable[int]) -> Batch:
    """Run the trials of these seeds.

    Raises:
        AssertionError: a trial had too few operations, no crash, no late call or no way back;
            the note names its seed.
    """
    batch = Batch(pair)
    for seed in seeds:
        trial = played(pair, Choices.seeded(seed, *pair))  # the same seed is another run elsewhere
        try:
            trial.run()
        except (Violation, NotLinearizable) as found:
            batch.violations[seed] = str(found)
        except BaseException as error:
            error.add_note(f"seed {seed} of {pair[0]} → {pair[1]}")
            raise
        batch.seeds += 1
        batch.operations += len(trial.load.history)
        batch.happened += trial.happened
    return batch
