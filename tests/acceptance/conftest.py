"""What acceptance tests share: a maker of puzzles, and one server for the many small tests of a module."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.acceptance.puzzles import Maker
from tests.processes import WITHOUT_TRAPS, Server


@pytest.fixture(scope="session")
def maker() -> Maker:
    """Makes puzzles of 512 bits."""
    return Maker()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Server]:
    """One server for all tests of a module, which must leave it as they found it; its settings are SETTINGS there."""
    server = Server(tmp_path_factory.mktemp("shared"), WITHOUT_TRAPS | request.module.SETTINGS)
    try:
        await server.start()
        yield server
    finally:
        await server.finish()
    assert "Traceback" not in server.stderr_path.read_text(), server.tail()
