"""A worker process of the server: computes what arrives on a socket, its standard input, and sends back the result.

It imports nothing of the server: what is to be computed is found by name, in modules that import protocol/ alone. It
opens no file and no other socket, and ends when its server does, however that ends.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any, BinaryIO

from vault_server.descendant import end_with_parent, ignore_signals

HEADER_BYTES = 4
SOCKET = 0
IDLE_PRIORITY = "idle"
"""The argument that asks for a priority below everything else on this machine."""
NICE = 10
"""Where there is no such priority: a tenth of what another program gets."""
KILL_ME_FIRST = 500
"""Where memory runs out: a worker is replaced, the server is not."""


def frame(value: Any) -> bytes:
    """The bytes of one message, either way."""
    raw = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    return len(raw).to_bytes(HEADER_BYTES, "big") + raw


def main() -> None:
    """Entry of the process. Before its first result it says why it could not have the priority that was asked for, ""
    where it has it. It starts at the usual one: starting takes much longer than most of what is computed.
    """
    ignore_signals()
    end_with_parent()
    offer_to_be_killed()
    is_new = True
    with contextlib.suppress(BrokenPipeError, ConnectionResetError), open(SOCKET, "rb") as orders:
        while (order := read(orders)) is not None:
            task = understand(order)
            if is_new:
                is_new = False
                send(frame(give_way() if sys.argv[1:] == [IDLE_PRIORITY] else ""))
            send(carry_out(task))


def offer_to_be_killed() -> None:
    """Be chosen before the server when the machine has no memory left."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as adjustment:
        adjustment.write(str(KILL_ME_FIRST))


def give_way() -> str:
    """Run only when nothing else wants to. Where that cannot be had: why, and a low priority instead.

    In the server's session: Linux lets whoever is woken have the processor at once only within one (sched_autogroup).
    """
    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except (AttributeError, OSError) as error:
        os.nice(NICE)
        return str(error)
    return ""


def read(orders: BinaryIO) -> bytes | None:
    """What is to be computed, as it was sent; None when the server has gone."""
    header = orders.read(HEADER_BYTES)
    raw = orders.read(int.from_bytes(header, "big"))
    return raw or None


def understand(order: bytes) -> Callable[[], Any]:
    """What is to be done; its module is imported here. What cannot be understood fails when it is done."""
    try:
        compute, work = pickle.loads(order)
    except Exception as error:
        return partial(_fail, error)
    return partial(compute, work)


def _fail(error: Exception) -> None:
    raise error


def carry_out(task: Callable[[], Any]) -> bytes:
    """The frame that says whether it could be computed, with the result; or else with what the server logs."""
    try:
        return frame((True, task()))
    except Exception:
        return frame((False, traceback.format_exc()))


def send(message: bytes) -> None:
    """To the server, all of it."""
    unsent = memoryview(message)
    while unsent:
        unsent = unsent[os.write(SOCKET, unsent) :]


if __name__ == "__main__":
    main()
