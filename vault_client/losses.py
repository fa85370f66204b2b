"""Why there is no conversation at the moment, where another attempt can succeed."""

from __future__ import annotations


class Broken(Exception):
    """This connection did not come about or is gone; another attempt can succeed. Its text says what happened.

    The next attempt comes after `again_seconds` at the soonest. `is_paused`: the agent of the hive may do nothing now.
    """

    def __init__(self, text: str, again_seconds: float = 0.0, *, is_paused: bool = False) -> None:
        super().__init__(text)
        self.again_seconds = again_seconds
        self.is_paused = is_paused


class KeptOut(Broken):
    """The key is banned for `seconds` more. `told` is what the server sealed; without it anybody may have said so."""

    def __init__(self, seconds: float, told: str = "") -> None:
        super().__init__("the key is banned")
        self.seconds = seconds
        self.told = told
