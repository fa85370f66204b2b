"""Handshakes that prove nothing: each is refused by its documented code, and the server goes on."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Self

import pytest
import websockets.asyncio.client
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol as SubprotocolName

from protocol import sealing
from protocol.address import KnownServers, PinMismatch, parse_address
from protocol.catalog import FROM_SERVER
from protocol.codec import Codec
from protocol.envelope import Envelope, Message
from protocol.errors import Code
from protocol.identity import Identity
from protocol.peer import PLAIN_JSON, PLAIN_MSGPACK, SEALED, SUBPROTOCOLS, DiallingPeer, HandshakeRefused
from protocol.sealing import Opening
from protocol.session import Challenge, Error, Hello, Ping, Pong
from protocol.vault import CLIENT_PATH, SOLVER_PATH, PuzzleAccepted
from tests.acceptance.conversation import dial_solver, goes_on, look_at, write_at_once
from tests.acceptance.puzzles import Maker
from tests.conftest import StartServer
from tests.dialling import dial
from tests.processes import Server

SETTINGS: dict[str, object] = {}


class Greeting:
    """A connection that has read the challenge and answers it with a hello of the test's own making."""

    def __init__(self, server: Server, path: str = CLIENT_PATH, offered: Sequence[str] = (SEALED.name,)) -> None:
        self.authority = parse_address(server.url).authority
        self.opening = Opening(path, tuple(offered), offered[0])
        self.codec = Codec(
            binary=SUBPROTOCOLS[offered[0]].binary, reads=FROM_SERVER, strict=False, frame_bytes_max=1 << 16
        )
        self.connecting = websockets.asyncio.client.connect(
            server.url + path, subprotocols=[SubprotocolName(name) for name in offered], proxy=None
        )

    async def __aenter__(self) -> Self:
        self.socket = await self.connecting
        challenge = (await self.read()).message
        assert isinstance(challenge, Challenge)
        self.challenge = challenge
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.socket.close()

    async def read(self) -> Envelope:
        frame = await asyncio.wait_for(self.socket.recv(), 5)
        return self.codec.decode(frame.encode() if isinstance(frame, str) else frame)

    def hello(
        self,
        identity: Identity,
        *,
        opening: Opening | None = None,
        challenge: Challenge | None = None,
        authority: str | None = None,
        ephemeral: bytes = b"\x09" + bytes(31),
    ) -> Hello:
        """A hello with a signature that holds, over what is given or else over what is true."""
        name = authority or self.authority
        body = sealing.hello_body(identity.public_key, ephemeral, b"n" * 32, name, "tests")
        signed = sealing.hello_signed(opening or self.opening, challenge or self.challenge, name, body)
        return Hello(
            key=identity.public_key,
            ephemeral=ephemeral,
            nonce=b"n" * 32,
            authority=name,
            agent="tests",
            signature=identity.sign(signed),
        )

    async def send(self, message: Message) -> bytes:
        frame = self.codec.encode(Envelope(message))
        await self.socket.send(frame if self.codec.binary else frame.decode())
        return frame

    async def refused(self, code: Code, close: int) -> Error:
        """The next message is that refusal, and the connection ends."""
        error = (await self.read()).message
        assert isinstance(error, Error)
        look_at(error, code)
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(self.socket.recv(), 5)
        assert self.socket.close_code == close
        return error


async def serves(server: Server, maker: Maker) -> None:
    """An honest client is served after all that."""
    async with await dial(server.url) as client:
        await goes_on(client, maker)


@pytest.mark.parametrize("path", [CLIENT_PATH, SOLVER_PATH])
@pytest.mark.parametrize("subprotocol", SUBPROTOCOLS)
async def test_a_hello_made_by_these_tests_is_taken_when_nothing_is_wrong(
    shared_server: Server, path: str, subprotocol: str
) -> None:
    async with Greeting(shared_server, path, [subprotocol]) as greeting:
        await greeting.send(greeting.hello(Identity.generate()))
        if SUBPROTOCOLS[subprotocol].sealed:
            frame = await asyncio.wait_for(greeting.socket.recv(), 5)
            assert b"welcome" not in frame, "the welcome is sealed"
        else:
            assert (await greeting.read()).message.SHAPE.wire_type == "welcome"


@pytest.mark.parametrize("subprotocol", SUBPROTOCOLS)
async def test_a_replayed_hello_is_refused(shared_server: Server, maker: Maker, subprotocol: str) -> None:
    async with Greeting(shared_server, offered=[subprotocol]) as first:
        frame = await first.send(first.hello(Identity.generate()))
        await asyncio.wait_for(first.socket.recv(), 5)
        async with Greeting(shared_server, offered=[subprotocol]) as second:
            await second.socket.send(frame if second.codec.binary else frame.decode())
            await second.refused(Code.HELLO_REFUSED, 4401)
    await serves(shared_server, maker)


async def test_a_hello_for_another_conversation_is_refused(shared_server: Server, maker: Maker) -> None:
    """Everything that is signed, changed one by one; each hello is well signed for something that is not so."""
    me = Identity.generate()
    async with Greeting(shared_server) as elsewhere:
        other_challenge = elsewhere.challenge

    def wrong(greeting: Greeting) -> dict[str, Hello]:
        good = greeting.hello(me)
        truth, challenge = greeting.opening, greeting.challenge
        return {
            "path": greeting.hello(me, opening=Opening(SOLVER_PATH, truth.offered, truth.chosen)),
            "offer": greeting.hello(me, opening=Opening(truth.path, (PLAIN_MSGPACK.name, SEALED.name), truth.chosen)),
            "choice": greeting.hello(me, opening=Opening(truth.path, truth.offered, PLAIN_MSGPACK.name)),
            "challenge": greeting.hello(me, challenge=other_challenge),
            "server key": greeting.hello(me, challenge=dataclasses.replace(challenge, server_key=b"k" * 32)),
            "server ephemeral": greeting.hello(me, challenge=dataclasses.replace(challenge, ephemeral=b"\x09" * 32)),
            "server time": greeting.hello(me, challenge=dataclasses.replace(challenge, server_time_ms=1)),
            "authority": dataclasses.replace(greeting.hello(me, authority="relay.example:443"), authority=self_name),
            "key": dataclasses.replace(good, key=Identity.generate().public_key),
            "signature": dataclasses.replace(good, signature=bytes(64)),
            "one bit": dataclasses.replace(good, signature=bytes([good.signature[0] ^ 1]) + good.signature[1:]),
            "nonce": dataclasses.replace(good, nonce=b"m" * 32),
            "ephemeral": dataclasses.replace(good, ephemeral=b"\x0a" + bytes(31)),
            "agent": dataclasses.replace(good, agent="somebody else"),
            "low order": greeting.hello(me, ephemeral=bytes(32)),
        }

    self_name = shared_server.authority
    async with Greeting(shared_server) as sample:
        names = list(wrong(sample))
    for name in names:
        async with Greeting(shared_server) as greeting:
            await greeting.send(wrong(greeting)[name])
            error = await greeting.refused(Code.HELLO_REFUSED, 4401)
            assert me.hotkey not in error.message + error.suggestion
    await shared_server.event("handshake.refused", count=len(names), code=Code.HELLO_REFUSED)
    assert not shared_server.find("connection.opened", fingerprint=me.fingerprint)
    await serves(shared_server, maker)


@pytest.mark.parametrize("authority", ["127.0.0.1:1", "relay.example:443", "LOCALHOST:1", "127.0.0.1"])
async def test_a_hello_for_another_authority_is_refused(shared_server: Server, maker: Maker, authority: str) -> None:
    async with Greeting(shared_server) as greeting:
        await greeting.send(greeting.hello(Identity.generate(), authority=authority))
        error = await greeting.refused(Code.WRONG_AUTHORITY, 4401)
        assert "public_names" in error.suggestion
    await serves(shared_server, maker)


async def test_a_server_knows_its_public_names(start_server: StartServer) -> None:
    server = await start_server(public_names="vault.example:443")
    for authority in ("vault.example:443", f"localhost:{server.port}", f"[::1]:{server.port}"):
        async with Greeting(server) as greeting:
            greeting.authority = authority
            await greeting.send(greeting.hello(Identity.generate()))
            assert await asyncio.wait_for(greeting.socket.recv(), 5)
    async with Greeting(server) as greeting:
        await greeting.send(greeting.hello(Identity.generate(), authority="vault.example:8443"))
        await greeting.refused(Code.WRONG_AUTHORITY, 4401)


async def test_the_servers_own_key_is_refused(shared_server: Server, maker: Maker) -> None:
    own = Identity.from_pem(shared_server.database.with_name(shared_server.database.name + ".identity").read_bytes())
    assert own.hotkey == shared_server.server_key
    async with Greeting(shared_server) as greeting:
        await greeting.send(greeting.hello(own))
        await greeting.refused(Code.HELLO_REFUSED, 4401)
    await serves(shared_server, maker)


async def test_the_first_message_must_be_a_hello(shared_server: Server, maker: Maker) -> None:
    before = len(shared_server.find("task.submitted"))
    for message in (maker.order()[0], Ping()):
        async with Greeting(shared_server) as greeting:
            await greeting.socket.send(greeting.codec.encode(Envelope(message, id=1)))
            await greeting.refused(Code.HELLO_REFUSED, 4401)
    for frame, code in ((b"\xc1", Code.MALFORMED), ("text", Code.WRONG_FRAME), (b"\x80", Code.MISSING_FIELD)):
        async with Greeting(shared_server) as greeting:
            await greeting.socket.send(frame)
            await greeting.refused(code, 4401)
    assert len(shared_server.find("task.submitted")) == before
    await serves(shared_server, maker)


async def test_a_hello_that_leaves_in_the_same_segment_harms_nobody(shared_server: Server, maker: Maker) -> None:
    me = Identity.generate()
    async with Greeting(shared_server) as greeting:
        wire = greeting.socket.protocol
        wire.send_binary(greeting.codec.encode(Envelope(greeting.hello(me))))
        wire.send_close(1000)
        write_at_once(greeting.socket)
        await asyncio.wait_for(greeting.socket.wait_closed(), 5)
        assert greeting.socket.close_code == 1000
    await serves(shared_server, maker)
    assert not shared_server.find("connection.opened", fingerprint=me.fingerprint)


async def test_a_hello_writes_no_row(start_server: StartServer) -> None:
    server = await start_server()
    sizes = []
    for _ in range(2):
        async with await dial(server.url) as client:
            await client.ask(Ping(), Pong)
        sizes.append([path.stat().st_size for path in sorted(server.folder.glob("server.db*"))])
    assert sizes[0] == sizes[1]


# time


async def test_a_late_hello_is_refused(start_server: StartServer, maker: Maker) -> None:
    server = await start_server(handshake_ms_max=300)
    async with Greeting(server) as greeting:
        error = await greeting.refused(Code.HELLO_LATE, 4408)
        assert "300" in error.message
    async with Greeting(server) as slow:
        frame = slow.codec.encode(Envelope(slow.hello(Identity.generate())))

        async def drip() -> AsyncIterator[bytes]:
            for index in range(len(frame)):
                yield frame[index : index + 1]
                await asyncio.sleep(0.02)

        sending = asyncio.create_task(slow.socket.send(drip()))
        await slow.refused(Code.HELLO_LATE, 4408)
        await asyncio.gather(sending, return_exceptions=True)
    async with await dial(server.url) as client:
        await asyncio.sleep(0.5)
        await goes_on(client, maker)  # who came in time stays


async def test_a_connection_that_says_nothing_is_dropped(start_server: StartServer, maker: Maker) -> None:
    server = await start_server(handshake_ms_max=300)
    opened = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(2)]
    opened[1][1].write(b"GET /client HTTP/1.1\r\nHost: half a reque")
    async with asyncio.timeout(30):
        for reader, writer in opened:
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()
    await serves(server, maker)


# who the server is


async def test_a_server_with_another_key_than_the_pinned_one_is_told_nothing(
    shared_server: Server, maker: Maker
) -> None:
    pins = KnownServers.parse(KnownServers.line(shared_server.authority, b"k" * 32))
    me = Identity.generate()
    async with Greeting(shared_server) as greeting:
        peer = DiallingPeer(me, greeting.opening, shared_server.authority, "tests", pins.check)
        challenge = greeting.codec.encode(Envelope(greeting.challenge))
        with pytest.raises(PinMismatch, match=shared_server.server_key[:16]):
            peer.receive(challenge)
        assert peer.outgoing() == []
    assert not shared_server.find("connection.opened", fingerprint=me.fingerprint)
    right = KnownServers.parse(shared_server.pin)
    async with Greeting(shared_server) as greeting:
        peer = DiallingPeer(me, greeting.opening, shared_server.authority, "tests", right.check)
        peer.receive(greeting.codec.encode(Envelope(greeting.challenge)))
        [hello] = peer.outgoing()
        await greeting.socket.send(hello)
        peer.receive(await asyncio.wait_for(greeting.socket.recv(), 5))
        assert peer.welcome is not None
    await serves(shared_server, maker)


# how many


async def test_a_key_has_so_many_connections_and_not_one_more(start_server: StartServer, maker: Maker) -> None:
    server = await start_server(connections_per_key_max=2)
    me = Identity.generate()
    first = await dial(server.url, identity=me)
    second = await dial(server.url, identity=me, subprotocol=PLAIN_JSON)
    with pytest.raises(HandshakeRefused) as raised:
        await dial(server.url, identity=me)
    assert raised.value.code is Code.TOO_MANY_CONNECTIONS
    async with Greeting(server) as greeting:
        await greeting.send(greeting.hello(me))
        await greeting.refused(Code.TOO_MANY_CONNECTIONS, 4429)
    async with await dial(server.url) as other:
        await goes_on(other, maker)  # the limit is each key's own
    for connection in (first, second):
        await goes_on(connection, maker)
    await first.close()
    await server.event("connection.closed", fingerprint=me.fingerprint)
    async with await dial(server.url, identity=me) as third:
        await third.ask(maker.order()[0], PuzzleAccepted)
    await second.close()


async def test_a_solver_joins_with_its_first_opened_frame(shared_server: Server) -> None:
    """Who replays nothing but a hello, and cannot open the welcome, is never online."""
    me = Identity.generate()
    async with Greeting(shared_server, SOLVER_PATH) as greeting:
        await greeting.send(greeting.hello(me))
        await asyncio.wait_for(greeting.socket.recv(), 5)
        await shared_server.event("connection.opened", fingerprint=me.fingerprint)
        await greeting.socket.send(b"x" * 40)
        await asyncio.wait_for(greeting.socket.recv(), 5)
    await shared_server.event("connection.closed", fingerprint=me.fingerprint, code=4400)
    assert not shared_server.find("solver.online", solver=me.fingerprint)
    async with await dial_solver(shared_server, me):
        await shared_server.event("solver.online", solver=me.fingerprint)
