"""Traces: what a machine of the suite did, as data, so that it can be done again elsewhere.

A trace is JSON that a person can read: which machine, on which drivers, from which place, and its
steps, each with the arguments that were drawn. It holds no code and no credentials.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from polystore.errors import ConfigError

FORMAT = 1
"""Of the file. A trace of another format is refused: its steps may mean something else."""

_NEEDED = {"format": int, "drivers": list, "place": str | None, "steps": list}


@attrs.frozen
class Step:
    """One step of a machine.

    Attributes:
        name: of the machine's method.
        arguments: by name: what JSON holds without a loss.
    """

    name: str
    arguments: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.name}({', '.join(f'{n}={v!r}' for n, v in self.arguments.items())})"


@attrs.frozen
class Trace:
    """The steps of one run.

    Attributes:
        drivers: the driver it was; or the source and the target.
        place: where on the way of a migration a pair began; ``None`` for one driver.
        steps: what was done.
    """

    drivers: tuple[str, ...]
    place: str | None
    steps: tuple[Step, ...]

    def text(self) -> str:
        """The file."""
        steps = ",\n".join(f"  {json.dumps([s.name, dict(s.arguments)])}" for s in self.steps)
        return (
            f'{{"format": {FORMAT}, "drivers": {json.dumps(self.drivers)}, '
            f'"place": {json.dumps(self.place)}, "steps": [\n{steps}\n]}}\n'
        )

    @classmethod
    def read(cls, path: Path) -> Trace:
        """The trace of a file.

        Raises:
            ConfigError: there is no such file, or it is no trace of this format.
        """
        try:
            found = json.loads(path.read_text())
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise ConfigError(f"{path} is no trace: it is not JSON") from error
        if not isinstance(found, dict) or type(found.get("format")) is not int:
            raise ConfigError(f"{path} is no trace of the suite")
        if found["format"] != FORMAT:
            raise ConfigError(
                f"{path} has format {found['format']}; this polystore replays format {FORMAT}: use "
                "the version that wrote it"
            )
        try:
            return cls._of(found)
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"{path} is a broken trace: write it anew") from error

    @classmethod
    def _of(cls, found: Mapping[str, Any]) -> Trace:
        for name, kind in _NEEDED.items():
            if not isinstance(found[name], kind):
                raise TypeError(name)
        drivers: Sequence[Any] = found["drivers"]
        if len(drivers) != (1 if found["place"] is None else 2) or not all(
            isinstance(name, str) for name in drivers
        ):
            raise ValueError(drivers)
        steps = [Step(name, dict(arguments)) for name, arguments in found["steps"]]
        if not all(isinstance(step.name, str) for step in steps):
            raise TypeError("steps")
        return cls(tuple(drivers), found["place"], tuple(steps))
