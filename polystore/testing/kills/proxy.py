"""A TCP proxy on the loopback interface that cuts connections, delays bytes, swallows answers."""

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

    Attributes:
        port: where the proxy listens.
        delay: seconds that each piece waits, in either direction.
        swallow: whether what the engine answers is thrown away; the call was carried out.
    """

    def __init__(self, port: int) -> None:
        self.delay = 0.0
        self.swallow = False
        self._open = asyncio.Event()
        self._open.set()
        self._engine = port
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        serving = asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(serving, self._loop).result()
        self.port: int = self._server.sockets[0].getsockname()[1]

    def hold(self) -> None:
        """Let what applications send wait; the engine's answers still pass."""
        self._loop.call_soon_threadsafe(self._open.clear)

    def release(self) -> None:
        """Pass on what was held, and what follows."""
        self._loop.call_soon_threadsafe(self._open.set)

    def cut(self) -> None:
        """Cut all connections that are open; new ones are taken."""
        self._loop.call_soon_threadsafe(self._cut)

    def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

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
        except OSError:  # one end is gone, or both were cut
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
            if self.delay:
                await asyncio.sleep(self.delay)
            if not answers:
                await self._open.wait()
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
