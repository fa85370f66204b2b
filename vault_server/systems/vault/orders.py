"""Orders that the server gives itself: a key came or went, time passed, a slow job is done."""

from __future__ import annotations

from dataclasses import dataclass

from vault_server.systems.vault.rules import Comparison


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
class RuleComplaint:
    """The time in which solvers may respond to a complaint has passed."""

    complaint: int


@dataclass(frozen=True, slots=True)
class RecordComparison:
    """A judge has compared the answers that a complaint is about with what its factor says."""

    complaint: int
    comparison: Comparison | None
