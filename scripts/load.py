"""The bench's load: many conversations in one process, over the sans-I/O WebSocket layer to cost less than the server.

Instant solvers answer with what a table says; clients keep a number of tasks under way. Only ever dials 127.0.0.1.
"""

from __future__ import annotations

import asyncio
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar, cast

import gmpy2
from websockets.client import ClientProtocol
from websockets.frames import DATA_OPCODES, Frame
from websockets.http11 import Response
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from protocol import vault as wire
from protocol.envelope import Envelope, Message
from protocol.identity import Identity
from protocol.peer import SEALED, DiallingPeer, State
from protocol.puzzle import Puzzle, make_modulus
from protocol.sealing import Opening
from protocol.session import Error

HOST = "127.0.0.1"
FRAME_BYTES_MAX = 2**20


def square(base: int, modulus: int) -> int:
    """By GMP: in plain Python it would be a tenth of what the load costs."""
    return int(gmpy2.mpz(base) ** 2 % modulus)


class Socket(asyncio.Protocol, ABC):
    """A WebSocket client that hands whole messages to `take`; frames of one loop turn leave in one write."""

    def __init__(self, port: int, path: str, subprotocol: str | None) -> None:
        offered = [Subprotocol(subprotocol)] if subprotocol else None
        uri = parse_uri(f"ws://{HOST}:{port}{path}")
        self._ws = ClientProtocol(uri, subprotocols=offered, max_size=FRAME_BYTES_MAX)
        self._transport: asyncio.Transport | None = None
        self._flush_due = False
        self.frames_in = 0
        self.frames_out = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.is_lost = False
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._ws.send_request(self._ws.connect())
        self._flush()

    def data_received(self, data: bytes) -> None:
        self._ws.receive_data(data)
        for event in self._ws.events_received():
            if isinstance(event, Frame):
                if event.opcode not in DATA_OPCODES:
                    continue  # the server's pings are answered by the layer below
                self.frames_in += 1
                self.bytes_in += len(event.data)
                self.take(bytes(event.data))
            elif isinstance(event, Response):
                assert event.status_code == 101, f"the server answered {event.status_code}"
                self.opened()
        self._flush()

    def connection_lost(self, _exc: Exception | None) -> None:
        self.is_lost = True

    def opened(self) -> None:
        """The WebSocket is open."""

    @abstractmethod
    def take(self, frame: bytes) -> None:
        """A message has arrived."""

    def send(self, frame: bytes) -> None:
        self.frames_out += 1
        self.bytes_out += len(frame)
        self._ws.send_binary(frame)
        if not self._flush_due:
            self._flush_due = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        chunks = self._ws.data_to_send()
        if chunks and self._transport is not None:
            self._transport.write(b"".join(chunks))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class Conversation(Socket, ABC):
    """A socket with a proved key and sealed frames."""

    def __init__(self, port: int, path: str) -> None:
        super().__init__(port, path, SEALED.name)
        opening = Opening(path, (SEALED.name,), SEALED.name)
        self.identity = Identity.generate()
        self.peer = DiallingPeer(self.identity, opening, f"{HOST}:{port}", "bench", lambda *_: None)

    def take(self, frame: bytes) -> None:
        envelope = self.peer.receive(frame)
        for answer in self.peer.outgoing():
            self.send(cast(bytes, answer))
        if self.peer.state is State.OPEN and not self.ready.done():
            self.frames_in = self.frames_out = self.bytes_in = self.bytes_out = 0
            self.ready.set_result(None)
        if envelope is not None:
            self.heard(envelope)

    @abstractmethod
    def heard(self, envelope: Envelope) -> None:
        """A message for this end."""

    def request(self, message: Message) -> None:
        self.send(cast(bytes, self.peer.request(message)[1]))


class InstantSolver(Conversation):
    """Accepts and answers at once; t is 1, so an answer is one multiplication."""

    def __init__(self, port: int) -> None:
        super().__init__(port, wire.SOLVER_PATH)

    def heard(self, envelope: Envelope) -> None:
        message = envelope.message
        if isinstance(message, wire.PuzzleOffered):
            self.request(wire.AcceptAssignment(assignment=message.assignment))
            answer = square(message.baseg, message.product)
            self.request(wire.SubmitAnswer(assignment=message.assignment, answer=answer))
        elif envelope.seq is not None:
            self.send(cast(bytes, self.peer.acknowledge(envelope.seq)))


@dataclass(slots=True)
class Tally:
    """What a run has done so far."""

    answered: int = 0
    wrong: int = 0
    errors: dict[str, int] = field(default_factory=dict)


class LoadClient(Conversation):
    """Keeps `under_way` puzzles under way with moduli from a few, and checks each answer."""

    def __init__(self, port: int, moduli: list[int], under_way: int, tally: Tally) -> None:
        super().__init__(port, wire.CLIENT_PATH)
        self._moduli = moduli
        self._under_way = under_way
        self._tally = tally
        self._submitted: dict[int, Puzzle] = {}
        self._number = 0
        self._expected: dict[str, Puzzle] = {}
        self.is_stopping = False

    def begin(self) -> None:
        for _ in range(self._under_way):
            self._submit()

    @property
    def is_done(self) -> bool:
        return not self._submitted and not self._expected

    def _submit(self) -> None:
        modulus = self._moduli[self._number % len(self._moduli)]
        puzzle = Puzzle(1, 2 + secrets.randbelow(modulus - 3), modulus)
        self._number += 1
        order = wire.SubmitPuzzle(t=1, baseg=puzzle.base, product=puzzle.modulus)
        number, frame = self.peer.request(order)
        self._submitted[number] = puzzle
        self.send(cast(bytes, frame))

    def heard(self, envelope: Envelope) -> None:
        message = envelope.message
        if isinstance(message, wire.PuzzleAccepted):
            assert envelope.re is not None, "a reply names its request"
            self._expected[message.task] = self._submitted.pop(envelope.re)
        elif isinstance(message, wire.PuzzleAnswered):
            assert envelope.seq is not None, "a push has a number"
            self.send(cast(bytes, self.peer.acknowledge(envelope.seq)))
            puzzle = self._expected.pop(message.task)
            self._tally.answered += 1
            self._tally.wrong += message.answer != square(puzzle.base, puzzle.modulus)
            if not self.is_stopping:
                self._submit()
        elif isinstance(message, Error):
            self._tally.errors[message.code] = self._tally.errors.get(message.code, 0) + 1


class EchoClient(Socket):
    """Keeps `under_way` payloads under way at an echo server, from `begin` until it `is_stopping`."""

    def __init__(self, port: int, under_way: int) -> None:
        super().__init__(port, "/", None)
        self._under_way = under_way
        self._payload = b""
        self.is_stopping = False
        self.echoed = 0

    def opened(self) -> None:
        self.ready.set_result(None)

    def begin(self, payload: bytes) -> None:
        self._payload = payload
        self.is_stopping = False
        for _ in range(self._under_way):
            self.send(payload)

    def take(self, _frame: bytes) -> None:
        self.echoed += 1
        if not self.is_stopping:
            self.send(self._payload)


S = TypeVar("S", bound=Socket)


async def dial(port: int, make: Callable[[], S]) -> S:
    """Connect one; it can be used when this returns."""
    loop = asyncio.get_running_loop()
    _, socket = await loop.create_connection(make, HOST, port)
    await socket.ready
    return socket


def a_few_moduli(count: int, bits: int) -> list[int]:
    """Moduli to draw from."""
    return [make_modulus(bits)[0] for _ in range(count)]
