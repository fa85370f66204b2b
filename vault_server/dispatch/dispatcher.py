"""Orders in, replies out: checks off the loop, then everything that has arrived in one transaction (design §3).

A lone order waits for nobody; a burst costs one wait for the disk. Nothing is replied before it is on disk. What only
reads is carried out beside that, on what is on disk.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import gmpy2
import structlog

from protocol.envelope import Message
from protocol.errors import Code, MessageError
from vault_server.clock import Clock
from vault_server.core.operation import Caller, Effect, Operation, Reader, Refusal
from vault_server.dispatch.errand import Errand, Guard
from vault_server.dispatch.lanes import Lanes
from vault_server.dispatch.router import Router
from vault_server.dispatch.turns import Turns
from vault_server.settings import Settings
from vault_server.storage.database import Database, Outcome, StorageError

logger = structlog.get_logger()

T = TypeVar("T")

RETRY_AFTER_MS = 1000
LINE_SECONDS_MAX = 5.0
"""On PostgreSQL, where a stranger's lock can hold connections for long: who has stood in line so long is refused."""

Done = Callable[[Message | None, MessageError | None], None]
"""Told exactly once what became of an order: its reply, or why it was refused."""


@dataclass(slots=True)
class _Waiting:
    operation: Operation
    caller: Caller
    order: Any
    done: Done
    guard: Guard | None
    since: float = 0.0
    """When it was put in line, by `time.monotonic`."""


class Dispatcher:
    """`submit` from the event loop only. When a batch is on disk, `concluding` is told that its replies go out now, in
    the same turn of the loop, and then `effects` what it wants done.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        database: Database,
        router: Router,
        effects: Callable[[list[Effect]], None],
        concluding: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._database = database
        self._router = router
        self._effects = effects
        self._concluding = concluding
        self._lanes: Lanes[_Waiting, list[Outcome]] | None = None
        self._takes_checks = False
        self._checkers: ThreadPoolExecutor | None = None
        self._checking: set[asyncio.Future[None]] = set()
        self._unchecked: Turns[_Waiting] = Turns()
        self._reading: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Ready to take orders."""
        if self._lanes is None:
            self._checkers = ThreadPoolExecutor(
                self._settings.check_threads, "check", initializer=release_the_gil_in_gmpy2
            )
            self._takes_checks = True
            # Each work has a transaction of its own there: its reply need not wait for the next one's.
            batch_max = 1 if self._database.is_shared else self._settings.batch_messages_max
            database = self._database
            self._lanes = Lanes(
                database.writers, database.batches_ahead, batch_max, self._write, self._conclude, _whose
            )

    async def stop(self) -> None:
        """Carry out what has arrived, then end. Checks that run are waited for, those that have not begun refused."""
        self._takes_checks = False
        for waiting in self._unchecked.clear():
            self._deliver(waiting, Outcome(error=_draining()))
        while self._checking:
            await asyncio.gather(*self._checking, return_exceptions=True)
            await asyncio.sleep(0)
        if self._lanes is not None:
            await self._lanes.stop()
            self._lanes = None
        await asyncio.gather(*self._reading)
        if self._checkers is not None:
            self._checkers.shutdown()
            self._checkers = None

    def submit(self, caller: Caller, order: Any, done: Done, guard: Guard | None = None) -> None:
        """Have an order carried out. Raises MessageError when that can be said at once.

        `guard` runs first in the order's transaction; when it says False nothing happens and the reply is None.
        """
        operation = self._router.route(caller, order)
        waiting = _Waiting(operation, caller, order, done, guard)
        if operation.only_reads:
            self._read(waiting)
            return
        if operation.check is None or (operation.checked is not None and operation.checked(order)):
            self._enqueue(waiting)
        else:
            self._check_first(waiting)

    async def call(self, caller: Caller, order: Any, guard: Guard | None = None) -> Any:
        """Give an order and wait for its reply. Raises MessageError."""
        answer: asyncio.Future[Message | None] = asyncio.get_running_loop().create_future()

        def done(reply: Message | None, refusal: MessageError | None) -> None:
            if answer.cancelled():
                return
            if refusal is not None:
                answer.set_exception(refusal)
            else:
                answer.set_result(reply)

        self.submit(caller, order, done, guard)
        return await answer

    async def look(self, function: Callable[[Reader], T]) -> T:
        """Read outside of any operation, as doors do before there is a caller. Raises MessageError."""
        try:
            return await self._database.read(function)
        except StorageError as error:
            logger.error("storage.failed", order="look", reason=str(error))
            raise _unavailable(error) from None

    def _enqueue(self, waiting: _Waiting) -> None:
        if self._lanes is None:
            raise _draining()
        waiting.since = time.monotonic()
        self._lanes.add(waiting)

    def _read(self, waiting: _Waiting) -> None:
        assert waiting.guard is None, "what only reads has nothing to guard"
        if self._lanes is None:
            raise _draining()
        reading = asyncio.create_task(self._read_and_reply(waiting))
        self._reading.add(reading)
        reading.add_done_callback(self._reading.discard)

    async def _read_and_reply(self, waiting: _Waiting) -> None:
        now_ms = self._clock.now_ms()
        handler, caller, order = waiting.operation.handler, waiting.caller, waiting.order
        try:
            outcome = Outcome(await self._database.read(lambda reader: handler(reader, caller, order, now_ms)))
        except Exception as error:
            outcome = Outcome(error=error)
        self._deliver(waiting, outcome)

    def _check_first(self, waiting: _Waiting) -> None:
        if not self._takes_checks:
            raise _draining()
        key = waiting.caller.subject
        if len(self._checking) + len(self._unchecked) >= self._settings.checks_waiting_max:
            raise _too_many("Too many puzzles wait to be checked.")
        if self._unchecked.count(key) >= self._settings.checks_waiting_per_key_max:
            raise _too_many("Too many of your puzzles wait to be checked.")
        self._unchecked.add(key, waiting)
        self._begin_checks()

    def _begin_checks(self) -> None:
        """As many at once as there are threads: what has begun cannot be taken back."""
        assert self._checkers is not None, "start() comes first"
        while self._unchecked and len(self._checking) < self._settings.check_threads:
            waiting = self._unchecked.next()
            future = asyncio.get_running_loop().run_in_executor(
                self._checkers, _check, waiting.operation, waiting.order
            )
            self._checking.add(future)
            future.add_done_callback(partial(self._checked, waiting))

    def _checked(self, waiting: _Waiting, checked: asyncio.Future[None]) -> None:
        self._checking.discard(checked)
        self._begin_checks()
        error = checked.exception()
        if error is None:
            self._enqueue(waiting)
        else:
            assert isinstance(error, Exception), "a check does not exit"
            waiting.done(None, self._refusal(waiting, error))

    async def _write(self, batch: list[_Waiting]) -> list[Outcome]:
        now_ms = self._clock.now_ms()
        waited = time.monotonic() - batch[0].since
        if self._database.is_shared and waited > LINE_SECONDS_MAX:
            return [Outcome(error=StorageError(f"all connections to the database were busy for {waited:.0f} s"))]
        return await self._database.transact(
            [Errand(waiting.caller, waiting.order, now_ms, waiting.guard, waiting.operation) for waiting in batch]
        )

    def _conclude(self, batch: list[_Waiting], result: list[Outcome] | Exception) -> None:
        outcomes = [Outcome(error=result) for _ in batch] if isinstance(result, Exception) else result
        self._concluding()
        effects: list[Effect] = []
        for waiting, outcome in zip(batch, outcomes, strict=True):
            effects.extend(outcome.effects)
            self._deliver(waiting, outcome)
        try:
            self._effects(effects)
        except Exception:
            logger.exception("effects.failed")

    def _deliver(self, waiting: _Waiting, outcome: Outcome) -> None:
        refusal = None if outcome.error is None else self._refusal(waiting, outcome.error)
        try:
            waiting.done(outcome.value, refusal)
        except Exception:
            logger.exception("reply.failed", order=type(waiting.order).__name__)

    def _refusal(self, waiting: _Waiting, error: Exception) -> MessageError:
        """What the caller is told. Storage's troubles and our defects are logged here, once."""
        if isinstance(error, MessageError):
            return error
        order = type(waiting.order).__name__
        if isinstance(error, StorageError):
            logger.error("storage.failed", order=order, reason=str(error))
            return _unavailable(error)
        logger.error("operation.failed", order=order, exc_info=error)
        return Refusal(
            Code.INTERNAL,
            "The server has a defect; nothing of the request was stored.",
            "Try again; if it stays, tell the operator the time and the type of the message.",
            retry_after_ms=RETRY_AFTER_MS,
        )


def _check(operation: Operation, order: Any) -> None:
    assert operation.check is not None, "what needs no check is not checked"
    operation.check(order)


def _whose(waiting: _Waiting) -> str:
    caller = waiting.caller
    return f"{caller.endpoint} {caller.subject}" if caller.fingerprint or caller.account else ""


def _unavailable(error: StorageError) -> Refusal:
    became, advice = "nothing of it was stored", "Send it again later; the operator has been told."
    if error.in_doubt:
        became = "it was lost while it stored it, and whether it did is not known"
        advice = "Ask how things stand before you send it again; what has an idempotency key may be repeated as it is."
    return Refusal(
        Code.UNAVAILABLE,
        f"The storage cannot take the request now; {became}.",
        advice,
        retry_after_ms=RETRY_AFTER_MS,
    )


def _too_many(message: str) -> Refusal:
    return Refusal(Code.UNAVAILABLE, message, "Send it again later.", retry_after_ms=RETRY_AFTER_MS)


def _draining() -> Refusal:
    return Refusal(
        Code.DRAINING, "The server is stopping.", "Connect again in a moment.", retry_after_ms=RETRY_AFTER_MS
    )


def release_the_gil_in_gmpy2() -> None:
    """For threads that compute: gmpy2 keeps the interpreter's lock unless each thread says otherwise."""
    gmpy2.get_context().allow_release_gil = True
