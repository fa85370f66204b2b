"""One peer's flood of small things: each is answered, the others are served, and the log is not filled."""

from __future__ import annotations

from protocol.errors import Code
from protocol.peer import PLAIN_MSGPACK
from protocol.session import Error, Ping, Pong
from protocol.vault import AskStatus
from tests.acceptance.conversation import next_envelope, write_at_once
from tests.dialling import dial
from tests.processes import Server
from vault_server.gateway.connection import REFUSALS_LOGGED
from vault_server.gateway.websocket import FRAGMENTS_MAX, FRAMES_A_TURN

UNSUPPORTED = b"\x82\xa4type\xa1x\xa2id\x01"
"""{"type": "x", "id": 1} in msgpack."""


async def test_a_flood_of_tiny_frames_is_answered_in_full_and_does_not_fill_the_log(server: Server) -> None:
    count = 20 * FRAMES_A_TURN
    async with (
        await dial(server.url, subprotocol=PLAIN_MSGPACK) as flooder,
        await dial(server.url) as other,
    ):
        for _ in range(count):
            flooder.socket.protocol.send_binary(UNSUPPORTED)
        write_at_once(flooder.socket)
        await other.send(Ping())
        await other.receive(Pong)
        for _ in range(count):
            message = (await next_envelope(flooder)).message
            assert isinstance(message, Error)
            assert message.code == Code.UNSUPPORTED_TYPE
        await flooder.send(Ping())
        await flooder.receive(Pong)
    await server.event("connection.closed", count=2)
    lines = server.find("message.refused", code=Code.UNSUPPORTED_TYPE.value)
    assert REFUSALS_LOGGED <= len(lines) <= REFUSALS_LOGGED + count.bit_length()
    assert lines[-1]["count"] > count // 2


async def test_the_order_of_a_flood_is_kept(server: Server) -> None:
    count = 3 * FRAMES_A_TURN + 1
    async with await dial(server.url) as client:
        numbers = []
        for _ in range(count):
            number, frame = client.peer.request(AskStatus(task="0" * 32))
            assert isinstance(frame, bytes)
            numbers.append(number)
            client.socket.protocol.send_binary(frame)
        write_at_once(client.socket)
        assert [(await next_envelope(client)).re for _ in range(count)] == numbers


async def test_a_message_in_more_fragments_than_any_needs_ends_the_connection(server: Server) -> None:
    async with await dial(server.url) as client:
        protocol = client.socket.protocol
        protocol.send_binary(b"", fin=False)
        for _ in range(FRAGMENTS_MAX):
            protocol.send_continuation(b"", fin=False)
        write_at_once(client.socket)
        assert await client.closed() == 1009


async def test_a_message_in_thousands_of_empty_fragments_is_one_message(server: Server) -> None:
    async with await dial(server.url) as client:
        number, frame = client.peer.request(Ping())
        assert isinstance(frame, bytes)
        protocol = client.socket.protocol
        protocol.send_binary(b"", fin=False)
        for _ in range(5_000):
            protocol.send_continuation(b"", fin=False)
        protocol.send_continuation(frame, fin=True)
        write_at_once(client.socket)
        assert (await next_envelope(client)).re == number
