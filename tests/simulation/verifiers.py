"""Whether checking proofs holds up a puzzle on its way: from submission to the solver's request, in milliseconds, while
the verifiers have nothing to do and while more proofs wait than they can check.

Probes are small puzzles of one client for one solver, one after the other. The proofs are garbage of 2048 bits by
solvers that collected assignments before; each costs the verifier as much as a true one. Both states take turns.
"""

from __future__ import annotations

import asyncio
import secrets
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from protocol import vault as wire
from protocol.envelope import Envelope, Message
from protocol.proof import VERSION, proof_bytes
from protocol.puzzle import make_modulus
from protocol.session import Error
from scripts.load import Conversation, dial
from tests.acceptance import rows
from tests.acceptance.puzzles import BITS, Maker
from tests.processes import Server
from tests.simulation.peers import bytes_of

FLOOD_BITS = 2048
FLOOD_SQUARINGS = 10**6
FLOODERS = 2
"""One for each slot of a task."""
WAITING = 16
"""Proofs of each flooder that wait while the verifiers are saturated."""
TASKS_PER_SECOND = 200
"""More than the verifiers get through: each has two proofs."""
PAUSE_SECONDS = 0.002
WAIT_SECONDS_MAX = 60.0
CAPACITY = 1024
SETTINGS: dict[str, object] = {"modulus_bits_min": BITS, "capacity_max": CAPACITY, "open_tasks_max": 100_000}
SETTINGS |= {"queue_messages_max": 10_000, "push_window": 4 * CAPACITY, "trap_share": 0}
SETTINGS |= {"checks_waiting_max": 10_000, "checks_waiting_per_key_max": 10_000}
RATIO_MAX = 2.0


@dataclass(slots=True)
class Sample:
    """What was measured in one state: milliseconds of each probe; proofs checked, and the fewest that waited."""

    probes_ms: list[float] = field(default_factory=list)
    seconds: float = 0.0
    proofs: int = 0
    waiting_least: int = 2**31

    def percentile(self, part: float) -> float:
        """Of the probes, in milliseconds."""
        ordered = sorted(self.probes_ms)
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))]

    @property
    def median(self) -> float:
        """Of the probes, in milliseconds."""
        return statistics.median(self.probes_ms)


class Speaker(Conversation):
    """A conversation of this measurement: pushes are acknowledged, and a refusal ends it."""

    def heard(self, envelope: Envelope) -> None:
        assert not isinstance(envelope.message, Error), f"refused: {envelope.message.code}"
        if envelope.seq is not None and not isinstance(envelope.message, wire.PuzzleOffered):
            self.send(bytes_of(self.peer.acknowledge(envelope.seq)))
        self.take_in(envelope.message)

    def take_in(self, message: Message) -> None:
        """A message that is no refusal."""


class Flooder(Speaker):
    """A solver that collects assignments, and then sends garbage for proofs, as many as are to wait."""

    def __init__(self, port: int) -> None:
        super().__init__(port, wire.SOLVER_PATH)
        self.held: list[wire.PuzzleOffered] = []
        self.waiting = 0
        self.waiting_least = 0
        self.checked = 0
        self.is_flooding = False

    def announce(self, state: str) -> None:
        """Say whether it takes assignments."""
        self.request(wire.UpdateStatus(state=state, capacity=CAPACITY, speeds={str(FLOOD_BITS): 1000}))

    def flood(self) -> None:
        """Keep proofs waiting from now on."""
        self.is_flooding, self.waiting_least = True, WAITING
        while self.waiting < WAITING and self.held:
            self._send_garbage(self.held.pop())

    def take_in(self, message: Message) -> None:
        if isinstance(message, wire.PuzzleOffered):
            self.held.append(message)
            self.request(wire.AcceptAssignment(assignment=message.assignment))
        elif isinstance(message, wire.AssignmentEnded):
            self.waiting -= 1
            self.checked += 1
            self.waiting_least = min(self.waiting_least, self.waiting)
            if self.is_flooding and self.held:
                self._send_garbage(self.held.pop())

    def _send_garbage(self, offer: wire.PuzzleOffered) -> None:
        size = proof_bytes(offer.t, offer.product)
        width = (offer.product.bit_length() + 7) // 8
        numbers = (secrets.randbelow(offer.product // 2).to_bytes(width, "big") for _ in range(size // width))
        proof = bytes([VERSION]) + b"".join(numbers)
        self.waiting += 1
        self.request(wire.SubmitAnswer(assignment=offer.assignment, answer=2, proof=proof))


class ProbeSolver(Speaker):
    """Takes small puzzles alone; notes when each arrives, and answers it."""

    def __init__(self, port: int) -> None:
        super().__init__(port, wire.SOLVER_PATH)
        self.arrived = 0.0

    def take_in(self, message: Message) -> None:
        if isinstance(message, wire.PuzzleOffered):
            self.arrived = time.perf_counter()
            self.request(wire.AcceptAssignment(assignment=message.assignment))
            answer = message.baseg * message.baseg % message.product
            self.request(wire.SubmitAnswer(assignment=message.assignment, answer=answer))


class ProbeClient(Speaker):
    """Submits one small puzzle after the other."""

    def __init__(self, port: int) -> None:
        super().__init__(port, wire.CLIENT_PATH)
        self._maker = Maker(BITS)
        self._answered = asyncio.Event()

    async def probe(self, solver: ProbeSolver) -> float:
        """Milliseconds from a submission to its request at the solver."""
        order, _ = self._maker.order(1, committed=False)
        self._answered.clear()
        submitted = time.perf_counter()
        self.request(order)
        await self._answered.wait()
        return 1000 * (solver.arrived - submitted)

    def take_in(self, message: Message) -> None:
        if isinstance(message, wire.PuzzleAnswered):
            self._answered.set()


class Measurement:
    """One server, its flooders and its probe."""

    def __init__(self, server: Server, seconds: float, turns: int) -> None:
        self._server = server
        self._seconds = seconds
        self._turns = turns
        self._flooders: list[Flooder] = []
        self.idle, self.saturated = Sample(), Sample()

    async def run(self) -> None:
        """Collect assignments, then measure both states in turns."""
        port = self._server.port
        await self._collect(round(TASKS_PER_SECOND * self._seconds * self._turns))
        solver = await dial(port, partial(ProbeSolver, port))
        solver.request(wire.UpdateStatus(state="ready", capacity=1, speeds={str(BITS): 10**6}))
        client = await dial(port, partial(ProbeClient, port))
        await client.probe(solver)
        for _ in range(self._turns):
            await self._measure(self.idle, client, solver)
            for flooder in self._flooders:
                flooder.flood()
            await self._measure(self.saturated, client, solver)
            await self._drain()

    async def _collect(self, tasks: int) -> None:
        """Flooders get the trust that they would have to earn, and hold both slots of every task."""
        port = self._server.port
        self._flooders = [await dial(port, partial(Flooder, port)) for _ in range(FLOODERS)]
        for flooder in self._flooders:
            flooder.announce("paused")
            await self._server.event("solver.status", solver=flooder.identity.fingerprint)
            rows.trust(self._server.database, flooder.identity.fingerprint, CAPACITY)
            flooder.announce("ready")
        client = await dial(port, partial(Speaker, port, wire.CLIENT_PATH))
        modulus, _ = make_modulus(FLOOD_BITS)
        count = min(tasks, CAPACITY)
        for _ in range(count):
            base = 2 + secrets.randbelow(modulus - 3)
            client.request(wire.SubmitPuzzle(t=FLOOD_SQUARINGS, baseg=base, product=modulus))
        await _until(lambda: all(len(flooder.held) == count for flooder in self._flooders))
        for flooder in self._flooders:
            flooder.announce("paused")
            await self._server.event("solver.status", solver=flooder.identity.fingerprint, state="paused", count=2)

    async def _measure(self, sample: Sample, client: ProbeClient, solver: ProbeSolver) -> None:
        started, checked = time.perf_counter(), sum(flooder.checked for flooder in self._flooders)
        while time.perf_counter() - started < self._seconds:
            sample.probes_ms.append(await client.probe(solver))
            await asyncio.sleep(PAUSE_SECONDS)
        sample.seconds += time.perf_counter() - started
        sample.proofs += sum(flooder.checked for flooder in self._flooders) - checked
        sample.waiting_least = min(sample.waiting_least, *(flooder.waiting_least for flooder in self._flooders))

    async def _drain(self) -> None:
        """Nothing waits for the verifiers any more."""
        for flooder in self._flooders:
            flooder.is_flooding = False
        await _until(lambda: not any(flooder.waiting for flooder in self._flooders))


async def _until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while True:
            if is_so():
                return
            await asyncio.sleep(PAUSE_SECONDS)


async def measure(folder: Path, seconds: float, turns: int) -> tuple[Sample, Sample]:
    """Idle and saturated, from a fresh server. `seconds` is how long each state is measured in each turn."""
    server = Server(folder, SETTINGS)
    try:
        await server.start()
        measurement = Measurement(server, seconds, turns)
        await measurement.run()
        await server.finish()
    finally:
        server.end_group()
    return measurement.idle, measurement.saturated
