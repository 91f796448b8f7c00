"""What this process wrote last: the next write of a key is tried on it before anything is read.

A guess is never trusted: the commit compares its token, and a token stands for one state of one
database for ever, with its stamp. So nothing here need be forgotten for safety, whatever epoch,
incarnation or other writer came between; a wrong guess is refused, and costs that round trip.
"""

from __future__ import annotations

import threading
from collections import Counter

import attrs

from polystore.driver import Stored, Token, Write
from polystore.records import Record
from polystore.route.base import Verb
from polystore.route.bound import shown
from polystore.values import Fields, Key

MOST = 1024
"""Keys that are remembered: less than a megabyte."""

SURE, WORST, BEST = 4, -8, 8
"""From which score of a collection on "absent" is guessed without a sign of it; the bounds of
scores."""

MISSED = -2
"""What a wrong guess takes of a score; a right one adds 1: it saves what a wrong one may cost."""

Place = tuple[str, str, Key]
"""Side, collection and key."""


@attrs.frozen
class Guess:
    """What may be there: a state with its token and stamp, or nothing.

    Attributes:
        kind: which score it counts for.
        stored: the state, without its fields; ``None``: nothing.
        record: what the verb is to decide on, if the guess is right.
    """

    kind: str
    stored: Stored | None
    record: Record | None


class Remembered:
    """The last writes of one process, and how good guesses were; any thread may call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._states: dict[Place, Stored] = {}
        self._scores: Counter[tuple[str, str]] = Counter()

    def guess(self, place: Place, verb: Verb) -> Guess | None:
        """What a verb may be tried on without a read; ``None``: read first."""
        with self._lock:
            known = self._states.get(place)
            if known is not None:
                good = self._scores[place[1], "known"] >= 0
                return _guessed(verb, known) if good else None
            kind, least = ("fresh", 0) if verb.fresh else ("absent", SURE)
            if (verb.fresh or (verb.blind and verb.puts)) and self._score(place, kind) >= least:
                return Guess(kind, None, None)
        return None

    def wrote(self, side: str, write: Write, token: Token) -> None:
        """A write was committed; its token, ``None`` where that is not known."""
        place = (side, write.collection.name, write.key)
        with self._lock:
            self._states.pop(place, None)
            if token is None:
                return
            fields: Fields | None = None if write.fields is None else {}
            self._states[place] = Stored(
                write.key, fields, token, write.write_id, write.stamp, write.expires
            )
            if len(self._states) > MOST:
                del self._states[next(iter(self._states))]

    def right(self, place: Place, guess: Guess) -> None:
        """A guess was right."""
        with self._lock:
            self._learn(place, guess.kind, 1)

    def wrong(self, place: Place, guess: Guess) -> None:
        """A guess was refused."""
        with self._lock:
            self._states.pop(place, None)
            self._learn(place, guess.kind, MISSED)

    def saw(self, place: Place, stored: Stored | None) -> None:
        """A record was read: what a guess would have been."""
        with self._lock:
            known = self._states.get(place)
            if known is None:
                for kind in ("absent", "fresh"):
                    self._learn(place, kind, 1 if stored is None else -1)
            elif stored is not None and stored.token == known.token:
                self._learn(place, "known", 1)
            else:
                del self._states[place]
                self._learn(place, "known", -1)

    def _score(self, place: Place, kind: str) -> int:
        return self._scores[place[1], kind]

    def _learn(self, place: Place, kind: str, by: int) -> None:
        score = self._score(place, kind) + by
        self._scores[place[1], kind] = min(max(score, WORST), BEST)


def _guessed(verb: Verb, known: Stored) -> Guess | None:
    """What a verb decides on if a state is still there; ``None`` where it needs its fields."""
    gone = known.fields is None
    if verb.blind and (verb.puts or not gone):
        return Guess("known", known, None)
    if verb.fresh and gone:
        return Guess("known", known, None)
    if verb.version is not None and not gone and known.expires is None:
        record = shown(known.key, {}, known.write_id, None)
        return Guess("known", known, record) if record.version == verb.version else None
    return None
