"""One server for tests that leave nothing behind in it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.processes import Server


@pytest.fixture(scope="module")
async def one_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """Started once for a module."""
    server = Server(tmp_path_factory.mktemp("one"), {}, "one")
    await server.start()
    yield server
    await server.finish()
