"""What a client makes of each close code: nobody seals them, so none ends an open conversation for good."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from protocol.closing import REASONS
from protocol.envelope import Envelope
from protocol.errors import CLOSES, Close, Code, MessageError
from protocol.identity import Identity
from protocol.peer import SEALED, AnsweringPeer
from protocol.sealing import Opening
from protocol.session import Ack, Error, Exit
from protocol.vault import CLIENT_PATH, AskStatus, StandingChanged, TaskState
from tests.vault_client.conftest import Command
from vault_client import Banned, ConnectionEvent, ServerUnreachable, connect

TASK = "ab" * 16
CHANGED = StandingChanged(standing="client", reputation_score=40.0, score_change=-10.0, reason="x")
STATE = TaskState(task=TASK, status="waiting", assigned=0, num_assignments=0, created=0)


class Whimsical:
    """A server that greets everybody and closes its first conversations in a way of the test's."""

    def __init__(self) -> None:
        self.url = ""
        self.closes: list[int] = []
        self.errors: list[MessageError] = []
        self.greeted = 0
        self.pushes: list[Envelope] = []
        self.acknowledged: list[int] = []
        self.acknowledgement = asyncio.Event()
        self._identity = Identity.generate()

    async def serve(self, socket: ServerConnection) -> None:
        authority = self.url.removeprefix("ws://")
        opening = Opening(CLIENT_PATH, (SEALED.name,), SEALED.name)
        peer = AnsweringPeer(self._identity, opening, [authority], frame_bytes_max=65_536)
        await socket.send(peer.challenge(0))
        peer.greet(await socket.recv())
        await socket.send(peer.welcome({}))
        self.greeted += 1
        if self.pushes:
            await socket.send(peer.encode(self.pushes.pop(0)))
        if self.errors:
            await socket.send(peer.encode(Envelope(Error.of(self.errors.pop(0)))))
        if self.closes:
            await socket.close(self.closes.pop(0))
            return
        async for frame in socket:
            request = peer.decode(frame)
            if isinstance(request.message, AskStatus):
                await socket.send(peer.encode(Envelope(STATE, re=request.id)))
                if self.pushes:
                    await socket.send(peer.encode(self.pushes.pop(0)))
            elif isinstance(request.message, Ack):
                self.acknowledged.append(request.message.push)
                self.acknowledgement.set()
            elif isinstance(request.message, Exit):
                await socket.close()


@pytest.fixture
async def whimsical() -> AsyncIterator[Whimsical]:
    server = Whimsical()
    async with serve(server.serve, "127.0.0.1", 0, subprotocols=[Subprotocol(SEALED.name)]) as listening:
        server.url = f"ws://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        yield server


@pytest.mark.parametrize("code", [*CLOSES, 1001, 1011, 1013, 4999])
async def test_no_close_code_ends_an_open_conversation_for_good(whimsical: Whimsical, code: int) -> None:
    whimsical.closes = [int(code)]
    events: list[ConnectionEvent] = []
    back = asyncio.Event()

    def changed(event: ConnectionEvent) -> None:
        events.append(event)
        if len(events) == 3:
            back.set()

    async with connect(whimsical.url, on_connection=changed) as vault:
        await asyncio.wait_for(vault.status(TASK), 5)
        await asyncio.wait_for(back.wait(), 5)
    assert whimsical.greeted == 2
    assert [event.connected for event in events] == [True, False, True]
    assert events[1].detail == f"{REASONS.get(code, 'the server closed it')} ({int(code)})"


async def test_a_ban_that_the_server_signs_is_believed_at_once(whimsical: Whimsical) -> None:
    whimsical.errors = [MessageError(Code.BANNED, "Banned.", "Wait.", retry_after_ms=90_000)]
    whimsical.closes = [int(Close.BANNED)]
    async with connect(whimsical.url) as vault:
        with pytest.raises(Banned, match="1m30s") as caught:
            await asyncio.wait_for(vault.status(TASK), 5)
    assert caught.value.seconds_left == 90
    assert whimsical.greeted == 1


async def test_a_push_is_acknowledged_on_the_connection_that_brought_it_or_brings_it_again(
    whimsical: Whimsical,
) -> None:
    """A server counts an `ack` that it does not await."""
    push = Envelope(CHANGED, seq=7)
    whimsical.pushes, whimsical.closes = [push], [int(Close.RENEW)]
    async with connect(whimsical.url) as vault:
        while whimsical.greeted < 2:
            await vault.status(TASK)
        async with aclosing(vault.events()) as events:
            assert await anext(events) == CHANGED
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(events), 0.01)  # coming back ends it
        whimsical.pushes = [push]
        await vault.status(TASK)  # brings it again
        await asyncio.wait_for(whimsical.acknowledgement.wait(), 5)
        await vault.status(TASK)
    assert whimsical.acknowledged == [7]


async def test_a_refused_handshake_is_told_by_its_code(command: Command, tmp_path: Path) -> None:
    async def refuse(socket: ServerConnection) -> None:
        opening = Opening(CLIENT_PATH, (SEALED.name,), SEALED.name)
        peer = AnsweringPeer(Identity.generate(), opening, ["elsewhere:1"], frame_bytes_max=65_536)
        await socket.send(peer.challenge(0))
        try:
            peer.greet(await socket.recv())
        except MessageError as refusal:
            await socket.send(peer.encode(Envelope(Error.of(refusal))))
            await socket.close(Close.HANDSHAKE_FAILED)

    async with serve(refuse, "127.0.0.1", 0, subprotocols=[Subprotocol(SEALED.name)]) as listening:
        url = f"ws://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        result = await asyncio.to_thread(command, "status", TASK, "--json", "--server", url)
    assert result.exit_code == 1, result.output
    told = json.loads(result.stderr.splitlines()[-1])
    assert (told["code"], told["retryable"]) == ("WRONG_AUTHORITY", False)


async def test_a_server_that_asks_for_patience_in_http_is_met_again_when_it_said() -> None:
    answered: list[float] = []

    async def too_many(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        answered.append(asyncio.get_running_loop().time())
        writer.write(
            b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
        writer.close()

    listener = await asyncio.start_server(too_many, "127.0.0.1", 0)
    url = f"ws://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    with pytest.raises(ServerUnreachable, match="429"):
        async with connect(url, connect_seconds_max=1.5):
            pass
    assert len(answered) == 2
    assert answered[1] - answered[0] >= 1
    listener.close()
