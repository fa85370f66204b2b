"""What the server's own processes do first: they end when it does, however that ends, and not before."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def ignore_signals() -> None:
    """Ctrl-C and the service manager's SIGTERM reach the whole group; the server decides."""
    for group_signal in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(group_signal, signal.SIG_IGN)


def end_with_parent(parent: int | None = None) -> None:
    """Have the kernel end this process with its server, in the middle of its work too. Elsewhere than on Linux it
    ends at its next look at the socket. `parent`: its process, for who may have come too late.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if parent is not None and os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
