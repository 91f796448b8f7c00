"""A TCP proxy on the loopback interface that cuts connections, holds bytes, swallows answers."""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType
from typing import Self

CHUNK = 65536


class Proxy:
    """Stands between applications and one engine.

    Args:
        port: where the engine listens on 127.0.0.1.
        at: where the proxy shall listen; 0 for any port that is free.

    Attributes:
        port: where the proxy listens.
        delay: seconds that each piece waits, in either direction.
        swallow: whether what the engine answers is thrown away; the call was carried out.
        met: how many connections were cut at the piece that :meth:`cut_at` named.
    """

    def __init__(self, port: int, at: int = 0) -> None:
        self.delay = 0.0
        self.swallow = False
        self.met = 0
        self._at: tuple[bool, int] | None = None
        self._open = {answers: asyncio.Event() for answers in (False, True)}
        for event in self._open.values():
            event.set()
        self._engine = port
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        serving = asyncio.start_server(self._serve, "127.0.0.1", at)
        self._server = asyncio.run_coroutine_threadsafe(serving, self._loop).result()
        self.port: int = self._server.sockets[0].getsockname()[1]

    @property
    def connections(self) -> int:
        """How many applications have open just now."""
        return len(self._writers) // 2

    def hold(self, *, answers: bool = False) -> None:
        """Let what applications send wait, or what the engine answers; the other way passes."""
        self._loop.call_soon_threadsafe(self._open[answers].clear)

    def release(self) -> None:
        """Pass on what was held, and what follows."""
        for event in self._open.values():
            self._loop.call_soon_threadsafe(event.set)

    def cut(self) -> None:
        """Cut all connections that are open, with what they hold; new ones are taken."""
        self._loop.call_soon_threadsafe(self._cut)

    def cut_at(self, piece: int | None, *, answers: bool = False) -> None:
        """Cut the connection on which a piece comes, once, instead of passing it on.

        Args:
            piece: how many come before it from now on; ``None`` for no cut any more.
            answers: whether pieces are counted that the engine answers; else those that
                applications send.
        """
        self._at = None if piece is None else (answers, piece)

    def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    def _cuts(self, answers: bool) -> bool:
        """Whether this piece is the one to cut at."""
        at = self._at
        if at is None or at[0] is not answers:
            return False
        self._at = (answers, at[1] - 1) if at[1] else None
        self.met += not at[1]
        return not at[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            engine_reader, engine_writer = await asyncio.open_connection("127.0.0.1", self._engine)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, engine_writer}
        self._writers |= both
        try:
            await asyncio.gather(
                self._pump(reader, engine_writer, answers=False),
                self._pump(engine_reader, writer, answers=True),
            )
        except (OSError, asyncio.CancelledError):  # one end is gone, both were cut, or all ends
            return
        finally:
            self._writers -= both
            for one in both:
                one.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        swallowing = False  # once a piece is missing the rest makes no sense
        while data := await reader.read(CHUNK):
            swallowing = swallowing or (answers and self.swallow)
            if swallowing:
                continue
            if self._cuts(answers):
                break
            if self.delay:
                await asyncio.sleep(self.delay)
            await self._open[answers].wait()
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._ended(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _ended(self) -> None:
        self._server.close()
        self._cut()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
