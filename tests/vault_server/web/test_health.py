"""/healthz and /readyz of a real server: well, with a disk that fails, and while it drains."""

from __future__ import annotations

import asyncio
import resource
import signal
from pathlib import Path

import pytest

from protocol.errors import Code
from protocol.identity import Identity
from protocol.vault import PuzzleAccepted
from tests.acceptance.conversation import refused_message
from tests.acceptance.puzzles import Maker
from tests.conftest import StartServer
from tests.dialling import dial
from tests.processes import Server
from tests.vault_server.web.conftest import OpenLine
from tests.vault_server.web.http import get, scrape, until_ready
from vault_server import keys
from vault_server.app import App
from vault_server.settings import Settings

SETTINGS: dict[str, object] = {}


async def test_a_server_that_is_well_is_alive_and_ready(shared_server: Server) -> None:
    port = shared_server.http_port
    alive, ready = await get(port, "/healthz"), await get(port, "/readyz")
    assert (alive.status, alive.json) == (200, {"status": "alive"})
    assert (ready.status, ready.json) == (200, {"status": "ready"})
    assert alive.headers["cache-control"] == ready.headers["cache-control"] == "no-store"


async def test_a_head_is_answered_like_a_get_without_its_body(shared_server: Server, line: OpenLine) -> None:
    connection = await line(shared_server.http_port)
    connection.send(b"HEAD /readyz HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
    text = (await connection.rest()).decode()
    assert text.startswith("HTTP/1.1 200 OK\r\n")
    assert text.endswith("\r\n\r\n")


def limit_files(server: Server, bytes_max: int) -> None:
    resource.prlimit(server.writer.pid, resource.RLIMIT_FSIZE, (bytes_max, resource.RLIM_INFINITY))


async def test_a_disk_that_is_full_is_missing_until_there_is_room(server: Server, maker: Maker) -> None:
    server.errors_expected |= {"storage.failed", "presence.failed"}
    async with await dial(server.url) as client:
        await client.ask(maker.order()[0], PuzzleAccepted)
        limit_files(server, server.database.with_name(server.database.name + "-wal").stat().st_size)
        await refused_message(client, maker.order()[0], Code.UNAVAILABLE)
        for _ in range(2):  # a write is tried for the second one, too
            answer = await get(server.http_port, "/readyz")
            assert answer.status == 503
            assert answer.headers["retry-after"] == "1"
            refusal = answer.json
            assert (refusal["code"], refusal["retryable"], refusal["retry_after_ms"]) == ("UNAVAILABLE", True, 1000)
            assert set(refusal["missing"]) == {"storage"}
            assert "disk" in refusal["missing"]["storage"]
            assert refusal["missing"]["storage"] in refusal["message"]
            assert refusal["suggestion"]
            assert (await get(server.http_port, "/healthz")).status == 200
            await asyncio.sleep(0.5)  # what was found is remembered that long
        assert (await scrape(server))["vault_storage_errors_total", "write"] >= 1
        limit_files(server, resource.RLIM_INFINITY)
        await until_ready(server.http_port)  # nobody else writes: being asked is what mends it
        await client.ask(maker.order()[0], PuzzleAccepted)


async def test_a_server_that_is_starting_is_alive_and_not_ready(tmp_path: Path) -> None:
    settings = Settings(database=tmp_path / "vault.db", port=0, http_port=0)
    master_keys, _ = keys.load_master_keys(settings.files, None)
    app = App(settings, Identity.generate(), master_keys)
    await app._database.start()
    await app.web.start()
    port = app.web.port
    assert (await get(port, "/healthz")).status == 200
    answer = await get(port, "/readyz")
    assert (answer.status, answer.json["code"]) == (503, "UNAVAILABLE")
    assert answer.json["missing"] == {"connections": "connections are not accepted yet"}
    await app.start()  # what has been started stays as it is
    assert app.web.port == port
    assert (await get(port, "/readyz")).status == 200
    for _ in range(2):
        await app.stop()
    with pytest.raises(ConnectionRefusedError):
        await get(port, "/healthz")


async def test_a_server_that_drains_is_alive_and_not_ready(start_server: StartServer, line: OpenLine) -> None:
    server = await start_server(drain_ms_max=4000)
    connection = await line(server.port)  # a peer that does not answer the server's close frame
    connection.send(
        b"GET /client HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        b"Sec-WebSocket-Protocol: vault.v1.sealed\r\n\r\n"
    )
    await connection.reader.readuntil(b"\r\n\r\n")
    assert (await get(server.http_port, "/readyz")).status == 200
    server.send(signal.SIGTERM)
    await server.event("server.draining")
    answer = await get(server.http_port, "/readyz")
    while answer.status == 200:  # the line of the log comes a moment before
        answer = await get(server.http_port, "/readyz")
    assert answer.status == 503
    assert answer.json["code"] == "DRAINING"
    assert answer.json["missing"] == {"connections": "the server is stopping"}
    assert (await get(server.http_port, "/healthz")).status == 200
    assert ("vault_solvers_online", "") in await scrape(server)
    connection.close()
    assert await server.wait() == 0
    with pytest.raises(ConnectionRefusedError):
        await get(server.http_port, "/healthz")
