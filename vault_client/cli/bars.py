"""Progress bars on standard error; where that is no terminal, a line now and then."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from rich.progress import BarColumn, DownloadColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from vault_client.answers import Answer
from vault_client.cli.console import errors, note
from vault_client.cli.judged import describe_check
from vault_client.durations import format_duration
from vault_client.tasks import Task

LINE_SECONDS = 10.0
"""Between two lines where there is no terminal to draw a bar on."""
LARGE_BYTES = 2**26
"""Below this a file is done before anybody could look at its bar."""

Advance = Callable[[int], None]


@contextmanager
def squarings_bar(what: str, total: int) -> Iterator[Advance]:
    """A bar with an estimate of the time left; call what it gives with the squarings done so far."""
    if not errors.is_terminal:
        yield _lines(what, total)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, transient=True, speed_estimate_period=60) as bar:
        row = bar.add_task(what, total=total)
        yield lambda done: bar.update(row, completed=done)


@contextmanager
def bytes_bar(what: str, total: int) -> Iterator[Advance]:
    """A bar for a file that is large; call what it gives with the bytes done so far."""
    if total < LARGE_BYTES or not errors.is_terminal:
        yield lambda _done: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, transient=True) as bar:
        row = bar.add_task(what, total=total)
        yield lambda done: bar.update(row, completed=done)


async def wait_shown(task: Task, total: int) -> Answer:
    """Wait for a task with a bar, and say what stands behind its answer. Raises what `Task.answer` raises."""
    with squarings_bar("The solvers are squaring", total) as advance:
        following = asyncio.create_task(_follow(task, advance))
        try:
            answer = await task.answer()
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following
    note(describe_check(answer))
    return answer


async def _follow(task: Task, advance: Advance) -> None:
    async for news in task.progress():
        advance(news.done)


def _lines(what: str, total: int) -> Advance:
    started = said = time.monotonic()

    def advance(done: int) -> None:
        nonlocal said
        now = time.monotonic()
        if done > 0 and now - said >= LINE_SECONDS:
            left = (now - started) * (total - done) / done
            note(f"{what}: {done / total:.0%}, about {format_duration(left)} left")
            said = now

    return advance
