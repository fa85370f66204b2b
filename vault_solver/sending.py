"""Carries what the agent wants said to the connection that is open, when its turn has come."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

import structlog

from protocol.envelope import Envelope, Message
from protocol.errors import Code
from protocol.session import Error
from protocol.vault import ReportProgress
from vault_solver.effects import Acknowledge, Request, Retry, Signal
from vault_solver.errors import KeptOut
from vault_solver.link import Link
from vault_solver.outgoing import Outgoing, ends_progress

LIMITED_SECONDS = 1.0
"""After a refusal for the rate that does not say how long to wait."""


class Sender:
    """`connect` it to each link. With none, what is sent is lost: the agent says it again when the next one is open.

    `due` is called with a refused request when its time has come, on the same connection.
    """

    def __init__(self, due: Callable[[Message], object]) -> None:
        self._due = due
        self._outgoing = Outgoing()
        self._link: Link | None = None
        self._departed: dict[int, tuple[int, ...]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._retries: set[asyncio.TimerHandle] = set()
        self._times_limited = 0
        self._log = structlog.get_logger()

    def connect(self, link: Link) -> None:
        """From now on to this one."""
        self._link = link
        self._departed.clear()
        self._outgoing.opened(link.limits, _now())

    def disconnect(self) -> None:
        """It is gone."""
        self._link = None
        for timer in (*self._retries, *filter(None, [self._timer])):
            timer.cancel()
        self._retries.clear()
        self._timer = None

    def send(self, effect: Request | Signal | Acknowledge | Retry) -> None:
        """Now, or when the server allows it."""
        if self._link is None:
            return
        match effect:
            case Request(message):
                if (ended := ends_progress(message)) is not None:
                    self._outgoing.forget(ended)
                self._outgoing.put(message)
            case Signal(message):
                assert isinstance(message, ReportProgress), "a solver has no other signal"
                self._outgoing.put_progress(message)
            case Acknowledge(seq):
                self._link.acknowledge(seq)
            case Retry(request, seconds):
                self._retry(request, seconds)
        self._flush()

    def seconds_to_empty(self) -> float:
        """How long what waits here takes to leave."""
        return self._outgoing.seconds_to_empty(_now())

    def stopped(self, assignment: int) -> None:
        """This assignment is over."""
        self._outgoing.forget(assignment)

    def heard(self, envelope: Envelope) -> None:
        """Something has come: it may answer what counts, or say that too much was sent. Raises KeptOut."""
        if envelope.re is not None:
            self._outgoing.arrived(self._departed.pop(envelope.re, ()), _now())
        self._outgoing.grant(envelope.message)
        if isinstance(error := envelope.message, Error):
            seconds = LIMITED_SECONDS if error.retry_after_ms is None else error.retry_after_ms / 1_000
            if error.code == Code.BANNED:
                raise KeptOut(seconds, error.message)
            if error.code == Code.RATE_LIMITED:
                self._times_limited += 1
                self._log.warning("server.limits", seconds=seconds, times=self._times_limited)
                self._outgoing.hold(seconds, _now())
        self._flush()

    def _flush(self) -> None:
        if self._link is None:
            return
        while (departure := self._outgoing.take(_now())) is not None:
            self._depart(self._link, departure.message, departure.numbers)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        seconds = self._outgoing.wait(_now())
        if not math.isinf(seconds):
            self._timer = asyncio.get_running_loop().call_later(seconds, self._flush)

    def _depart(self, link: Link, message: Message, numbers: tuple[int, ...]) -> None:
        if isinstance(message, ReportProgress):
            link.signal(message, lambda: self._arrived(numbers))
        elif (request_id := link.request(message)) is not None:
            self._departed[request_id] = numbers

    def _arrived(self, numbers: tuple[int, ...]) -> None:
        self._outgoing.arrived(numbers, _now())
        self._flush()

    def _retry(self, request: Message, seconds: float) -> None:
        def again() -> None:
            self._retries.discard(timer)
            self._due(request)

        timer = asyncio.get_running_loop().call_later(seconds, again)
        self._retries.add(timer)


def _now() -> float:
    return asyncio.get_running_loop().time()
