"""A TCP balancer before the nodes: each new connection goes to the next node that takes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress


class Balancer:
    """`port` is where peers connect; `backends` gives the ports of the nodes, which may change."""

    def __init__(self, backends: Callable[[], Sequence[int]]) -> None:
        self._backends = backends
        self._turn = 0
        self._server: asyncio.Server | None = None
        self._pipes: set[asyncio.Task[None]] = set()
        self.port = 0

    async def start(self) -> None:
        """Take connections."""
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """End all connections."""
        assert self._server is not None
        self._server.close()
        for pipe in tuple(self._pipes):
            pipe.cancel()
        await asyncio.gather(*self._pipes, return_exceptions=True)

    @property
    def url(self) -> str:
        """As peers dial it."""
        return f"ws://127.0.0.1:{self.port}"

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._pipes.add(task)
        try:
            node = await self._next()
            if node is not None:
                await _both_ways((reader, writer), node)
        except asyncio.CancelledError:
            pass
        finally:
            self._pipes.discard(task)
            writer.close()

    async def _next(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        ports = self._backends()
        for _ in ports:
            self._turn += 1
            with suppress(OSError):
                return await asyncio.open_connection("127.0.0.1", ports[self._turn % len(ports)])
        return None


Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _both_ways(near: Stream, far: Stream) -> None:
    pipes = [asyncio.create_task(_pipe(near[0], far[1])), asyncio.create_task(_pipe(far[0], near[1]))]
    try:
        await asyncio.wait(pipes, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for pipe in pipes:
            pipe.cancel()
        await asyncio.gather(*pipes, return_exceptions=True)
        far[1].close()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def balancer(backends: Callable[[], Sequence[int]]) -> AsyncIterator[Balancer]:
    """Started, and stopped at the end."""
    made = Balancer(backends)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()
