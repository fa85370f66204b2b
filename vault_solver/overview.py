"""Puts together what can be seen of a running solver, for the screen, and for a line of the log now and then."""

from __future__ import annotations

import asyncio
import os
from time import monotonic, time

import structlog

from vault_solver.agent import Agent
from vault_solver.held import Held
from vault_solver.keeper import Keeper
from vault_solver.options import Options
from vault_solver.pool import Pool
from vault_solver.tally import Tally
from vault_solver.view import View, Work, resident_bytes

SUMMARY_SECONDS = 600.0
"""Between two summaries in the log."""


class Overview:
    """Tell its `tally` what happens and set `connection` to a few words; `look` at any time."""

    def __init__(self, options: Options, solver: str, agent: Agent, pool: Pool, keeper: Keeper) -> None:
        self._options = options
        self._solver = solver
        self._agent = agent
        self._pool = pool
        self._keeper = keeper
        self.tally = Tally()
        self.connection = "connecting"

    def look(self) -> View:
        """The solver as it is now."""
        options, now = self._options, monotonic()
        return View(
            solver=self._solver,
            server=options.address.authority,
            connection=self.connection,
            state=self._agent.state,
            workers=options.workers,
            capacity=options.capacity,
            work=tuple(self._look_at(held, now) for held in self._agent.in_hand),
            squarings_a_second=self.tally.squarings_a_second_of_all(now),
            errors=self.tally.errors,
            proofs=self.tally.proofs,
            proofs_erred=self.tally.proofs_erred,
            proof_bytes_max=options.proof_bytes_max,
            checkpoints_written=self._keeper.written,
            checkpoint_bytes=self._keeper.bytes,
            checkpoint_bytes_max=options.disk_bytes_max,
            memory_bytes=resident_bytes([os.getpid(), *self._pool.pids]),
            score=self.tally.score,
            score_reason=self.tally.score_reason,
            verdicts=self.tally.verdicts,
        )

    def _look_at(self, held: Held, now: float) -> Work:
        offer, speed = held.offer, self.tally.squarings_a_second(held.offer.assignment, now)
        return Work(
            assignment=offer.assignment,
            task=offer.task,
            modulus_bits=offer.product.bit_length(),
            state=held.stage,
            share=held.share,
            squarings_a_second=speed,
            seconds_left=(offer.t - held.done) / speed if speed > 0 else None,
            deadline_seconds=offer.deadline / 1000 - time(),
        )

    async def sum_up(self) -> None:
        """Where nobody sees a screen, a line of the log now and then."""
        while True:
            await asyncio.sleep(SUMMARY_SECONDS)
            self.log_summary()

    def log_summary(self) -> None:
        """That line."""
        view = self.look()
        structlog.get_logger().info(
            "solver.summary",
            connection=view.connection,
            holding=len(view.work),
            squarings_a_second=round(view.squarings_a_second),
            errors=view.errors,
            proofs=view.proofs,
            proofs_erred=view.proofs_erred,
            checkpoints=view.checkpoints_written,
            checkpoint_bytes=view.checkpoint_bytes,
            memory_bytes=view.memory_bytes,
            score=view.score,
        )
