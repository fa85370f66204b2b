"""How long a push takes from a reply on one node to its receiver on another, one task at a time, both ways."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from typing import cast

from protocol import vault as wire
from protocol.envelope import Envelope
from scripts.load import Conversation, InstantSolver, dial

TASK_SECONDS_MAX = 10.0
PAUSE_SECONDS_MAX = 0.5
"""Before each task, at random: a look that comes every half second is met at any moment between two."""


class Observed(InstantSolver):
    """Remembers when an offer came, by its base, and when its answer was taken."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.offered: dict[int, float] = {}
        self.taken: dict[int, float] = {}
        self._bases: dict[int, int] = {}
        self.awaited = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def wait_for(self, base: int) -> None:
        """Have `done` say when the answer to this one was taken."""
        self.awaited, self.done = base, asyncio.get_running_loop().create_future()

    def heard(self, envelope: Envelope) -> None:
        now, message = time.perf_counter(), envelope.message
        if isinstance(message, wire.PuzzleOffered):
            self.offered[message.baseg] = now
            self._bases[message.assignment] = message.baseg
        elif isinstance(message, wire.AnswerTaken):
            base = self._bases[message.assignment]
            self.taken[base] = now
            if base == self.awaited:
                self.done.set_result(None)
        super().heard(envelope)


class Asker(Conversation):
    """Asks for one task at a time; remembers when it was accepted and when its answer came."""

    def __init__(self, port: int) -> None:
        super().__init__(port, wire.CLIENT_PATH)
        self.accepted = 0.0
        self.answered: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    def ask(self, base: int, modulus: int) -> None:
        self.answered = asyncio.get_running_loop().create_future()
        self.request(wire.SubmitPuzzle(t=1, baseg=base, product=modulus))

    def heard(self, envelope: Envelope) -> None:
        now = time.perf_counter()
        if isinstance(envelope.message, wire.PuzzleAccepted):
            self.accepted = now
        elif isinstance(envelope.message, wire.PuzzleAnswered):
            self.answered.set_result(now)
        if envelope.seq is not None:
            self.send(cast(bytes, self.peer.acknowledge(envelope.seq)))


async def push_latencies(clients_port: int, solvers_port: int, modulus: int, tasks: int) -> list[float]:
    """Seconds; two for each task: the offer's to the solver, the answer's to the client."""
    solver = await dial(solvers_port, lambda: Observed(solvers_port))
    solver.request(wire.UpdateStatus(state="ready", capacity=1024, speeds={"4096": 1_000_000}))
    client = await dial(clients_port, lambda: Asker(clients_port))
    await asyncio.sleep(1.0)
    latencies = []
    for _ in range(tasks):
        await asyncio.sleep(random.uniform(0, PAUSE_SECONDS_MAX))  # noqa: S311
        base = 2 + secrets.randbelow(modulus - 3)
        solver.wait_for(base)
        client.ask(base, modulus)
        async with asyncio.timeout(TASK_SECONDS_MAX):
            answered = await client.answered
            await solver.done
        latencies += [solver.offered[base] - client.accepted, answered - solver.taken[base]]
    for end in (solver, client):
        end.close()
    return latencies
