"""A server that proves its key and then lies: on a real socket, with protocol.peer, and whatever answer it is told."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from protocol.envelope import Envelope, Message
from protocol.identity import Identity
from protocol.peer import FRAME_BYTES_MAX, SEALED, AnsweringPeer
from protocol.proof import Proof, Statement
from protocol.prover import best_depth, kept_indices, prove
from protocol.puzzle import Puzzle, square_repeatedly
from protocol.sealing import Opening
from protocol.session import Exit
from protocol.vault import CLIENT_PATH, AskStatus, PuzzleAccepted, PuzzleAnswered, SubmitPuzzle, TaskState

SOLVER, OTHER_SOLVER = "51" * 16, "52" * 16
OTHER_TASK = "ab" * 16


def right_answer(puzzle: Puzzle) -> int:
    """The long way."""
    return square_repeatedly(puzzle.base, puzzle.squarings, puzzle.modulus)


def proof_of(puzzle: Puzzle, task: str, solver: str = SOLVER) -> bytes:
    """An honest proof for this task and solver."""
    return honest_proof(puzzle, task, solver).encode(puzzle.modulus)


def honest_proof(puzzle: Puzzle, task: str, solver: str = SOLVER) -> Proof:
    """The same, not encoded."""
    indices = kept_indices(puzzle.squarings, best_depth(puzzle.squarings, puzzle.modulus.bit_length()))
    kept = [(index, square_repeatedly(puzzle.base, index, puzzle.modulus)) for index in indices]
    return prove(Statement(puzzle, task, solver), kept)


def proved(puzzle: Puzzle, task: str) -> PuzzleAnswered:
    """What an honest server says."""
    raw = proof_of(puzzle, task)
    return PuzzleAnswered(task=task, answer=right_answer(puzzle), judged_by="proof", proof=raw, solver=SOLVER)


Lie = Callable[[SubmitPuzzle, str], PuzzleAnswered]


@dataclass
class LyingServer:
    """Takes every puzzle and at once gives `lie(order, task)` for its answer, as a push and as a state."""

    lie: Lie
    task: str = field(default_factory=lambda: secrets.token_hex(16))
    identity: Identity = field(default_factory=Identity.generate)
    url: str = ""
    orders: list[SubmitPuzzle] = field(default_factory=list)

    async def answer(self, socket: ServerConnection) -> None:
        """One connection."""
        opening = Opening(CLIENT_PATH, (SEALED.name,), SEALED.name)
        peer = AnsweringPeer(
            self.identity, opening, [self.url.removeprefix("ws://")], frame_bytes_max=16 * FRAME_BYTES_MAX
        )
        try:
            await socket.send(peer.challenge(time.time_ns() // 10**6))
            peer.greet(await _frame(socket))
            await socket.send(peer.welcome({"max_requests_per_window_client": 1_000, "rate_limit_window_ms": 10_000}))
            while True:
                envelope = peer.decode(await _frame(socket))
                if isinstance(envelope.message, Exit):
                    return
                for said in self.said(envelope):
                    await socket.send(peer.encode(said))
        except ConnectionClosed:
            pass

    def said(self, envelope: Envelope) -> list[Envelope]:
        """What answers one message."""
        match envelope.message:
            case SubmitPuzzle() as order:
                self.orders.append(order)
                accepted = PuzzleAccepted(task=self.task, difficulty=0.1, effort_seconds=0.1, assigned=2)
                return [Envelope(accepted, re=envelope.id), Envelope(self.lie(order, self.task), seq=len(self.orders))]
            case AskStatus():
                return [Envelope(self._state(), re=envelope.id)]
        return []

    def _state(self) -> Message:
        lie = self.lie(self.orders[-1], self.task)
        return TaskState(
            task=self.task,
            status="answered",
            assigned=2,
            num_assignments=2,
            created=1,
            answer=lie.answer,
            judged_by=lie.judged_by,
            proof=lie.proof,
            solver=lie.solver,
        )


@asynccontextmanager
async def lying_server(lie: Lie) -> AsyncIterator[LyingServer]:
    """One that listens."""
    server = LyingServer(lie)
    async with serve(server.answer, "127.0.0.1", 0, subprotocols=[Subprotocol(SEALED.name)]) as listening:
        server.url = f"ws://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        yield server


async def _frame(socket: ServerConnection) -> bytes:
    frame = await socket.recv()
    assert isinstance(frame, bytes)
    return frame


def puzzle_of(order: SubmitPuzzle) -> Puzzle:
    """What the client has asked for."""
    return Puzzle(order.t, order.baseg, order.product)


def altered(proof: bytes, at: int) -> bytes:
    """With one bit flipped."""
    changed = bytearray(proof)
    changed[at] ^= 1
    return bytes(changed)


def with_answer(said: PuzzleAnswered, y: int) -> PuzzleAnswered:
    """The same with another answer."""
    return replace(said, answer=y)
