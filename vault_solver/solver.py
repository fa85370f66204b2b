"""Composition: the agent between one connection and the worker processes. Starts them, connects them, stops them."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Iterable, Mapping
from time import monotonic
from typing import NoReturn

import structlog

from protocol.errors import MessageError
from protocol.identity import Identity
from protocol.peer import Acknowledged, reconnect_delay
from vault_solver.agent import Agent
from vault_solver.calibration import calibrate
from vault_solver.complaints import Finding
from vault_solver.effects import Archive, Discard, Effect, Examine, Forget, Look, Note, Start, Stop, Suspend
from vault_solver.errors import KeptOut, Unreachable
from vault_solver.keeper import Keeper
from vault_solver.kernel import choose
from vault_solver.keyfile import load_or_make_key
from vault_solver.link import Link, dial
from vault_solver.options import Options
from vault_solver.overview import Overview
from vault_solver.pins import Pins
from vault_solver.pipe import Report, Solved, Squared, Verified
from vault_solver.plan import Planner
from vault_solver.pool import Pool
from vault_solver.screen import Screen
from vault_solver.sending import Sender
from vault_solver.signals import Leaving, Pausing
from vault_solver.store import Store
from vault_solver.view import CONNECTED
from vault_solver.witness import Witness

REFUSALS_MAX = 5
"""Attempts in a row that are refused before the conversation is open, until that is believed."""
STEADY_SECONDS = 5.0
"""A connection that lasted this long ends a row of failures: the next attempt comes soon."""

UNSIGNED_SECONDS_MAX = 600.0
"""For the ban that a refused handshake speaks of: nobody has signed it, so it is looked at again after that time."""

GOODBYE_SECONDS = 3.0
"""How long the last `return` requests may wait for their replies, once the server's limit has let them go."""


async def run(options: Options) -> None:
    """Solve until a signal says to stop. Raises SolverError."""
    identity, made = load_or_make_key(options.key_path)
    log = structlog.get_logger()
    if made:
        log.info("key.made", path=str(options.key_path), solver=identity.fingerprint)
    leaving, pausing = Leaving(options.grace_seconds), Pausing()
    leaving.listen()
    pausing.listen()
    chosen = await asyncio.to_thread(choose, options.kernel)
    if chosen.warning:
        log.warning("solver.kernel_refused", message=chosen.warning, consequence=f"{chosen.name} is used")
    speeds = await asyncio.to_thread(calibrate, options.calibration_seconds, square=chosen.arithmetic.square)
    planner = Planner(identity.fingerprint, options.proof_bytes_max, options.check_seconds)
    agent = Agent(
        capacity=options.capacity,
        workers=options.workers,
        speeds=speeds,
        kept_on_stop=options.kept_on_stop,
        planner=planner,
        relay=options.relay,
    )
    solver = Solver(options, identity, agent, leaving, planner, speeds, chosen.name)
    pausing.tell(solver.pause)
    log.info(
        "solver.started",
        solver=identity.fingerprint,
        server=options.address.authority,
        workers=options.workers,
        capacity=options.capacity,
        kernel=chosen.name,
        not_used=dict(chosen.absent),
        speeds=speeds,
        proof_bytes_max=options.proof_bytes_max,
    )
    solver.show()
    try:
        await solver.work()
    finally:
        await solver.stop()
        log.info("solver.stopped", holding=agent.holding)


class Solver:
    """Performs what the agent asks for. `work` until it is over, then `stop`."""

    def __init__(
        self,
        options: Options,
        identity: Identity,
        agent: Agent,
        leaving: Leaving,
        planner: Planner,
        speeds: Mapping[str, int],
        kernel: str,
    ) -> None:
        self._options = options
        self._identity = identity
        self._agent = agent
        self._leaving = leaving
        self._pins = Pins(options.known_servers_path, options.server_key)
        self._pool = Pool(options.workers, self._hear, options.check_seconds, kernel=kernel)
        store = Store(options.checkpoints, options.disk_bytes_max)
        self._keeper = Keeper(store, identity.fingerprint, self._hear)
        self._witness = Witness(self._keeper, planner, speeds, self._examine, kernel=kernel)
        self._overview = Overview(options, identity.fingerprint, agent, self._pool, self._keeper)
        self._screen = Screen(self._overview.look) if options.live_screen else None
        self._acknowledged = Acknowledged()
        self._link: Link | None = None
        self._sender = Sender(lambda request: self._perform(self._agent.due(request)))
        self._log = structlog.get_logger()

    async def work(self) -> None:
        """Until everything is in order to leave. Raises SolverError."""
        await self._keeper.start()
        await self._pool.start()
        parts = [self._stay_connected(), self._pool.watch(), self._leave_when_asked(), self._leaving.over.wait()]
        parts.append(self._overview.sum_up() if self._screen is None else self._screen.run())
        tasks = [asyncio.ensure_future(part) for part in parts]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            if self._leaving.over.is_set() and self._link is not None:
                await self._link.leave()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._overview.log_summary()

    def show(self) -> None:
        """Put up the screen, if there is to be one."""
        if self._screen is not None:
            self._screen.start()

    async def stop(self) -> None:
        """No process and no connection is left when it returns, and the terminal as it was. Safe twice."""
        try:
            await self._witness.stop()
            await self._pool.stop()
            await self._keeper.stop()
        finally:
            if self._screen is not None:
                self._screen.stop()

    def pause(self, paused: bool) -> None:
        """Take nothing new, or go on doing so; what is in hand is finished in both cases."""
        self._log.info("solver.paused" if paused else "solver.resumed", holding=self._agent.holding)
        self._perform(self._agent.pause(paused))

    async def _stay_connected(self) -> None:
        failures = refusals = 0
        while True:
            started = monotonic()
            event = "solver.unreachable"
            try:
                link = await self._dial()
                event = "solver.disconnected"
                await self._converse(link)
            except KeptOut as banned:
                seconds = min(banned.seconds, math.inf if banned.told else UNSIGNED_SECONDS_MAX)
                self._overview.connection = "banned"
                self._log.warning("solver.banned", reason=banned.told or str(banned), again_in_s=round(seconds, 3))
            except Unreachable as gone:
                refusals = 0 if gone.lasting is None else refusals + 1
                if gone.lasting is not None and refusals >= REFUSALS_MAX:
                    raise gone.lasting from None
                failures = 1 if monotonic() - started >= STEADY_SECONDS else failures + 1
                seconds = max(gone.again_seconds, reconnect_delay(failures))
                self._overview.connection = f"away: {gone}"
                if not self._leaving.over.is_set():
                    self._log.warning(event, reason=str(gone), again_in_s=round(seconds, 3))
            await asyncio.sleep(seconds)

    async def _dial(self) -> Link:
        options = self._options
        return await dial(options.address, self._identity, self._pins, options.subprotocol, self._acknowledged)

    async def _converse(self, link: Link) -> NoReturn:
        """One connection to its end. Raises Unreachable, SolverError."""
        self._link, self._overview.connection = link, CONNECTED
        self._sender.connect(link)
        self._keeper.meet(link.server_key)
        self._log.info("solver.connected", server=self._options.address.authority, server_key=link.server_key)
        try:
            self._perform(self._agent.opened(link.limits))
            async with contextlib.aclosing(link.messages(self._cannot_read)) as messages:
                async for request, envelope in messages:
                    self._sender.heard(envelope)
                    if request is None:
                        self._perform(self._agent.pushed(envelope))
                    else:
                        self._perform(self._agent.replied(request, envelope.message))
            raise AssertionError("messages end by raising")
        finally:
            self._link = None
            self._sender.disconnect()
            await link.close()

    async def _leave_when_asked(self) -> None:
        await self._leaving.asked.wait()
        self._log.info("solver.draining", holding=self._agent.holding, grace_s=self._options.grace_seconds)
        self._perform(self._agent.drain(self._options.grace_seconds))
        await self._leaving.pressed.wait()
        self._perform(self._agent.give_up())
        if self._link is not None:
            await asyncio.sleep(GOODBYE_SECONDS + self._sender.seconds_to_empty())
        self._leaving.over.set()

    def _hear(self, report: Report) -> None:
        self._overview.tally.reported(report, monotonic())
        if isinstance(report, Verified | Squared):
            self._keeper.keep(report.assignment, report.state)
        elif isinstance(report, Solved):
            self._keeper.keep_answer(report)
        self._perform(self._agent.reported(report))

    def _examine(self, finding: Finding) -> None:
        self._perform(self._agent.examined(finding))

    def _cannot_read(self, error: MessageError) -> None:
        self._log.warning("message.unreadable", code=error.code.value, message=error.message)

    def _perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Start(job, task):
                    self._keeper.begin(job, task, self._pool.solve)
                case Look(job, task):
                    self._keeper.look(job, task)
                case Archive(job, task, answer, kept_until_ms):
                    self._keeper.archive(job, task, answer, kept_until_ms)
                case Examine():
                    self._witness.look_into(effect)
                case Suspend(assignment):
                    self._keeper.cancel(assignment)
                    self._pool.suspend(assignment)
                case Discard(assignment):
                    self._keeper.discard(assignment)
                case Stop(assignment):
                    self._keeper.cancel(assignment)
                    self._pool.cancel(assignment)
                    self._sender.stopped(assignment)
                case Forget(seq):
                    self._acknowledged.add(seq)
                case Note(event, fields, level):
                    self._overview.tally.noted(effect)
                    getattr(self._log, level)(event, **fields)
                case _:
                    self._sender.send(effect)
        if self._agent.finished:
            self._leaving.over.set()
