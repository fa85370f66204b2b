"""What the solver raises for the person who runs it: each error says what went wrong and what to do next."""

from __future__ import annotations


class SolverError(Exception):
    """Root of what ends the solver with exit code 1. `message` says what went wrong, `suggestion` the next step."""

    def __init__(self, message: str, suggestion: str) -> None:
        super().__init__(f"{message} {suggestion}")
        self.message = message
        self.suggestion = suggestion


class BadFile(SolverError):
    """A key or known-servers file that cannot be read, written or trusted."""


class Refused(SolverError):
    """A server that must not, or will not, be spoken to: trying again by oneself cannot help."""


class PoolFailed(SolverError):
    """The worker processes do not start."""


class Unreachable(Exception):
    """No conversation now; trying again later can help. Its text is fit for a log.

    The next attempt comes after `again_seconds` at the soonest. `lasting` is what to end with when the same comes
    several times in a row: before the conversation is open nobody has signed a refusal, so one alone proves nothing.
    """

    def __init__(self, text: str, lasting: Refused | None = None, again_seconds: float = 0.0) -> None:
        super().__init__(text)
        self.lasting = lasting
        self.again_seconds = again_seconds


class KeptOut(Unreachable):
    """The key is banned for `seconds` more. `told` is what the server sealed; without it anybody may have said so."""

    def __init__(self, seconds: float, told: str = "") -> None:
        super().__init__("the key is banned")
        self.seconds = seconds
        self.told = told
