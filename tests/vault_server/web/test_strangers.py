"""HTTP that should not have been sent: refused in JSON, bounded in bytes, time and number, and the server goes on."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterable

import psutil
import pytest

from protocol.errors import ERRORS, Code
from protocol.session import Ping, Pong
from tests.conftest import StartServer
from tests.dialling import dial
from tests.processes import Server
from tests.vault_server.web.conftest import OpenLine
from tests.vault_server.web.http import Answer, Line, get, request, say, until_ready

HEADER_BYTES = 4096


SETTINGS: dict[str, object] = {
    "http_header_bytes_max": HEADER_BYTES,
    "http_request_ms_max": 400,
    "http_connections_max": 4,
}


@pytest.fixture
async def server(shared_server: Server) -> AsyncIterator[Server]:
    """A server with small bounds, which is well afterwards."""
    yield shared_server
    await until_ready(shared_server.http_port)
    async with await dial(shared_server.url) as client:
        await client.ask(Ping(), Pong)


def refused(answer: Answer, status: int, code: Code) -> str:
    """What is missing is said as on every other door; the message."""
    told = answer.json
    assert (answer.status, told["code"], told["retryable"]) == (status, code, ERRORS[code].retryable)
    assert told["suggestion"]
    return str(told["message"])


@pytest.mark.parametrize("path", ["/nowhere", "/healthz/", "/HEALTHZ", "/metrics/..", "//healthz", "/%2e%2e/etc"])
async def test_paths_that_are_not_there(server: Server, path: str) -> None:
    refused(await get(server.http_port, path), 404, Code.PATH_NOT_FOUND)


async def test_a_long_path_is_not_repeated_whole(server: Server) -> None:
    message = refused(await get(server.http_port, "/" + "a" * 3000), 404, Code.PATH_NOT_FOUND)
    assert len(message) < 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "BREW"])
async def test_methods_that_are_not_for_it(server: Server, path: str, method: str) -> None:
    answer = await say(server.http_port, request(path, method, "Content-Length: 2\r\n") + b"{}")
    message = refused(answer, 405, Code.METHOD_NOT_ALLOWED)
    assert method in message
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}


async def test_a_solver_that_dials_the_wrong_port_is_sent_on(server: Server) -> None:
    upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAA\r\n"
    answer = await say(server.http_port, request("/solver", headers=upgrade))
    refused(answer, 404, Code.PATH_NOT_FOUND)
    assert "WebSocket port" in answer.json["suggestion"]


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello of TLS\r\n\r\n",
        b"\r\n\r\n\r\n\r\nnothing\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nno host\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: here\r\nContent-Length: many\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: here\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: here\r\nX: a\x00b\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_told_so_and_hung_up_on(server: Server, data: bytes, line: OpenLine) -> None:
    connection = await line(server.http_port)
    connection.send(data)
    refused(await connection.read(), 400, Code.MALFORMED)
    assert await connection.rest() == b""


@pytest.mark.parametrize("body", [b"zz\r\nno length\r\n", b"5\r\nabc", b"ffffffffffffffffffffff\r\n", b"-1\r\n"])
async def test_a_body_that_breaks_off_or_is_none_ends_the_connection(
    server: Server, body: bytes, line: OpenLine
) -> None:
    connection = await line(server.http_port)
    connection.send(request("/nowhere", "POST", "Transfer-Encoding: chunked\r\n"))
    refused(await connection.read(), 404, Code.PATH_NOT_FOUND)
    connection.send(body)
    await connection.rest()


async def hung_up_on(connection: Line, pieces: Iterable[bytes]) -> None:
    """Send them slowly; the server ends that before they end."""
    async with asyncio.timeout(10):
        for piece in pieces:
            try:
                connection.send(piece)
                await connection.writer.drain()
            except ConnectionError:
                return
            await asyncio.sleep(0.02)
    raise AssertionError("everything was taken")


async def test_an_endless_body_is_hung_up_on(server: Server, line: OpenLine) -> None:
    connection = await line(server.http_port)
    connection.send(request("/nowhere", "POST", "Transfer-Encoding: chunked\r\n"))
    chunk = b"1000\r\n" + bytes(4096) + b"\r\n"
    await hung_up_on(connection, itertools.repeat(chunk))


async def open_head(line: OpenLine, server: Server, length: int) -> Line:
    """A connection on which so many bytes of an unfinished head have been sent."""
    connection = await line(server.http_port)
    head = request(headers="X: ").removesuffix(b"\r\n")
    connection.send(head + b"a" * (length - len(head)))
    return connection


async def test_the_longest_head_and_one_byte_more(server: Server, line: OpenLine) -> None:
    longest = await open_head(line, server, HEADER_BYTES - 4)
    longest.send(b"\r\n\r\n")
    assert (await longest.read()).status == 200
    longer = await open_head(line, server, HEADER_BYTES + 1)
    refused(await longer.read(), 400, Code.MALFORMED)


@pytest.mark.parametrize("length", [HEADER_BYTES, HEADER_BYTES + 1, 10 * HEADER_BYTES])
async def test_a_whole_head_that_comes_at_once_is_bounded_too(server: Server, line: OpenLine, length: int) -> None:
    connection = await line(server.http_port)
    head = request(headers="X: ").removesuffix(b"\r\n")
    connection.send(head + b"a" * (length - len(head) - 4) + b"\r\n\r\n")
    if length == HEADER_BYTES:
        assert (await connection.read()).status == 200
    else:
        refused(await connection.read(), 431, Code.TOO_LARGE)


async def test_a_flood_of_headers_is_refused(server: Server, line: OpenLine) -> None:
    connection = await line(server.http_port)
    connection.send(b"GET /healthz HTTP/1.1\r\n" + b"".join(b"X-%d: 1\r\n" % number for number in range(5000)))
    refused(await connection.read(), 400, Code.MALFORMED)


@pytest.mark.parametrize("said", [b"", b"GET /hea", request() + b"GET /"])
async def test_who_does_not_finish_a_request_is_hung_up_on(server: Server, said: bytes, line: OpenLine) -> None:
    connection = await line(server.http_port)
    connection.send(said)
    assert (await connection.rest()).count(b"alive") == said.count(b"healthz")


async def test_a_byte_now_and_then_buys_no_time(server: Server, line: OpenLine) -> None:
    connection = await line(server.http_port)
    head = request(headers="X: " + "a" * 4000)
    await hung_up_on(connection, (bytes([byte]) for byte in head))


async def until_gone(server: Server, connection: Line) -> None:
    """Wait until the server, which has had this connection, has it no more."""
    here = connection.writer.get_extra_info("sockname")[1]
    process = psutil.Process(server.pid)
    async with asyncio.timeout(10):
        while any(s.raddr and s.raddr.port == here for s in process.net_connections("tcp")):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_who_asks_and_does_not_read_is_hung_up_on(server: Server, line: OpenLine) -> None:
    connection = await line(server.http_port)
    connection.send(request())
    assert (await connection.read()).status == 200
    asked = 4000
    connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
    connection.send(request("/metrics") * asked)
    await until_gone(server, connection)
    connection.writer.transport.resume_reading()  # type: ignore[attr-defined]
    assert (await connection.rest()).count(b"HTTP/1.1 200") < asked


async def test_as_many_connections_as_allowed_one_more_and_twice_as_many(
    start_server: StartServer, line: OpenLine
) -> None:
    server = await start_server(http_connections_max=3)
    held = [await line(server.http_port) for _ in range(2)]
    third = await line(server.http_port)
    third.send(request())
    assert (await third.read()).status == 200
    fourth = await line(server.http_port)
    fourth.send(request())
    answer = await fourth.read()
    refused(answer, 503, Code.TOO_MANY_CONNECTIONS)
    assert answer.headers["connection"] == "close"
    assert await fourth.rest() == b""
    held += [await line(server.http_port) for _ in range(3)]
    seventh = await line(server.http_port)
    assert await seventh.rest() == b""
    async with await dial(server.url) as client:
        await client.ask(Ping(), Pong)  # the other port knows nothing of it
    for connection in held:
        connection.close()
    async with asyncio.timeout(10):
        while True:
            third.send(request())
            if (await third.read()).status == 200:
                break
            third = await line(server.http_port)
