"""Frames out as the library of the other end reads them, and in which order."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import Any, cast

import pytest
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidState
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from vault_server.gateway.websocket import WebSocket
from vault_server.settings import Settings


class Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.ends = 0

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def get_write_buffer_size(self) -> int:
        return 0

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ends += 1


class Talk(WebSocket):
    """A conversation that keeps what it hears."""

    def __init__(self) -> None:
        super().__init__(Settings())
        self.heard: list[bytes] = []

    def say(self, frame: bytes | str) -> None:
        self._write(frame)

    def _select_subprotocol(self, offered: Sequence[Subprotocol]) -> Subprotocol | None:
        return None

    def _open(self, request: Request) -> None:
        self._ws.send_response(self._ws.accept(request))

    def _take_message(self, payload: bytes) -> None:
        self.heard.append(payload)

    def _take_ping(self) -> None:
        pass

    def _leave(self) -> None:
        pass

    def _lost(self) -> None:
        pass

    def _is_slow(self) -> None:
        raise AssertionError("nothing waits in this transport")


class Both:
    """Two ends without a socket between them."""

    def __init__(self) -> None:
        self.server, self.wire = Talk(), Wire()
        self.client = ClientProtocol(parse_uri("ws://here/"), max_size=None)
        self.server.connection_made(cast(asyncio.BaseTransport, cast(Any, self.wire)))
        self.client.send_request(self.client.connect())
        self.to_server()
        assert [type(event).__name__ for event in self.from_server()] == ["Response"]

    def to_server(self) -> None:
        """What the client has to send arrives at once."""
        self.server.data_received(b"".join(self.client.data_to_send()))

    def from_server(self) -> list[Any]:
        """What the client reads of all that was written since."""
        self.client.receive_data(b"".join(self.wire.writes))
        self.wire.writes.clear()
        return self.client.events_received()


@pytest.fixture
async def both() -> Both:
    return Both()


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 2**16 - 1, 2**16, 2**16 + 1])
async def test_a_frame_of_any_size_arrives_as_it_was(both: Both, size: int) -> None:
    payload = os.urandom(size)
    both.server.say(payload)
    await asyncio.sleep(0)
    assert both.wire.writes == [Frame(Opcode.BINARY, payload).serialize(mask=False)]
    assert both.from_server() == [Frame(Opcode.BINARY, payload)]


async def test_frames_of_one_turn_leave_in_one_write(both: Both) -> None:
    both.server.say(b"one")
    both.server.say("two")
    both.server.say(b"three")
    assert both.wire.writes == []
    await asyncio.sleep(0)
    assert len(both.wire.writes) == 1
    assert [bytes(frame.data) for frame in both.from_server()] == [b"one", b"two", b"three"]


async def test_what_the_library_answers_keeps_its_place(both: Both) -> None:
    both.client.send_ping(b"between")
    ping = b"".join(both.client.data_to_send())
    both.server.say(b"before")
    both.server._ws.receive_data(ping)  # read within the turn in which the others are written
    both.server.say(b"after")
    both.server.ping()
    assert [(frame.opcode, bytes(frame.data)) for frame in both.from_server()] == [
        (Opcode.BINARY, b"before"),
        (Opcode.PONG, b"between"),
        (Opcode.BINARY, b"after"),
        (Opcode.PING, b""),
    ]


async def test_nothing_follows_a_close(both: Both) -> None:
    both.server.say(b"last word")
    both.server.close(1000, "exit")
    with pytest.raises(InvalidState):
        both.server.say(b"too late")
    await asyncio.sleep(0)
    assert [frame.opcode for frame in both.from_server()] == [Opcode.BINARY, Opcode.CLOSE]
    assert both.wire.ends == 0
    both.to_server()  # the client's library has answered
    assert both.wire.ends == 1
    for timer in both.server._timers:
        timer.cancel()


async def test_what_was_said_before_the_peers_close_goes_out(both: Both) -> None:
    both.server.say(b"reply")
    both.client.send_close(1000, "done")
    both.to_server()
    assert [frame.opcode for frame in both.from_server()] == [Opcode.BINARY, Opcode.CLOSE]
    assert both.wire.ends == 1
    for timer in both.server._timers:
        timer.cancel()


async def test_fragments_are_one_message(both: Both) -> None:
    both.client.send_binary(b"in ", fin=False)
    both.client.send_continuation(b"three ", fin=False)
    both.client.send_ping(b"")  # control frames may stand between
    both.client.send_continuation(b"parts", fin=True)
    both.client.send_binary(b"whole")
    both.to_server()
    assert both.server.heard == [b"in three parts", b"whole"]
