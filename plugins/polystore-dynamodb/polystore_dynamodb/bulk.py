"""Many writes at once, an outcome for each: batches, puts in flight, or transactions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from botocore.exceptions import ClientError

from polystore.driver import Anything, Refused, Unprocessed, Write, Written
from polystore.errors import Contention, PolystoreError, Throttled, Unavailable, Unsupported
from polystore_dynamodb.connection import Connection
from polystore_dynamodb.faults import CONTENDED, THROTTLED, error_of, reasons_of
from polystore_dynamodb.items import written_token
from polystore_dynamodb.limits import BATCH_WRITE, REQUEST, TRANSACTION_ITEMS, TRANSACTION_SIZE
from polystore_dynamodb.sizes import item_size, sent_size
from polystore_dynamodb.transactions import REFUSED, Tables, joined
from polystore_dynamodb.writes import Prepared, refusal, write_request

Outcome: TypeAlias = Written | Refused | Unprocessed
Part: TypeAlias = list[int]
"""Positions of writes that one call carries."""

SPARE = 64 * 1024
"""Bytes of a request that are left for what is around its items: names of tables, and its head."""

_NOT_APPLIED = (Unavailable, Contention, Unsupported)


class Bulk:
    """One ``write_many``: the writes, and their outcomes as they come."""

    def __init__(
        self,
        connection: Connection,
        tables: Tables,
        one: Callable[[Write], Written | Refused],
        writes: Sequence[Write],
    ) -> None:
        self._connection = connection
        self._tables = tables
        self._one = one
        self._writes = writes
        self._outcomes: dict[int, Outcome] = {}
        self._requests: dict[int, Prepared] = {}

    def run(self) -> list[Outcome]:
        """Send all; the outcomes in the order of the writes.

        Raises:
            Exception: the outcome of a write is unknown, or the table refuses all.
        """
        every = range(len(self._writes))
        blind = [i for i in every if isinstance(self._writes[i].condition, Anything)]
        guarded = [i for i in every if i not in set(blind)]
        calls: list[tuple[Callable[[Part], None], Part]] = [
            (self._batch, part) for part in self._batches(blind)
        ]
        if self._connection.settings.bulk == "transaction":
            calls += [(self._transactions, part) for part in self._parts(guarded)]
        else:
            calls += [(self._single, [i]) for i in guarded]
        self._send(calls)
        return [self._outcomes[i] for i in every]

    def _send(self, calls: Sequence[tuple[Callable[[Part], None], Part]]) -> None:
        """All calls at once; the first error that leaves an outcome open, once all have ended."""
        if len(calls) == 1:
            self._attempt(*calls[0])
            return
        pool = self._connection.pool()
        failures = [f.exception() for f in [pool.submit(self._attempt, *call) for call in calls]]
        for failure in failures:
            if failure is not None:
                raise failure

    def _attempt(self, call: Callable[[Part], None], part: Part) -> None:
        try:
            call(part)
        except Exception as error:
            told = error_of(error)
            if not isinstance(told, _NOT_APPLIED):
                raise
            if told is not error:
                told.__cause__ = error
            self._unprocessed((i for i in part if i not in self._outcomes), told)

    def _unprocessed(self, part: Iterable[int], error: PolystoreError) -> None:
        for i in part:
            self._outcomes[i] = Unprocessed(error)

    def _prepared(self, position: int) -> Prepared:
        """The request of one write, made once. Raises Unsupported if a token cannot be compared."""
        made = self._requests.get(position)
        if made is None:
            write = self._writes[position]
            made = self._requests[position] = write_request(self._tables(write.collection), write)
        return made

    def _single(self, part: Part) -> None:
        for i in part:
            self._outcomes[i] = self._one(self._writes[i])

    def _batch(self, part: Part) -> None:
        """Unconditional writes as one BatchWriteItem; what comes back unprocessed is reported."""
        requests: dict[str, list[Any]] = {}
        where: dict[str, list[int]] = {}
        for i in part:
            write = self._writes[i]
            table = self._tables(write.collection)
            _, request, item = self._prepared(i)
            kind, content = ("PutRequest", "Item") if item else ("DeleteRequest", "Key")
            requests.setdefault(table.name, []).append({kind: {content: request[content]}})
            where.setdefault(table.name, []).append(i)
            self._outcomes[i] = Written(written_token(write, item))
        try:
            reply = self._connection.call("batch_write_item", RequestItems=requests)
        except Exception:
            for i in part:
                del self._outcomes[i]
            raise
        for name, left in reply.get("UnprocessedItems", {}).items():
            self._left_over(where[name], left)

    def _batches(self, positions: Sequence[int]) -> list[Part]:
        """Parts of at most 25 writes, and of what one request may send."""
        parts: list[Part] = []
        room = 0
        for i in positions:
            _, request, _ = self._prepared(i)
            size = sent_size({"M": request.get("Item") or request["Key"]})
            if not parts or size > room or len(parts[-1]) == BATCH_WRITE:
                parts.append([])
                room = REQUEST.most - SPARE
            parts[-1].append(i)
            room -= size
        return parts

    def _left_over(self, part: Part, left: Sequence[dict[str, Any]]) -> None:
        """Mark the writes that DynamoDB handed back."""
        table = self._tables(self._writes[part[0]].collection)
        keys = set()
        for request in left:
            put = request.get("PutRequest")
            keys.add(table.key_of(put["Item"] if put else request["DeleteRequest"]["Key"]))
        error = Throttled("handed back unprocessed by BatchWriteItem", driver="dynamodb")
        self._unprocessed((i for i in part if self._writes[i].key in keys), error)

    def _parts(self, positions: Sequence[int]) -> list[Part]:
        """Parts of at most 100 writes and 4 MiB, as transactions take them."""
        parts: list[Part] = []
        room = 0
        for i in positions:
            size = self._size(i)
            if not parts or size > room or len(parts[-1]) == TRANSACTION_ITEMS.most:
                parts.append([])
                room = TRANSACTION_SIZE.most
            parts[-1].append(i)
            room -= size
        return parts

    def _size(self, position: int) -> int:
        try:
            _, request, _ = self._prepared(position)
        except Unsupported:
            return 0
        return sum(item_size(request.get(part, {})) for part in _SIZED)

    def _transactions(self, part: Part) -> None:
        """Conditional writes as transactions: refused ones are taken out, the rest sent again."""
        left = [i for i in part if self._comparable(i)]
        while left:
            writes = [self._writes[i] for i in left]
            made = joined(writes, [self._prepared(i) for i in left], self._tables)
            try:
                self._connection.call("transact_write_items", **made.request)
            except ClientError as error:
                left = self._cancelled(left, error)
            else:
                for i, token in zip(left, made.tokens, strict=True):
                    self._outcomes[i] = Written(token)
                return

    def _comparable(self, position: int) -> bool:
        try:
            self._prepared(position)
        except Unsupported as error:
            self._outcomes[position] = Unprocessed(error)
            return False
        return True

    def _cancelled(self, part: Part, error: ClientError) -> Part:
        """Outcomes for those that a cancellation names; the positions of the others."""
        reasons = reasons_of(error)
        left: Part = []
        for i, reason in zip(part, reasons, strict=False):
            code, write = reason.get("Code"), self._writes[i]
            if code == REFUSED:
                self._outcomes[i] = refusal(
                    self._tables(write.collection), write, reason.get("Item")
                )
            elif code in CONTENDED:
                self._outcomes[i] = Unprocessed(Contention(str(code), driver="dynamodb"))
            elif code in THROTTLED:
                self._outcomes[i] = Unprocessed(Throttled(str(code), driver="dynamodb"))
            else:
                left.append(i)
        if len(reasons) != len(part) or len(left) == len(part):
            raise error
        return left


_SIZED: tuple[str, ...] = ("Item", "Key", "ExpressionAttributeValues")
