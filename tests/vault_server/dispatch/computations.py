"""What the tests have worker processes compute. It imports nothing of ours: workers import it."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Self:
    """What a process knows of itself."""

    pid: int
    arguments: list[str]
    environment: dict[str, str]
    descriptors: dict[int, str]
    modules: list[str]
    scheduler: int
    nice: int
    killed_first: int


def look_at_oneself(_: object) -> Self:
    return Self(
        pid=os.getpid(),
        arguments=Path("/proc/self/cmdline").read_text().split("\0"),
        environment=dict(os.environ),
        descriptors={fd: os.readlink(f"/proc/self/fd/{fd}") for fd in range(256) if _is_open(fd)},
        modules=list(sys.modules),
        scheduler=os.sched_getscheduler(0),
        nice=os.nice(0),
        killed_first=int(Path("/proc/self/oom_score_adj").read_text()),
    )


def _is_open(fd: int) -> bool:
    return os.path.exists(f"/proc/self/fd/{fd}")


def double(number: int) -> int:
    return 100 + number


def double_when_allowed(work: tuple[int, Path]) -> int:
    """Takes until that file is there; one beside it says that it has begun."""
    number, permission = work
    permission.with_suffix(".begun").touch()
    while not permission.exists():
        time.sleep(0.005)
    return 100 + number


def double_in_the_second_life(work: tuple[int, Path]) -> int:
    """Killed, as for its memory, before it leaves a file behind for the next one."""
    number, trace = work
    if not trace.exists():
        trace.touch()
        die(None)
    return 100 + number


def write_down(work: tuple[int, Path]) -> int:
    """Leaves its number behind in a file, in the order in which it was computed."""
    number, order = work
    with order.open("a") as lines:
        lines.write(f"{number}\n")
    return 100 + number


def die(_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def stumble(_: object) -> None:
    raise ZeroDivisionError("over there")


def unpicklable(_: object) -> object:
    return lambda: None
