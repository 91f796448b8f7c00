"""Why an engine is not there.

EngineError
├── EngineUnavailable    something has to be installed first; says what, and how
└── EngineStartFailed    everything was there, but it did not come up; carries its log
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs


@attrs.frozen
class Missing:
    """One thing an engine needs and does not find.

    Args:
        what: the thing, as a noun phrase.
        remedy: the command that brings it.
    """

    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}: {self.remedy}"


class EngineError(Exception):
    """An engine cannot be used."""


class EngineUnavailable(EngineError):
    """An engine needs something that is not installed.

    Attributes:
        engine: name of the engine.
        missing: what is missing, with the command that brings each.
    """

    def __init__(self, engine: str, missing: Sequence[Missing]) -> None:
        self.engine = engine
        self.missing = tuple(missing)
        listed = "".join(f"\n  - {item}" for item in self.missing)
        super().__init__(f"The engine {engine!r} cannot start here. Missing:{listed}")


class EngineStartFailed(EngineError):
    """An engine was started and did not come up.

    Attributes:
        engine: name of the engine.
        log: the last lines it wrote.
    """

    def __init__(self, engine: str, reason: str, log: str = "") -> None:
        self.engine = engine
        self.log = log
        tail = f" The end of its log:\n{log}" if log else " It logged nothing."
        super().__init__(f"The engine {engine!r} did not start: {reason}.{tail}")
