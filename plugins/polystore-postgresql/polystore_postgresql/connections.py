"""A connection to the server, and what makes it fit for the next call."""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from contextlib import suppress
from typing import Any, TypeAlias

import psycopg

from polystore.driver.faults import NotSent
from polystore_postgresql.settings import Settings

Connection: TypeAlias = "psycopg.Connection[tuple[Any, ...]]"


GRACE = 1.0
"""Seconds that a call waits beyond the server's own time-out, whose refusal is sure."""


class Timed(psycopg.Connection[tuple[Any, ...]]):
    """A connection that is closed when an answer does not come in time.

    psycopg waits for ever: ``statement_timeout`` is the server's, and the kernel's
    ``tcp_user_timeout`` sees only whether what was sent arrived.

    Attributes:
        seconds: to wait for each answer.
    """

    seconds = math.inf

    def wait(self, gen: Any, *arguments: Any, **options: Any) -> Any:
        """As psycopg's, for as long as an answer may take."""
        return super().wait(self._in_time(gen), *arguments, **options)

    def _in_time(self, gen: Any) -> Generator[Any, Any, Any]:
        until = time.monotonic() + self.seconds
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and time.monotonic() > until:  # psycopg asks ten times a second
                    self.pgconn.finish()
                    raise psycopg.OperationalError("no answer in time")
                wanted = gen.send(ready)
        except StopIteration as end:
            return end.value


def connect(settings: Settings) -> Timed:
    """One more connection, in autocommit; it prepares no statements.

    Of those that a pipeline has not prepared because it failed, psycopg thinks that it has.

    Raises:
        NotSent: none can be made.
    """
    try:
        made = Timed.connect(autocommit=True, prepare_threshold=None, **settings.conninfo)
    except psycopg.OperationalError as error:
        raise NotSent from error
    made.seconds = settings.timeout + GRACE
    return made


def clean(connection: Timed) -> bool:
    """Whether a connection is fit for the next call; a transaction is rolled back."""
    status = psycopg.pq.TransactionStatus
    if connection.info.transaction_status in (status.INERROR, status.INTRANS):
        with suppress(psycopg.Error):
            connection.execute(b"ROLLBACK")
    return connection.info.transaction_status == status.IDLE
