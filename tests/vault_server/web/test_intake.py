"""What a request's body may cost: chunks and bytes are counted, and a request with two lengths is none."""

from __future__ import annotations

from collections.abc import AsyncIterator

import h11
import pytest

from protocol.errors import Code
from tests.processes import Server
from tests.vault_server.web.conftest import OpenLine
from tests.vault_server.web.http import get, request, say
from tests.vault_server.web.test_strangers import refused
from vault_server.web.intake import CHUNKS_MAX, READ_AHEAD_BYTES, Intake

BODY_BYTES = 4096
HEAD_BYTES = 2048
CHUNKED = "Transfer-Encoding: chunked\r\n"
CHUNK = b"1\r\n \r\n"
END = b"0\r\n\r\n"

SETTINGS: dict[str, object] = {"http_header_bytes_max": HEAD_BYTES, "hive_body_bytes_max": BODY_BYTES}


@pytest.fixture
async def server(shared_server: Server) -> AsyncIterator[Server]:
    """A server with small bounds, which is well afterwards."""
    yield shared_server
    assert (await get(shared_server.http_port, "/healthz")).status == 200


def parsed(data: bytes, *, piece: int) -> tuple[Intake, list[object]]:
    """Everything that is made of a peer's bytes, and what made it."""
    intake, events = Intake(HEAD_BYTES, BODY_BYTES), list[object]()
    for start in range(0, len(data), piece):
        intake.receive_data(data[start : start + piece])
        try:
            while (event := intake.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
                events.append(event)
        except h11.RemoteProtocolError:
            break
    return intake, events


@pytest.mark.parametrize("piece", [10_000_000, 65_536, 7])
def test_a_million_chunks_cost_as_much_as_those_that_are_allowed(piece: int) -> None:
    intake, events = parsed(request("/login", "POST", CHUNKED) + 1_000_000 * CHUNK + END, piece=piece)
    assert intake.objection is not None
    assert intake.objection.refusal.code is Code.TOO_LARGE
    assert intake.chunks == CHUNKS_MAX + 1
    assert len(events) == 1 + CHUNKS_MAX
    with pytest.raises(h11.RemoteProtocolError):
        intake.next_event()
    assert intake.chunks == CHUNKS_MAX + 1


def test_each_request_of_a_connection_has_chunks_of_its_own() -> None:
    intake = Intake(HEAD_BYTES, BODY_BYTES)
    for _ in range(3):
        intake.receive_data(request("/login", "POST", CHUNKED) + CHUNKS_MAX * CHUNK + END)
        events = []
        while (event := intake.next_event()) is not h11.PAUSED:
            events.append(event)
            assert event is not h11.NEED_DATA
            if isinstance(event, h11.EndOfMessage):
                break
        assert len(events) == CHUNKS_MAX + 2
        intake.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
        intake.send(h11.EndOfMessage())
        intake.start_next_cycle()
    assert intake.objection is None


@pytest.mark.parametrize("framing", ["chunk", "extension", "length"])
def test_the_bytes_of_a_body_are_bounded_however_it_comes(framing: str) -> None:
    bytes_max = HEAD_BYTES + BODY_BYTES + READ_AHEAD_BYTES
    heads = {"chunk": CHUNKED, "extension": CHUNKED, "length": f"Content-Length: {10 * bytes_max}\r\n"}
    pieces = {
        "chunk": b"400\r\n" + bytes(1024) + b"\r\n",
        "extension": b"1;" + b"x" * 1024 + b"\r\n \r\n",
        "length": bytes(1024),
    }
    intake = Intake(HEAD_BYTES, BODY_BYTES)
    intake.receive_data(request("/login", "POST", heads[framing]))
    assert isinstance(intake.next_event(), h11.Request)
    sent = 0
    with pytest.raises(h11.RemoteProtocolError):  # noqa: PT012 - how far it gets is the question
        while sent < 10 * bytes_max:
            intake.receive_data(pieces[framing])
            sent += len(pieces[framing])
            while intake.next_event() is not h11.NEED_DATA:
                pass
    assert bytes_max < sent <= bytes_max + len(pieces[framing])


async def test_as_many_chunks_as_allowed_and_one_more(server: Server, line: OpenLine) -> None:
    taken = await line(server.http_port)
    taken.send(request("/nowhere", "POST", CHUNKED) + CHUNKS_MAX * CHUNK + END)
    refused(await taken.read(), 404, Code.PATH_NOT_FOUND)
    taken.send(request())
    assert (await taken.read()).status == 200
    stopped = await line(server.http_port)
    stopped.send(request("/nowhere", "POST", CHUNKED) + (CHUNKS_MAX + 1) * CHUNK + END + request())
    said = await stopped.rest()
    assert said.count(b"HTTP/1.1") == 1
    assert b"alive" not in said


@pytest.mark.parametrize("path", ["/login", "/api/v1/tasks", "/healthz"])
async def test_a_million_chunks_are_refused_wherever_they_go(server: Server, path: str, line: OpenLine) -> None:
    connection = await line(server.http_port)
    method = "GET" if path == "/healthz" else "POST"
    connection.send(request(path, method, CHUNKED) + 1_000_000 * CHUNK)
    said = await connection.rest()
    assert b" 200 " not in said
    assert said.count(b"HTTP/1.1") <= 1


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/healthz", "/api/v1/tasks", "/tasks"])
async def test_what_has_no_body_is_refused_with_one(server: Server, path: str, method: str, line: OpenLine) -> None:
    connection = await line(server.http_port)
    connection.send(request(path, method, CHUNKED) + CHUNK + END + request())
    said = await connection.rest()
    assert said.startswith(b"HTTP/1.1 400 ")
    assert said.count(b"HTTP/1.1") == 1


async def test_a_request_with_two_lengths_is_none(server: Server, line: OpenLine) -> None:
    both = "Content-Length: 4\r\n" + CHUNKED
    answer = await say(server.http_port, request("/login", "POST", both) + END)
    assert "RFC 9112" in answer.json["suggestion"]
    refused(answer, 400, Code.MALFORMED)
    connection = await line(server.http_port)
    connection.send(request("/login", "POST", both) + END + request())
    assert (await connection.rest()).count(b"HTTP/1.1") == 1
