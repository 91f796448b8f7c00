"""What an operator does, in the history before it is done, and how it ended after that."""

from __future__ import annotations

from contextlib import suppress
from types import TracebackType

from polystore.errors import PolystoreError
from polystore.migration.ledger import BEGUN, DONE, Ledger
from polystore.migration.request import Request
from polystore.migration.stages import Setting


class Recorded:
    """``async with Recorded(...) as told:`` what is done in it is in the history, whatever dies.

    An entry that stays ``begun`` is of a command that died, or that could not tell its end: what
    came of it, the setting of the next entry says.

    Args:
        ledger: keeps the history.
        setting: in which it is done.
        what: in words.
        request: who, and why.
    """

    def __init__(self, ledger: Ledger, setting: Setting, what: str, request: Request) -> None:
        self._ledger = ledger
        self._entry = (setting, what, request.who, request.why)
        self._told: list[str] = []
        self._item = ""

    async def __aenter__(self) -> list[str]:
        """Keep the entry; what the list takes until the end is told with it."""
        self._item = await self._ledger.record(*self._entry, BEGUN)
        return self._told

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None and not isinstance(error, PolystoreError):
            return  # this process ends here: nothing more may be sent
        ended = DONE if error is None else f"{error.code}: {error}"
        with suppress(PolystoreError):  # the change itself is not undone by that
            await self._ledger.amend(self._item, "; ".join([ended, *self._told]))
