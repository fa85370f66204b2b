"""What the operator's signals ask for: SIGTERM and ctrl-C to leave, SIGUSR1 to pause, SIGUSR2 to go on."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable


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


class Pausing:
    """SIGUSR1 asks to pause, SIGUSR2 to go on. What comes before there is a solver is told to it then."""

    def __init__(self) -> None:
        self._asked = False
        self._tell: Callable[[bool], object] = lambda _paused: None

    def listen(self) -> None:
        """Take both signals from now on."""
        for number, paused in ((signal.SIGUSR1, True), (signal.SIGUSR2, False)):
            asyncio.get_running_loop().add_signal_handler(number, self.ask, paused)

    def tell(self, tell: Callable[[bool], object]) -> None:
        """Call this from now on."""
        self._tell = tell
        if self._asked:
            tell(True)

    def ask(self, paused: bool) -> None:
        """One signal."""
        self._asked = paused
        self._tell(paused)
