"""What waits to be sent at the pace that the server allows, and in which order. Touches no socket and no clock.

Free of the limit is what a push asks for, once on the connection that brought it: `accept` and `tlp_response` for a
`tlp_request`, `complaint_response` for a `complaint_raised`. Everything else counts and takes its turn here,
checkpoints behind other requests. Of them and of progress only the newest of each assignment waits, and they never use
more than their share.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from protocol.envelope import Message
from protocol.pacing import SOLVER_LIMIT, Pacer
from protocol.vault import (
    AcceptAssignment,
    ComplaintRaised,
    PuzzleOffered,
    RelayCheckpoint,
    ReportProgress,
    RespondToComplaint,
    ReturnAssignment,
    SubmitAnswer,
    UpdateStatus,
)

PROGRESS_SECONDS_MIN = 1.0
"""Between two messages of progress, whatever the number of assignments."""
PROGRESS_SHARE = 0.4
"""Of the server's limit."""
PROGRESS_MESSAGES = 2
"""What one costs there: itself, and the WebSocket's ping behind it whose pong shows that it has arrived."""
PROGRESS_ROOM, REQUEST_SHARE = 0.5, 0.75
"""Of the pacer's; the rest is for the status, without which a connection does not live."""

Grant = tuple[type[Message], int]
"""A kind of request and the number of the assignment or complaint that it may be sent for once, without counting."""


@dataclass(frozen=True, slots=True)
class Departure:
    """A message that may leave now; `numbers` are for `arrived`, none when the server does not count it."""

    message: Message
    numbers: tuple[int, ...]


class Outgoing:
    """Put messages in, `take` what may leave. Keep one for all connections: the server counts by key."""

    def __init__(self) -> None:
        self._pacer = Pacer(SOLVER_LIMIT)
        self._free: deque[Message] = deque()
        self._counted: deque[Message] = deque()
        self._relays: dict[int, RelayCheckpoint] = {}
        self._progress: dict[int, ReportProgress] = {}
        self._next_progress = 0.0
        self._granted: set[Grant] = set()

    def opened(self, limits: Mapping[str, int], now: float) -> None:
        """A new conversation: what waited for the old one is said anew by whoever wants it said."""
        self._pacer.learn(limits)
        self._pacer.lost(now)
        for waiting in (self._free, self._counted, self._relays, self._progress, self._granted):
            waiting.clear()

    def grant(self, push: Message) -> None:
        """A push has come: what it asks for is free once, also what waits already."""
        match push:
            case PuzzleOffered(assignment=number):
                self._granted |= {(AcceptAssignment, number), (SubmitAnswer, number)}
            case ComplaintRaised(complaint=number):
                self._granted.add((RespondToComplaint, number))
            case _:
                return
        waiting, self._counted = self._counted, deque()
        for request in waiting:
            self.put(request)

    def put(self, request: Message) -> None:
        """Send this as soon as it may go. A newer status takes the place of one that waits."""
        if (granted := _grant_for(request)) in self._granted:
            self._granted.remove(granted)
            self._free.append(request)
        elif isinstance(request, UpdateStatus):
            self._counted = deque(m for m in self._counted if not isinstance(m, UpdateStatus))
            self._counted.appendleft(request)
        elif isinstance(request, RelayCheckpoint):  # kilobytes that nobody waits for
            self._relays[request.assignment] = request
        else:
            self._counted.append(request)

    def put_progress(self, progress: ReportProgress) -> None:
        """Send this, or what comes after it, when it is this assignment's turn."""
        self._progress[progress.assignment] = progress

    def forget(self, assignment: int) -> None:
        """No progress and no checkpoint of this assignment is of interest any more."""
        self._progress.pop(assignment, None)
        self._relays.pop(assignment, None)

    def take(self, now: float) -> Departure | None:
        """The next message that may leave now."""
        if self._free:
            return Departure(self._free.popleft(), ())
        if self._counted:
            return self._depart(self._counted.popleft()) if self._wait_for_request(now) == 0 else None
        if self._relays and self._wait_for_relay(now) == 0:
            return self._depart(self._relays.pop(next(iter(self._relays))))
        if self._progress and self._wait_for_progress(now) == 0:
            interval = PROGRESS_MESSAGES * self._pacer.interval(PROGRESS_SHARE)
            self._next_progress = now + max(PROGRESS_SECONDS_MIN, interval)
            return self._depart(self._progress.pop(next(iter(self._progress))), PROGRESS_MESSAGES)
        return None

    def wait(self, now: float) -> float:
        """Seconds until `take` may have something; infinity when something else has to happen first."""
        if self._free:
            return 0.0
        if self._counted:
            return self._wait_for_request(now)
        relay = self._wait_for_relay(now) if self._relays else math.inf
        return min(relay, self._wait_for_progress(now) if self._progress else math.inf)

    def seconds_to_empty(self, now: float) -> float:
        """How long the requests that wait here take at the pace of now, once replies come."""
        return self._pacer.seconds_for(len(self._counted), now, share=REQUEST_SHARE)

    def arrived(self, numbers: Iterable[int], now: float) -> None:
        """The server has counted this departure."""
        for number in numbers:
            self._pacer.arrived(number, now)

    def hold(self, seconds: float, now: float) -> None:
        """The server has refused one for the rate."""
        self._pacer.hold(seconds, now)

    def _wait_for_request(self, now: float) -> float:
        is_status = isinstance(self._counted[0], UpdateStatus)
        return self._pacer.wait(now, share=1.0 if is_status else REQUEST_SHARE)

    def _wait_for_relay(self, now: float) -> float:
        return self._pacer.wait(now, share=PROGRESS_ROOM)

    def _wait_for_progress(self, now: float) -> float:
        wait = self._pacer.wait(now, share=PROGRESS_ROOM, count=PROGRESS_MESSAGES)
        return max(wait, self._next_progress - now, 0.0)

    def _depart(self, message: Message, count: int = 1) -> Departure:
        return Departure(message, tuple(self._pacer.sent() for _ in range(count)))


def _grant_for(request: Message) -> Grant:
    match request:
        case AcceptAssignment(assignment=number) | SubmitAnswer(assignment=number):
            return type(request), number
        case RespondToComplaint(complaint=number):
            return type(request), number
        case _:
            return type(request), 0


def ends_progress(message: Message) -> int | None:
    """The assignment that nobody wants to hear the progress of once this is said."""
    return message.assignment if isinstance(message, SubmitAnswer | ReturnAssignment) else None
