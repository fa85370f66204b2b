"""Composition: the agent between one connection and the worker processes. Starts them, connects them, stops them."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterable
from time import monotonic
from typing import NoReturn

import structlog

from protocol.envelope import Message
from protocol.errors import MessageError
from protocol.identity import Identity
from protocol.peer import Acknowledged, reconnect_delay
from vault_solver.agent import Agent
from vault_solver.calibration import calibrate
from vault_solver.effects import Acknowledge, Effect, Forget, Note, Request, Retry, Signal, Start, Stop
from vault_solver.errors import Unreachable
from vault_solver.keyfile import load_or_make_key
from vault_solver.link import Link, dial
from vault_solver.options import Options
from vault_solver.pins import Pins
from vault_solver.pipe import Report
from vault_solver.pool import Pool

REFUSALS_MAX = 5
"""Attempts in a row that are refused before the conversation is open, until that is believed."""
STEADY_SECONDS = 5.0
"""A connection that lasted this long ends a row of failures: the next attempt comes soon."""

GOODBYE_SECONDS = 3.0
"""How long the last `return` requests may wait for their replies."""


async def run(options: Options) -> None:
    """Solve until a signal says to stop. Raises SolverError."""
    identity, made = load_or_make_key(options.key_path)
    log = structlog.get_logger()
    if made:
        log.info("key.made", path=str(options.key_path), solver=identity.fingerprint)
    leaving = Leaving(options.grace_seconds)
    leaving.listen()
    speeds = await asyncio.to_thread(calibrate, options.calibration_seconds)
    agent = Agent(capacity=options.capacity, workers=options.workers, speeds=speeds)
    solver = Solver(options, identity, agent, leaving)
    log.info(
        "solver.started",
        solver=identity.fingerprint,
        server=options.address.authority,
        workers=options.workers,
        capacity=options.capacity,
        speeds=speeds,
    )
    try:
        await solver.work()
    finally:
        await solver.stop()
        log.info("solver.stopped", holding=agent.holding)


class Leaving:
    """How the end comes: a first signal asks for it, a second one or the end of the grace presses, then it is over."""

    def __init__(self, grace_seconds: float) -> None:
        self.asked = asyncio.Event()
        self.pressed = asyncio.Event()
        self.over = asyncio.Event()
        self._grace_seconds = grace_seconds

    def listen(self) -> None:
        """Take SIGTERM and ctrl-C from now on."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.ask)

    def ask(self) -> None:
        """One more request to stop."""
        if self.asked.is_set():
            self.pressed.set()
        else:
            self.asked.set()
            asyncio.get_running_loop().call_later(self._grace_seconds, self.pressed.set)


class Solver:
    """Performs what the agent asks for. `work` until it is over, then `stop`."""

    def __init__(self, options: Options, identity: Identity, agent: Agent, leaving: Leaving) -> None:
        self._options = options
        self._identity = identity
        self._agent = agent
        self._leaving = leaving
        self._pins = Pins(options.known_servers_path, options.server_key)
        self._pool = Pool(options.workers, self._hear)
        self._acknowledged = Acknowledged()
        self._link: Link | None = None
        self._retries: set[asyncio.TimerHandle] = set()
        self._log = structlog.get_logger()

    async def work(self) -> None:
        """Until everything is in order to leave. Raises SolverError."""
        await self._pool.start()
        parts = [self._stay_connected(), self._pool.watch(), self._leave_when_asked(), self._leaving.over.wait()]
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

    async def stop(self) -> None:
        """No process and no connection is left when it returns. Safe twice."""
        await self._pool.stop()

    async def _stay_connected(self) -> None:
        failures = refusals = 0
        while True:
            started = monotonic()
            event = "solver.unreachable"
            try:
                link = await self._dial()
                event = "solver.disconnected"
                await self._converse(link)
            except Unreachable as gone:
                refusals = 0 if gone.lasting is None else refusals + 1
                if gone.lasting is not None and refusals >= REFUSALS_MAX:
                    raise gone.lasting from None
                failures = 1 if monotonic() - started >= STEADY_SECONDS else failures + 1
                seconds = reconnect_delay(failures)
                if not self._leaving.over.is_set():
                    self._log.warning(event, reason=str(gone), again_in_s=round(seconds, 3))
            await asyncio.sleep(seconds)

    async def _dial(self) -> Link:
        options = self._options
        return await dial(options.address, self._identity, self._pins, options.subprotocol, self._acknowledged)

    async def _converse(self, link: Link) -> NoReturn:
        """One connection to its end. Raises Unreachable, SolverError."""
        self._link = link
        self._log.info("solver.connected", server=self._options.address.authority, server_key=link.server_key)
        try:
            self._perform(self._agent.opened())
            async with contextlib.aclosing(link.messages(self._cannot_read)) as messages:
                async for request, envelope in messages:
                    if request is None:
                        self._perform(self._agent.pushed(envelope))
                    else:
                        self._perform(self._agent.replied(request, envelope.message))
            raise AssertionError("messages end by raising")
        finally:
            self._link = None
            for timer in self._retries:
                timer.cancel()
            self._retries.clear()
            await link.close()

    async def _leave_when_asked(self) -> None:
        await self._leaving.asked.wait()
        self._log.info("solver.draining", holding=self._agent.holding, grace_s=self._options.grace_seconds)
        self._perform(self._agent.drain())
        await self._leaving.pressed.wait()
        self._perform(self._agent.give_up())
        if self._link is not None:
            await asyncio.sleep(GOODBYE_SECONDS)
        self._leaving.over.set()

    def _hear(self, report: Report) -> None:
        self._perform(self._agent.reported(report))

    def _cannot_read(self, error: MessageError) -> None:
        self._log.warning("message.unreadable", code=error.code.value, message=error.message)

    def _perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Start(job):
                    self._pool.solve(job)
                case Stop(assignment):
                    self._pool.cancel(assignment)
                case Forget(seq):
                    self._acknowledged.add(seq)
                case Note(event, fields, level):
                    getattr(self._log, level)(event, **fields)
                case _ if self._link is not None:
                    self._send(self._link, effect)
        if self._agent.finished:
            self._leaving.over.set()

    def _send(self, link: Link, effect: Request | Signal | Acknowledge | Retry) -> None:
        match effect:
            case Request(message):
                link.request(message)
            case Signal(message):
                link.signal(message)
            case Acknowledge(seq):
                link.acknowledge(seq)
            case Retry(request, seconds):
                self._retry(request, seconds)

    def _retry(self, request: Message, seconds: float) -> None:
        def again() -> None:
            self._retries.discard(timer)
            self._perform(self._agent.due(request))

        timer = asyncio.get_running_loop().call_later(seconds, again)
        self._retries.add(timer)
