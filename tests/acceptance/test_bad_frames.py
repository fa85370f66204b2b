"""Frames that are no message: each is answered by its documented code or close code, and the server goes on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator
from typing import Any

import msgpack
import pytest
import websockets.asyncio.client
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol as SubprotocolName

from protocol.errors import Code
from protocol.peer import PLAIN_JSON, PLAIN_MSGPACK, SEALED, SUBPROTOCOLS, Subprotocol
from protocol.session import Error, Ping, Pong
from protocol.vault import SOLVER_PATH, SubmitPuzzle
from tests.acceptance.conversation import goes_on, keeps_secrets, look_at, next_envelope, refused, write_at_once
from tests.acceptance.puzzles import Maker
from tests.conftest import StartServer
from tests.dialling import Dialled, dial
from tests.processes import Server

FRAME_BYTES_MAX = 8192
SETTINGS: dict[str, object] = {"frame_bytes_max": FRAME_BYTES_MAX, "bad_messages_max": 100_000}
"""Of the shared server; the limit of bad messages has a test of its own."""

NUMBER = 77
SEED = 20_240_229
"""Random frames are the same in each run; the seed is any number."""


def sealed(dialled: Dialled, payload: bytes) -> bytes:
    """A frame of any bytes, sealed as the next one of this connection."""
    assert dialled.peer._sealer is not None
    return dialled.peer._sealer.seal(payload)


# truncated, random, deeply nested


async def test_every_truncation_of_a_message_is_refused(shared_server: Server, maker: Maker) -> None:
    order, answer = maker.order()
    async with await dial(shared_server.url, subprotocol=PLAIN_MSGPACK) as client:
        _, whole = client.peer.request(order)
        assert isinstance(whole, bytes)
        for length in range(0, len(whole), 3):
            error = await refused(client, whole[:length], Code.MALFORMED, number=None)
            keeps_secrets(error, [order.baseg, order.product, answer])
        await goes_on(client, maker)


async def test_every_truncation_of_a_text_message_is_refused(shared_server: Server, maker: Maker) -> None:
    order, _ = maker.order()
    async with await dial(shared_server.url, subprotocol=PLAIN_JSON) as client:
        _, whole = client.peer.request(order)
        assert isinstance(whole, str)
        for length in range(0, len(whole), 7):
            error = await refused(client, whole[:length], Code.MALFORMED, number=None)
            keeps_secrets(error, [order.baseg, order.product])
        await goes_on(client, maker)


@pytest.mark.parametrize("subprotocol", SUBPROTOCOLS.values(), ids=lambda s: s.name)
async def test_random_frames_are_refused_one_by_one(
    shared_server: Server, maker: Maker, subprotocol: Subprotocol
) -> None:
    drawn = random.Random(SEED)
    async with await dial(shared_server.url, subprotocol=subprotocol) as client:
        for _ in range(100):
            payload = drawn.randbytes(drawn.randrange(1, 200))
            if subprotocol is PLAIN_JSON:
                await client.socket.send(payload.decode("latin-1"))
            else:
                await client.socket.send(sealed(client, payload) if subprotocol.sealed else payload)
            envelope = await next_envelope(client)
            assert isinstance(envelope.message, Error)
            look_at(envelope.message, Code(envelope.message.code))
            assert envelope.message.code in (Code.MALFORMED, Code.MISSING_FIELD)
        await goes_on(client, maker)


ODD_MSGPACK = {
    "no bytes": b"",
    "nil": b"\xc0",
    "a number": b"\x05",
    "a list": b"\x91\x01",
    "a reserved byte": b"\xc1",
    "two messages": msgpack.packb({"type": "ping", "id": 1}) * 2,
    "a list that claims 2^32-1 items": b"\xdd\xff\xff\xff\xff",
    "a map that claims 2^32-1 items": b"\xdf\xff\xff\xff\xff",
    "a string that claims 2^32-1 bytes": b"\xdb\xff\xff\xff\xff",
    "an extension that claims 2^32-1 bytes": b"\xc9\xff\xff\xff\xff\x01",
    "a string that is not UTF-8": b"\x81\xa4type\xa2\xff\xfe",
    "a number as key": b"\x81\x01\x01",
    "bytes as key": b"\x81\xc4\x04type\xa4ping",
    "a list as key": b"\x81\x91\x01\x01",
}
ODD_JSON = {
    "nothing": "",
    "null": "null",
    "a number": "5",
    "a list": "[1]",
    "a string": '"ping"',
    "two messages": '{"type":"ping","id":1}{"type":"ping","id":2}',
    "a comma too many": '{"type":"ping","id":1,}',
    "single quotes": "{'type':'ping','id':1}",
    "a NUL": '{"type":"ping","id":1}\0',
    "a number of 5000 digits": '{"type":"ping","id":' + "1" * 5000 + "}",
}


@pytest.mark.parametrize("name", ODD_MSGPACK)
async def test_odd_msgpack_is_malformed(shared_server: Server, maker: Maker, name: str) -> None:
    async with await dial(shared_server.url, subprotocol=PLAIN_MSGPACK) as client:
        await refused(client, ODD_MSGPACK[name], Code.MALFORMED, number=None)
        await goes_on(client, maker)


@pytest.mark.parametrize("name", ODD_JSON)
async def test_odd_json_is_malformed(shared_server: Server, maker: Maker, name: str) -> None:
    async with await dial(shared_server.url, subprotocol=PLAIN_JSON) as client:
        await refused(client, ODD_JSON[name], Code.MALFORMED, number=None)
        await goes_on(client, maker)


async def test_numbers_that_json_stretches_are_refused_by_field(shared_server: Server, maker: Maker) -> None:
    async with await dial(shared_server.url, subprotocol=PLAIN_JSON) as client:
        for number in ("NaN", "Infinity", "-Infinity", "1e999", "1e2", "1.0"):
            await refused(client, f'{{"type":"ping","id":{number}}}', Code.BAD_FIELD, number=None)
        await refused(client, '{"type":"\\ud800","id":1}', Code.UNSUPPORTED_TYPE, number=1)
        await goes_on(client, maker)


def nested(depth: int) -> dict[str, Any]:
    """A ping with an extra field, `depth` levels deep in all."""
    value: Any = 1
    for level in range(depth - 1):
        value = [value] if level % 2 else {"a": value}
    return {"type": "ping", "id": NUMBER, "extra": value}


async def test_nesting_is_refused_beyond_what_messages_do(shared_server: Server, maker: Maker) -> None:
    async with await dial(shared_server.url, subprotocol=PLAIN_MSGPACK) as binary:
        await refused(binary, msgpack.packb(nested(3)), Code.UNKNOWN_FIELD, number=NUMBER)
        for frame in (msgpack.packb(nested(4)), msgpack.packb(nested(100)), b"\x91" * 8000 + b"\x01"):
            await refused(binary, frame, Code.TOO_DEEP, number=None)
        await goes_on(binary, maker)
    async with await dial(shared_server.url, subprotocol=PLAIN_JSON) as text:
        await refused(text, json.dumps(nested(3)), Code.UNKNOWN_FIELD, number=NUMBER)
        opened = '{"a":' * 1300 + "1" + "}" * 1300
        for written in (json.dumps(nested(4)), json.dumps(nested(100)), opened):
            await refused(text, written, Code.TOO_DEEP, number=None)
        await goes_on(text, maker)


# sizes


async def test_a_frame_of_exactly_the_limit_is_read_and_one_byte_more_is_not(
    shared_server: Server, maker: Maker
) -> None:
    async with await dial(shared_server.url, subprotocol=PLAIN_JSON) as client:
        await client.socket.send('{"type":"ping","id":5}'.ljust(FRAME_BYTES_MAX))
        assert (await next_envelope(client)).re == 5
        await refused(client, '{"type":"ping","id":6}'.ljust(FRAME_BYTES_MAX + 1), Code.TOO_LARGE, number=None)
        await goes_on(client, maker)


def padded(dialled: Dialled, maker: Maker, payload_bytes: int) -> bytes:
    """A `tlp` whose idempotency key, far too long, fills the frame up to that many bytes, unsealed."""
    order, _ = maker.order()

    def of(length: int) -> bytes:
        _, frame = dialled.peer.request(
            SubmitPuzzle(t=order.t, baseg=order.baseg, product=order.product, idempotency_key="k" * length)
        )
        assert isinstance(frame, bytes)
        return frame

    tag = 16 if dialled.peer.subprotocol.sealed else 0
    spare = payload_bytes - (len(of(1000)) - tag) + 1000
    dialled.peer._last_id = 0
    if dialled.peer._sealer is not None:
        dialled.peer._sealer._frames -= 1
    frame = of(spare)
    assert len(frame) == payload_bytes + tag
    return frame


@pytest.mark.parametrize("subprotocol", [SEALED, PLAIN_MSGPACK], ids=lambda s: s.name)
async def test_the_limit_counts_the_bytes_that_were_sealed(
    shared_server: Server, maker: Maker, subprotocol: Subprotocol
) -> None:
    async with await dial(shared_server.url, subprotocol=subprotocol) as client:
        await refused(client, padded(client, maker, FRAME_BYTES_MAX), Code.BAD_FIELD, number=1)
        await refused(client, padded(client, maker, FRAME_BYTES_MAX + 1), Code.TOO_LARGE, number=None)
        await goes_on(client, maker)


@pytest.mark.parametrize("size", [2 * FRAME_BYTES_MAX + 1, 2_000_000])
@pytest.mark.parametrize("subprotocol", [SEALED, PLAIN_MSGPACK], ids=lambda s: s.name)
async def test_a_frame_far_above_the_limit_closes_the_connection(
    shared_server: Server, maker: Maker, subprotocol: Subprotocol, size: int
) -> None:
    async with await dial(shared_server.url, subprotocol=subprotocol) as client:
        with contextlib.suppress(ConnectionClosed):  # the server need not wait for its end
            await client.socket.send(bytes(size))
        assert await client.closed() == 1009
    async with await dial(shared_server.url, subprotocol=subprotocol) as again:
        await goes_on(again, maker)


async def test_who_goes_on_sending_far_above_the_limit_still_reads_why_it_was_closed(
    shared_server: Server, maker: Maker
) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(60):
            yield bytes(FRAME_BYTES_MAX // 4)
            await asyncio.sleep(0.01)

    async with await dial(shared_server.url, subprotocol=PLAIN_MSGPACK) as client:
        client.socket.transport.pause_reading()  # as a program that sends first and reads later
        await client.socket.send(endless())
        client.socket.transport.resume_reading()
        assert await client.closed() == 1009
    async with await dial(shared_server.url) as again:
        await goes_on(again, maker)


# text where binary is due, too many bad messages, altered seals


async def test_text_where_binary_is_due_and_the_other_way_round(shared_server: Server, maker: Maker) -> None:
    for subprotocol in (SEALED, PLAIN_MSGPACK):
        async with await dial(shared_server.url, subprotocol=subprotocol) as client:
            await refused(client, '{"type":"ping","id":1}', Code.WRONG_FRAME, number=None)
            await goes_on(client, maker)
    async with await dial(shared_server.url, subprotocol=PLAIN_JSON) as client:
        await refused(client, b'{"type":"ping","id":1}', Code.WRONG_FRAME, number=None)
        await goes_on(client, maker)


async def test_text_that_is_no_text_closes_the_connection(shared_server: Server, maker: Maker) -> None:
    async with await dial(shared_server.url, subprotocol=PLAIN_JSON) as client:
        client.socket.protocol.send_text(b"\xff\xfe")
        write_at_once(client.socket)
        assert await client.closed() == 1007
    async with await dial(shared_server.url) as again:
        await goes_on(again, maker)


async def test_so_many_bad_messages_are_forgiven_and_one_more_is_not(start_server: StartServer, maker: Maker) -> None:
    server = await start_server(bad_messages_max=3)
    async with await dial(server.url, subprotocol=PLAIN_MSGPACK) as client:
        assert client.welcome.limits["bad_messages_max"] == 3
        for frame, code in ((b"\xc1", Code.MALFORMED), ("text", Code.WRONG_FRAME), (b"\x91" * 9, Code.MALFORMED)):
            await refused(client, frame, code, number=None)
        for _ in range(9):  # a message that is refused is a message
            await refused(client, msgpack.packb({"type": "tlpp", "id": 1}), Code.UNSUPPORTED_TYPE, number=1)
        await goes_on(client, maker)
        await refused(client, b"\xc1", Code.MALFORMED, number=None)
        assert await client.closed() == 4400
    async with await dial(server.url) as again:
        await goes_on(again, maker)


@pytest.mark.parametrize("where", ["first bit", "a bit in the middle", "last bit of the tag"])
async def test_a_sealed_frame_with_one_bit_flipped_ends_the_session(
    shared_server: Server, maker: Maker, where: str
) -> None:
    async with await dial(shared_server.url) as client:
        order, _ = maker.order()
        _, frame = client.peer.request(order)
        assert isinstance(frame, bytes)
        altered = bytearray(frame)
        index = {"first bit": 0, "a bit in the middle": len(frame) // 2, "last bit of the tag": len(frame) - 1}[where]
        altered[index] ^= 1
        error = await refused(client, bytes(altered), Code.BAD_SEAL, number=None)
        keeps_secrets(error, [order.baseg, order.product])
        assert await client.closed() == 4400
    async with await dial(shared_server.url) as again:
        await goes_on(again, maker)


async def test_a_repeated_a_lost_and_a_swapped_frame_end_the_session(shared_server: Server, maker: Maker) -> None:
    for order in ([0, 0], [1], [1, 0]):
        async with await dial(shared_server.url) as client:
            frames = [client.peer.request(Ping())[1] for _ in range(2)]
            for number in order:
                await client.socket.send(frames[number])
            if order[0] == 0:
                assert isinstance((await next_envelope(client)).message, Pong)
            look_at(await client.error(), Code.BAD_SEAL)
            assert await client.closed() == 4400
    async with await dial(shared_server.url) as again:
        await goes_on(again, maker)


# WebSocket as others speak it


@pytest.mark.parametrize("subprotocol", SUBPROTOCOLS.values(), ids=lambda s: s.name)
async def test_fragmented_messages_are_put_together(
    shared_server: Server, maker: Maker, subprotocol: Subprotocol
) -> None:
    async with await dial(shared_server.url, SOLVER_PATH, subprotocol=subprotocol) as peer:
        number, frame = peer.peer.request(Ping())

        async def in_pieces() -> AsyncIterator[str | bytes]:
            yield frame[:1]
            yield frame[1:5]
            await peer.socket.ping()  # control frames may come between fragments (RFC 6455 §5.4)
            yield frame[5:5]
            yield frame[5:]

        await peer.socket.send(in_pieces())
        assert (await next_envelope(peer)).re == number
        await goes_on(peer, maker)


@pytest.mark.parametrize("subprotocol", SUBPROTOCOLS.values(), ids=lambda s: s.name)
async def test_every_subprotocol_works_on_loopback(
    shared_server: Server, maker: Maker, subprotocol: Subprotocol
) -> None:
    async with await dial(shared_server.url, subprotocol=subprotocol) as client:
        await goes_on(client, maker)


@pytest.mark.parametrize("offered", [None, ["chat"], ["vault.v2.sealed"]], ids=str)
async def test_no_common_subprotocol_is_http_400(
    shared_server: Server, maker: Maker, offered: list[str] | None
) -> None:
    names = None if offered is None else [SubprotocolName(name) for name in offered]
    with pytest.raises(InvalidStatus) as raised:
        await websockets.asyncio.client.connect(f"{shared_server.url}/client", subprotocols=names, proxy=None)
    assert raised.value.response.status_code == 400
    assert b"vault.v1.sealed" in (raised.value.response.body or b"") or offered is not None
    async with await dial(shared_server.url) as again:
        await goes_on(again, maker)


@pytest.mark.parametrize("path", ["/", "/clients", "/client/", "/client?key=1", "/solver%20", "//client"])
async def test_an_unknown_path_is_http_404_and_names_the_endpoints(shared_server: Server, path: str) -> None:
    with pytest.raises(InvalidStatus) as raised:
        await websockets.asyncio.client.connect(
            shared_server.url + path, subprotocols=[SubprotocolName(SEALED.name)], proxy=None
        )
    assert raised.value.response.status_code == 404
    body = raised.value.response.body or b""
    assert b"/client" in body
    assert b"/solver" in body


NOTHING = b""
"""What is no HTTP at all, or another method, is closed without a word."""
REQUESTS = {
    "a plain GET": (b"GET /client HTTP/1.1\r\nHost: here\r\n\r\n", b"426"),
    "a POST": (b"POST /client HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\n\r\n{}", NOTHING),
    "HTTP/1.0": (b"GET /client HTTP/1.0\r\n\r\n", b"505"),
    "a TLS hello": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200) + b"\r\n\r\n", NOTHING),
    "a line without end": (b"GET /" + b"a" * 100_000, b"414"),
    "a thousand headers": (b"GET /client HTTP/1.1\r\n" + b"X: y\r\n" * 1000 + b"\r\n", b"431"),
}


@pytest.mark.parametrize("name", REQUESTS)
async def test_what_is_no_websocket_is_answered_in_http_and_closed(
    shared_server: Server, maker: Maker, name: str
) -> None:
    request, status = REQUESTS[name]
    reader, writer = await asyncio.open_connection("127.0.0.1", shared_server.port)
    async with asyncio.timeout(30):
        writer.write(request)
        answer = await reader.read()
    writer.close()
    assert answer[:12] == (b"HTTP/1.1 " + status if status else b""), answer[:100]
    async with await dial(shared_server.url) as again:
        await goes_on(again, maker)
