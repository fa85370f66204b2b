"""One database, one server: a second one is told so, and after a power cut the next start needs no cleaning up."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import StartServer
from tests.processes import Server


async def test_a_second_server_is_told_and_a_killed_one_can_start_at_once(
    start_server: StartServer, tmp_path: Path
) -> None:
    server = await start_server()
    second = Server(tmp_path, {}, name="second")
    second.database = server.database
    second.launch()
    try:
        assert await second.wait() == 1
    finally:
        second.end_group()
    assert f"cannot use {server.database} as the database: another server is using it" in second.tail()
    assert server.running
    await server.kill()
    await server.restart()
