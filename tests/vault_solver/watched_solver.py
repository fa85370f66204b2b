"""The real solver with watched workers, as a process: `python watched_solver.py TALLY WRONG run …`."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import vault_solver.solver
from tests.processes import Server, Solver
from tests.vault_solver.watched_worker import command, held_by, squarings_done
from vault_solver.__main__ import main
from vault_solver.pool import Pool


class WatchedSolver(Solver):
    """Counts the squarings of all its lives, and flips a bit in every so manyth call (0: never)."""

    def __init__(self, server: Server, folder: Path, arguments: Sequence[str] = (), wrong: int = 0) -> None:
        super().__init__(server, folder, "watched", ["--calibration", "0.02", *arguments])
        self.wrong = wrong
        self.tally = folder / "tally"
        self.checkpoints = self.key_path.with_suffix(".checkpoints")

    def command(self) -> Sequence[str | Path]:
        _, _, *arguments = super().command()
        return ["-m", "tests.vault_solver.watched_solver", self.tally, str(self.wrong), *arguments]

    @property
    def squarings(self) -> int:
        """Done so far, by workers that were killed too, those of the checks included."""
        return squarings_done(self.tally)

    async def kill_between_checkpoints(self) -> None:
        """SIGKILL to it and its worker when there are two checkpoints, each in its place, and no third on its way."""
        while True:
            self._stop()
            if sorted(path.suffix for path in self.checkpoints.iterdir()) == [".checkpoint", ".previous"]:
                break
            os.killpg(self.pid, signal.SIGCONT)
            await asyncio.sleep(0.005)
        self.end_group()

    def _stop(self) -> None:
        """SIGSTOP, and wait: each of its threads stops when its system call is done."""
        os.killpg(self.pid, signal.SIGSTOP)
        stats = [task / "stat" for task in Path(f"/proc/{self.pid}/task").iterdir()]
        while any(stat.read_text().rpartition(")")[2].split()[0] != "T" for stat in stats):
            time.sleep(0.001)

    def hold_at(self, squarings: int) -> None:
        """Let the worker stop once it has done so many, until `let_go`; the solver itself goes on listening."""
        held_by(self.tally).write_text(str(squarings))

    def let_go(self) -> None:
        """Let it go on."""
        held_by(self.tally).unlink()


if __name__ == "__main__":
    worker = command(Path(sys.argv[1]), int(sys.argv[2]))
    vars(vault_solver.solver)["Pool"] = functools.partial(Pool, worker=worker)
    sys.argv[1:] = sys.argv[3:]
    main()
