"""What a killed solver costs: one puzzle from its assignment to its answer, undisturbed and with kill -9 on the way.

Real processes and real time: the puzzle takes as long as it is said to take on this machine with GMP. Each story is
one run: nobody is killed; the solver is killed and started again, with its last checkpoint sound or damaged; or it is
killed for good, and another goes on from what it had relayed, counted from the other's assignment.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from protocol.puzzle import commit, make_modulus
from protocol.vault import PuzzleAccepted, PuzzleAnswered, SubmitPuzzle
from tests.dialling import dial
from tests.processes import Server, Solver
from vault_solver.kernel import choose
from vault_solver.squaring import CHECKS_PER_CHECKPOINT

BITS = 2048
KILLED_AT = 0.6
"""Of the undisturbed time, from the assignment on."""
DOWN_SECONDS = 1.0
CALIBRATION_SECONDS = 0.5
SLACK = 3.0
"""Of the undisturbed time, after which a story is given up."""
Story = Callable[["Scene"], Awaitable[float]]


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds of one story, from the assignment that was answered to the answer; `wasted` of them in excess."""

    name: str
    seconds: float
    undisturbed: float
    down: float

    @property
    def excess(self) -> float:
        """Beyond the undisturbed run and the time nobody was there."""
        return self.seconds - self.undisturbed - self.down


class Scene:
    """A server, a client with one puzzle, and solvers that lose at most `interval` seconds by a crash."""

    def __init__(self, folder: Path, squarings: int, interval: float, undisturbed: float) -> None:
        self.folder = folder
        self.squarings = squarings
        self.interval = interval
        self.undisturbed = undisturbed
        self.modulus, self._trapdoor = make_modulus(BITS)
        # As the defaults have it: what is checked is relayed, two and a half times in what a crash may cost.
        relay_ms = int(1000 * interval / CHECKS_PER_CHECKPOINT)
        settings: dict[str, object] = {"relay_interval_ms": relay_ms, "trap_share": 0}
        self.server = Server(folder, settings)
        self.solvers: list[Solver] = []

    async def solver(self) -> Solver:
        """One more solver, online."""
        every = ("--crash-loss", f"{self.interval:g}", "--calibration", "0.2", "--kernel", "gmpy2")
        solver = Solver(self.server, self.folder, f"solver-{len(self.solvers) + 1}", every)
        self.solvers.append(solver)
        await solver.start()
        return solver

    def order(self) -> SubmitPuzzle:
        """The puzzle; a proof is required."""
        return SubmitPuzzle(t=self.squarings, baseg=3, product=self.modulus)

    def check(self, answer: int) -> None:
        """The answer is the right one."""
        right = self._trapdoor.power(3, self.squarings)
        assert commit(answer, self.modulus) == commit(right, self.modulus), "the answer is wrong"

    async def finish(self) -> None:
        """Nothing is left running."""
        for process in (*self.solvers, self.server):
            process.end_group()


def _speed() -> float:
    """Squarings a second of GMP, here and now."""
    modulus, _ = make_modulus(BITS)
    kernel = choose("gmpy2").arithmetic
    count, seconds = 20_000, 0.0
    while seconds < CALIBRATION_SECONDS:
        begun = time.perf_counter()
        kernel.square(3, count, modulus)
        seconds = time.perf_counter() - begun
        count *= 2
    return count / 2 / seconds


async def undisturbed(scene: Scene) -> float:
    """Nobody is killed."""
    await scene.solver()
    return await _answered(scene, lambda _: asyncio.sleep(0))


async def killed(scene: Scene) -> float:
    """kill -9 of the solver and its worker, and a start a second later."""
    solver = await scene.solver()

    async def kill(begun: float) -> None:
        await _until(begun + KILLED_AT * scene.undisturbed)
        solver.end_group()
        await asyncio.sleep(DOWN_SECONDS)
        await solver.start()

    return await _answered(scene, kill)


async def damaged(scene: Scene) -> float:
    """The same, and a byte of its newest checkpoint is another before it starts."""
    solver = await scene.solver()

    async def kill(begun: float) -> None:
        await _until(begun + KILLED_AT * scene.undisturbed)
        solver.end_group()
        for path in solver.key_path.parent.glob(f"{solver.name}.checkpoints/*"):
            if path.is_file() and not path.name.endswith(".previous"):
                raw = bytearray(path.read_bytes())
                raw[len(raw) // 2] ^= 1
                path.write_bytes(raw)
        await asyncio.sleep(DOWN_SECONDS)
        await solver.start()

    return await _answered(scene, kill)


async def succeeded(scene: Scene) -> float:
    """The solver is killed for good, and another takes the open slot: seconds of both, without the time between."""
    first = await scene.solver()
    took: list[float] = []

    async def kill(begun: float) -> None:
        await _until(begun + KILLED_AT * scene.undisturbed)
        first.end_group()
        took.append(time.monotonic() - begun)
        second = await scene.solver()
        await second.event("assignment.offered")
        took.append(time.monotonic() - begun)

    seconds = await _answered(scene, kill)
    return seconds - (took[1] - took[0])


STORIES: Sequence[tuple[str, Story, float]] = (
    ("undisturbed", undisturbed, 0.0),
    ("killed at 60 %, started again", killed, DOWN_SECONDS),
    ("the same, newest checkpoint damaged", damaged, DOWN_SECONDS),
    ("killed for good, another goes on", succeeded, 0.0),
)


async def measure(folder: Path, seconds: float, interval: float, say: Callable[[Measured], None]) -> list[Measured]:
    """Each story once, one after the other; each is told as it ends."""
    found: list[Measured] = []
    squarings = int(seconds * _speed())
    for number, (name, story, down) in enumerate(STORIES):
        place = folder / str(number)
        place.mkdir()
        scene = Scene(place, squarings, interval, found[0].seconds if found else seconds)
        await scene.server.start()
        try:
            async with asyncio.timeout(SLACK * scene.undisturbed + 60):
                took = await story(scene)
        finally:
            await scene.finish()
        found.append(Measured(name, took, found[0].seconds if found else took, down))
        say(found[-1])
    return found


async def _answered(scene: Scene, meanwhile: Callable[[float], Awaitable[None]]) -> float:
    """Submit the puzzle, let `meanwhile` happen, and wait for its answer: seconds from the submission."""
    async with await dial(scene.server.url) as client:
        await client.ask(scene.order(), PuzzleAccepted)
        begun = time.monotonic()
        disturbing = asyncio.create_task(_awaited(meanwhile, begun))
        told = await client.take(PuzzleAnswered, seconds=SLACK * scene.undisturbed + 60)
        seconds = time.monotonic() - begun
        await disturbing
        assert told.judged_by == "proof"
        scene.check(told.answer)
        return seconds


async def _awaited(meanwhile: Callable[[float], Awaitable[None]], begun: float) -> None:
    await meanwhile(begun)


async def _until(moment: float) -> None:
    await asyncio.sleep(max(0.0, moment - time.monotonic()))
