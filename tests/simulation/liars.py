"""One run of a fleet with liars at a real server process: who was told what, who was blamed, what it cost."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from scripts.load import dial
from tests.acceptance.puzzles import BITS
from tests.processes import Server, environment
from tests.simulation import records
from tests.simulation.conduct import Conduct, Shared
from tests.simulation.peers import FleetClient, FleetSolver, Tally
from tests.simulation.records import Blamed, KindOfSolver, Standing
from tests.simulation.shape import Shape, conducts, exercises
from tests.simulation.workshop import Workshop

SETTINGS: dict[str, object] = {
    "modulus_bits_min": BITS,
    "deadline_ms_min": 4_000,
    "deadline_ms_unknown": 4_000,
    "relay_interval_ms": 0,
}
"""Small puzzles, and deadlines of seconds, so that silent solvers expire while one looks on."""
SPEED = 5_000_000
"""Squarings a second that every solver announces: deadlines come from `deadline_ms_min`."""
LOOK_SECONDS = 0.05
PATIENCE_SECONDS = 60.0
"""A run in which no task ends for so long is over."""
STANDINGS = 10
RIGHT_SHARE_MIN, LIARS_SHARE_MAX = 0.99, 0.6
"""Up to so many liars, so many of the tasks have to be answered rightly."""

Progress = Callable[[Tally, Standing], None]
"""Called now and then while a run goes on."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run has shown. `is_whole`: every task ended; `check` is what `vault-server check` found, if anything."""

    shape: Shape
    tally: Tally
    seconds: float
    is_whole: bool
    blamed: Sequence[Blamed]
    standings: Sequence[Standing]
    kinds: Mapping[str, KindOfSolver]
    assignments_mean: float
    assignments_most: int
    squarings_honest: int
    squarings_liars: int
    check: str

    @property
    def right_share(self) -> float:
        """Of the tasks that ended."""
        return self.tally.right / self.tally.ended if self.tally.ended else 0.0

    @property
    def wasted_share(self) -> float:
        """Of all squarings done, those beyond the one series that each right answer takes."""
        done = self.squarings_honest + self.squarings_liars
        return 1 - self.tally.useful_squarings / done if done else 0.0

    @property
    def broken(self) -> list[str]:
        """What was promised and did not hold, in words."""
        found = []
        if self.tally.wrong:
            found.append(f"{self.tally.wrong} wrong answers were delivered")
        if self.blamed:
            found.append(f"{len({each.solver for each in self.blamed})} honest solvers were blamed")
        if self.tally.ended and self.shape.share <= LIARS_SHARE_MAX and self.right_share < RIGHT_SHARE_MIN:
            found.append(f"{self.right_share:.1%} of the tasks were answered rightly, less than {RIGHT_SHARE_MIN:.0%}")
        if self.tally.surprises:
            found.append(f"what nobody should have met: {self.tally.surprises}")
        if self.check:
            found.append(f"vault-server check: {self.check}")
        return found


class Run:
    """A server, a fleet, and what they did. `stop` may be set at any time: what is known by then is the outcome."""

    def __init__(self, folder: Path, shape: Shape, progress: Progress, settings: Mapping[str, object]) -> None:
        self.stop = asyncio.Event()
        self._shape = shape
        self._progress = progress
        self._server = Server(folder, SETTINGS | dict(settings))
        self._workshop = Workshop()
        self._tally = Tally()
        self._standings: list[Standing] = []
        self._solvers: list[FleetSolver] = []
        self._kind_of: dict[str, str] = {}
        self._clients: list[FleetClient] = []

    async def outcome(self) -> Outcome:
        """Run it to its end. Whatever happens, nothing that was started is left."""
        started = time.monotonic()
        try:
            await self._server.start()
            await self._gather()
            is_whole = await self._watch()
            seconds = time.monotonic() - started
            for peer in (*self._clients, *self._solvers):
                peer.close()
            await self._server.finish()
            return self._outcome(seconds, is_whole)
        finally:
            self._workshop.close()
            self._server.end_group()

    async def _gather(self) -> None:
        shape, port, chance = self._shape, self._server.port, random.Random(self._shape.seed)
        shared = Shared(self._workshop, chance, shape.work_ms / 1000, {})
        for conduct in conducts(shape, shared):
            self._solvers.append(await self._join(conduct))
        source = exercises(shape, chance)
        for _ in range(shape.clients):
            client = await dial(port, partial(FleetClient, port, source, shape.under_way, self._tally))
            self._clients.append(client)
        await asyncio.sleep(LOOK_SECONDS)
        for client in self._clients:
            client.begin()

    async def _join(self, conduct: Conduct) -> FleetSolver:
        port = self._server.port
        solver = await dial(port, partial(FleetSolver, port, conduct, self._shape.capacity, self._tally))
        self._kind_of[solver.identity.fingerprint] = conduct.name
        solver.begin({str(BITS): SPEED})
        return solver

    async def _renew(self) -> None:
        """Who gives up its key comes back with a new one."""
        for index, solver in enumerate(self._solvers):
            if solver.is_spent:
                solver.close()
                self._solvers[index] = await self._join(solver.conduct)

    async def _watch(self) -> bool:
        """Until everything has ended, nothing moves any more, or somebody stops it; whether all has ended."""
        ended, moved = 0, time.monotonic()
        while not self.stop.is_set():
            await asyncio.sleep(LOOK_SECONDS)
            await self._renew()
            if any(peer.is_lost for peer in (*self._solvers, *self._clients)):
                self._tally.surprised_by("connection lost")
                return False
            if self._tally.ended > ended:
                ended, moved = self._tally.ended, time.monotonic()
            self._look()
            if all(client.is_done for client in self._clients):
                return True
            if time.monotonic() - moved > PATIENCE_SECONDS:
                return False
        return False

    def _look(self) -> None:
        """Keep ten looks at the standings, spread over the tasks."""
        if self._tally.ended * STANDINGS >= (len(self._standings) + 1) * self._shape.tasks:
            self._standings.append(records.standing(self._server.database, self._kind_of, self._tally.ended))
            self._progress(self._tally, self._standings[-1])

    def _outcome(self, seconds: float, is_whole: bool) -> Outcome:
        database, kind_of = self._server.database, dict(self._kind_of)
        mean, most = records.assignments_per_task(database, [c.identity.fingerprint for c in self._clients])
        squarings = self._workshop.squarings
        return Outcome(
            shape=self._shape,
            tally=self._tally,
            seconds=seconds,
            is_whole=is_whole,
            blamed=[each for each in records.blamed(database) if kind_of.get(each.solver) == "honest"],
            standings=self._standings,
            kinds=records.by_kind(database, kind_of),
            assignments_mean=mean,
            assignments_most=most,
            squarings_honest=squarings["honest"],
            squarings_liars=squarings.total() - squarings["honest"],
            check=_check(database),
        )


def _check(database: Path) -> str:
    """What `vault-server check` has to say against the database; empty when it is sound."""
    done = subprocess.run(
        [sys.executable, "-m", "vault_server", "check", "--database", str(database)],
        cwd=database.parent,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if done.returncode == 0 else (done.stdout + done.stderr).strip() or f"exit code {done.returncode}"
