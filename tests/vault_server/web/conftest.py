"""Connections that are gone when their test ends, and one server for the many small tests of a module."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Protocol

import pytest
import pytest_asyncio

from tests.acceptance.puzzles import Maker
from tests.processes import Server
from tests.vault_server.web.http import HOST, Line


class OpenLine(Protocol):
    """`await line(port)`: one more connection."""

    def __call__(self, port: int, host: str = HOST) -> Awaitable[Line]:
        """Connect."""


@pytest.fixture
async def line() -> AsyncIterator[OpenLine]:
    """Opens connections, and closes all of them at the end."""
    opened: list[Line] = []

    async def connect(port: int, host: str = HOST) -> Line:
        opened.append(Line(*await asyncio.open_connection(host, port)))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.close()
    await asyncio.sleep(0)  # sockets are closed in the loop's next turn


@pytest.fixture(scope="session")
def maker() -> Maker:
    """Makes puzzles of 512 bits."""
    return Maker()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Server]:
    """One server for all tests of a module; its settings are SETTINGS there. It says nothing on standard error."""
    server = Server(tmp_path_factory.mktemp("shared"), request.module.SETTINGS)
    try:
        await server.start()
        introduction = server.stderr_path.read_text()
        yield server
    finally:
        await server.finish()
    assert server.stderr_path.read_text() == introduction
