"""What the agent asks for: everything that leaves it is one of these values. Performed by `vault_solver.solver`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from protocol.envelope import Message
from vault_solver.pipe import Solve


@dataclass(frozen=True, slots=True)
class Request:
    """Send this; its reply comes back through `replied`."""

    message: Message


@dataclass(frozen=True, slots=True)
class Signal:
    """Send this; nobody answers."""

    message: Message


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """This push has been acted upon."""

    seq: int


@dataclass(frozen=True, slots=True)
class Forget:
    """This push was acknowledged by a request; should it come again, it is a double."""

    seq: int


@dataclass(frozen=True, slots=True)
class Retry:
    """Call `due(request)` after so many seconds, on this connection only."""

    request: Message
    seconds: float


@dataclass(frozen=True, slots=True)
class Start:
    """Have this solved, which is of that task, from where an earlier process left it if one did."""

    job: Solve
    task: str


@dataclass(frozen=True, slots=True)
class Look:
    """Report the answer of this if an earlier process has left one; no worker is free to begin it."""

    job: Solve
    task: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Solve this no longer."""

    assignment: int


@dataclass(frozen=True, slots=True)
class Suspend:
    """Verify how far this is and stop; what comes next is `Suspended`."""

    assignment: int


@dataclass(frozen=True, slots=True)
class Discard:
    """This has ended: nothing of it needs to be kept."""

    assignment: int


@dataclass(frozen=True, slots=True)
class Archive:
    """This was answered without a proof: keep what one can be made from until then."""

    job: Solve
    task: str
    answer: int = field(repr=False)
    kept_until_ms: int


@dataclass(frozen=True, slots=True)
class Examine:
    """Find out by a proof whether the answer to this assignment was right; what comes next is `examined`."""

    complaint: int
    assignment: int
    respond_by_ms: int


@dataclass(frozen=True, slots=True)
class Note:
    """Log this. Holds no parameter and no answer."""

    event: str
    fields: dict[str, Any] = field(default_factory=dict)
    level: str = "info"


Effect = (
    Request | Signal | Acknowledge | Forget | Retry | Start | Look | Stop | Suspend | Discard | Archive | Examine | Note
)
