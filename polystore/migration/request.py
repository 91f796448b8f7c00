"""What an operator asks for: who, why, and what gates need from a person. Pure."""

from __future__ import annotations

import attrs

from polystore.errors import InvalidRequest

MOST_WHO = 200
"""Characters of a name in the history: a person, a ticket system, a pipeline."""

MOST_WHY = 2_000
"""Characters of a reason in the history: an entry stays far below the smallest record limit."""


@attrs.frozen
class Request:
    """What an operator asks for: who, why, and what the gates need from a person.

    Attributes:
        who, why: recorded in the history.
        confirm: the group's name, typed, for the point of no return.
        sole: the word that nobody goes past the library.
        override: names of gates to pass although they are shut; recorded too.

    Raises:
        InvalidRequest: who or why is too long for the history, or no text that can be stored.
    """

    who: str
    why: str
    confirm: str = ""
    sole: bool = False
    override: frozenset[str] = frozenset()

    def __attrs_post_init__(self) -> None:
        for name, text, most in (("who", self.who, MOST_WHO), ("why", self.why, MOST_WHY)):
            if len(text) > most:
                raise InvalidRequest(
                    f"{name} has {len(text)} characters; the history takes {most}: say it shorter"
                )
            if not text.isascii() and text != text.encode(errors="replace").decode():
                raise InvalidRequest(f"{name} holds characters that are no valid text")


NOBODY = Request("", "")
"""Who only looks, or only waits."""
