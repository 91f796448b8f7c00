"""What a group's operators have agreed on for the gates of its migration."""

from __future__ import annotations

import math

import attrs

from polystore.errors import ConfigError


@attrs.frozen(kw_only=True)
class Agreed:
    """Limits of gates (PROTOCOL.md 11), the table ``gates`` of a group.

    Args:
        verified: seconds that the full verification may be old when the dial first moves; a day.
        backlog: seconds that a write may have waited for the mirror then (PROTOCOL.md 11: 5 s).
        reads: reads that must have been compared with the mirror by then, without a difference;
            0: as many as there were.
        window: seconds for which the dial stays at 100 % before the point of no return; 0: none.

    Raises:
        ConfigError: a number is negative, or no number.
    """

    verified: float = 86_400.0
    backlog: float = 5.0
    reads: int = 0
    window: float = 0.0

    def __attrs_post_init__(self) -> None:
        for name, value in attrs.asdict(self).items():
            if not 0 <= value < math.inf:
                raise ConfigError(f"{name} must be a number of at least 0, not {value}")
