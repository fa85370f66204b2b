"""Orders that the server gives itself: a key came or went, time passed, a slow job is done."""

from __future__ import annotations

from dataclasses import dataclass, field

from protocol.puzzle import Puzzle
from vault_server.systems.vault.arithmetic import Comparison


@dataclass(frozen=True, slots=True)
class StartServing:
    """The server starts: nobody is online yet."""


@dataclass(frozen=True, slots=True)
class ExcuseSolvers:
    """The server was not there for a while, so nobody could deliver."""


@dataclass(frozen=True, slots=True)
class JoinSolver:
    """A solver's connection is open and its first frame has opened; the caller is the solver."""


@dataclass(frozen=True, slots=True)
class LeaveSolver:
    """The solver's last connection is gone; the caller is the solver."""


@dataclass(frozen=True, slots=True)
class ExpireAssignment:
    """An assignment's deadline has passed."""

    assignment: int


@dataclass(frozen=True, slots=True)
class AssignAgain:
    """A task has waited a while with an open slot."""

    task: str


@dataclass(frozen=True, slots=True)
class SettleTask:
    """A task's complaint deadline has passed."""

    task: str


@dataclass(frozen=True, slots=True)
class RecordJudgement:
    """A judge has computed whether the assignment's answer is right."""

    assignment: int
    is_right: bool


@dataclass(frozen=True, slots=True)
class RecordProof:
    """A judge has checked the proof that came for the assignment's answer."""

    assignment: int
    holds: bool


@dataclass(frozen=True, slots=True)
class LookForTraps:
    """It is time to see whether the server can afford a puzzle of its own."""


@dataclass(frozen=True, slots=True)
class IssueTrap:
    """A puzzle of the server's own is made; `commitment` is the hash of its answer."""

    puzzle: Puzzle = field(repr=False)
    commitment: bytes = field(repr=False)
    wants_proof: bool


@dataclass(frozen=True, slots=True)
class OfferToDistrusted:
    """A solver has fallen to band 0: what waited for it alone may go to others there."""


@dataclass(frozen=True, slots=True)
class RuleComplaint:
    """The time in which solvers may respond to a complaint has passed."""

    complaint: int


@dataclass(frozen=True, slots=True)
class RecordComparison:
    """A judge has compared the answers that a complaint is about with what its factor says."""

    complaint: int
    comparison: Comparison | None


@dataclass(frozen=True, slots=True)
class GoOnChecking:
    """One turn of checking the assignment's relayed checkpoint is over, and more are needed."""

    assignment: int


@dataclass(frozen=True, slots=True)
class RecordCheck:
    """A judge has checked the residues `first` to `end` - 1 of the assignment's relayed checkpoint of this depth."""

    assignment: int
    depth: int
    first: int
    end: int
    holds: bool
