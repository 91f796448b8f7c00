"""Many writes that need not be one: a look for those that need one, then as few commits as can be.

Each commit is all or nothing, so that a commit that failed is known not to have written anything.
Where one of its conditions was false, a look tells which; the others are committed again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from polystore.driver import (
    Condition,
    Nothing,
    OlderThan,
    Refused,
    Stored,
    Unchanged,
    Unprocessed,
    Write,
    Written,
)
from polystore.driver.bookkeeping import holds
from polystore.errors import Contention, PolystoreError, Unavailable
from polystore.schema import Collection
from polystore_datastore.conditions import settled
from polystore_datastore.connection import Connection
from polystore_datastore.limits import COMMIT_BYTES, COMMIT_ITEMS
from polystore_datastore.lookups import look_at_all
from polystore_datastore.messages import CommitRequest, Message
from polystore_datastore.placement import Place
from polystore_datastore.writes import add_write, make_atomic, tokens

Outcome: TypeAlias = Written | Refused | Unprocessed
Planned: TypeAlias = tuple[int, Condition]
"""Position of a write, and the condition that Datastore holds for it."""

LOOKS = 2
"""Looks at one commit's records before it is halved instead."""


class Bulk:
    """One ``write_many``.

    Args:
        connection: where to.
        place: the place of a collection.
        alone: carries out one write, for those that lost a race.
        writes: what to write; no key twice.
    """

    def __init__(
        self,
        connection: Connection,
        place: Callable[[Collection], Place],
        alone: Callable[[Write], Written | Refused],
        writes: Sequence[Write],
    ) -> None:
        self._connection = connection
        self._place = place
        self._alone = alone
        self._writes = writes
        self._outcomes: list[Outcome | None] = [None] * len(writes)

    def run(self) -> list[Outcome]:
        """The outcome of each write, in order.

        Raises:
            OutcomeUnknown: a commit has no answer.
            PolystoreError: the service refused a request for another reason than a condition.
        """
        every = range(len(self._writes))
        older = [i for i in every if isinstance(self._writes[i].condition, OlderThan)]
        found = self._found(older)
        self._send(self._settled(every, found), LOOKS)
        outcomes = [outcome for outcome in self._outcomes if outcome is not None]
        assert len(outcomes) == len(self._writes)
        return outcomes

    def _found(self, positions: Sequence[int]) -> dict[int, Stored | None]:
        """The records that these writes are about, read now."""
        by_place: dict[Collection, list[int]] = defaultdict(list)
        for i in positions:
            by_place[self._writes[i].collection].append(i)
        found: dict[int, Stored | None] = {}
        for collection, group in by_place.items():
            keys = [self._writes[i].key for i in group]
            for start in range(0, len(keys), 1000):
                records = look_at_all(
                    self._connection, self._place(collection), keys[start : start + 1000]
                )
                found.update(zip(group[start : start + 1000], records, strict=True))
        return found

    def _settled(self, positions: Sequence[int], found: dict[int, Stored | None]) -> list[Planned]:
        """The conditions to send; what a look has refused has its outcome."""
        planned: list[Planned] = []
        for i in positions:
            condition = settled(self._writes[i].condition, found.get(i))
            if isinstance(condition, Refused):
                self._outcomes[i] = condition
            else:
                planned.append((i, condition))
        return planned

    def _send(self, planned: list[Planned], looks: int) -> None:
        for request, part in self._commits(planned):
            try:
                reply = self._connection.commit(request)
            except (Unavailable, Contention) as error:
                self._leave(part, error)
                continue
            if reply is not None:
                writes = [self._writes[i] for i, _ in part]
                made = tokens(writes, reply.mutation_results)
                for (i, _), token in zip(part, made, strict=True):
                    self._outcomes[i] = Written(token)
            else:
                self._refused(part, looks)

    def _commits(self, planned: list[Planned]) -> Iterator[tuple[Message, list[Planned]]]:
        """Requests below the limits of one commit, each with what is in it."""
        request, part, size = self._new_commit()
        for i, condition in planned:
            write = self._writes[i]
            size += add_write(self._place(write.collection), write, condition, request)
            if part and size > COMMIT_BYTES:
                del request.mutations[-1]
                yield request, part
                request, part, _ = self._new_commit()
                size = add_write(self._place(write.collection), write, condition, request)
            part.append((i, condition))
            if len(part) == COMMIT_ITEMS:
                yield request, part
                request, part, size = self._new_commit()
        if part:
            yield request, part

    def _new_commit(self) -> tuple[Message, list[Planned], int]:
        request = self._connection.request(CommitRequest)
        make_atomic(request)
        return request, [], 0

    def _leave(self, part: list[Planned], error: PolystoreError) -> None:
        for i, _ in part:
            self._outcomes[i] = Unprocessed(error)

    def _refused(self, part: list[Planned], looks: int) -> None:
        """A condition of this commit was false: find out which, and send the others."""
        if len(part) == 1:
            ((i, _),) = part
            older = isinstance(self._writes[i].condition, OlderThan)
            self._outcomes[i] = self._alone(self._writes[i]) if older else Refused()
        elif looks:
            self._send(self._looked_at(part), looks - 1)
        else:
            middle = len(part) // 2
            self._send(part[:middle], 0)
            self._send(part[middle:], 0)

    def _looked_at(self, part: list[Planned]) -> list[Planned]:
        """What of a refused commit can be sent again, by what is there now."""
        asked = [i for i, condition in part if isinstance(condition, Nothing | Unchanged)]
        found = self._found(asked)
        left: list[int] = []
        for i, _ in part:
            condition = self._writes[i].condition
            if isinstance(condition, Nothing | Unchanged) and not holds(condition, found[i]):
                self._outcomes[i] = Refused(told=True, current=found[i])
            else:
                left.append(i)
        return self._settled(left, found)
