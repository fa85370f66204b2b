"""The live screen on a terminal: drawn anew twice a second, below the log lines; leaves the terminal as it was."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from vault_solver.view import CONNECTED, View, Work

REFRESH_SECONDS = 0.5


class Screen:
    """`start`, then `run` until cancelled, then `stop`. A terminal that goes away stops no work."""

    def __init__(self, look: Callable[[], View], console: Console | None = None) -> None:
        self._look = look
        self._live = Live(console=console or Console(), auto_refresh=False, get_renderable=self._drawn)

    def start(self) -> None:
        """Shown when it returns."""
        with contextlib.suppress(OSError):
            self._live.start(refresh=True)

    async def run(self) -> None:
        """Draw it anew for as long as this runs."""
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            with contextlib.suppress(OSError):
                self._live.refresh()

    def stop(self) -> None:
        """The last picture stays, the cursor is back. Safe twice."""
        with contextlib.suppress(OSError):
            self._live.stop()

    def _drawn(self) -> RenderableType:
        return draw(self._look())


def draw(view: View) -> RenderableType:
    """The picture of a view."""
    facts = Table.grid(padding=(0, 2))
    for name, value in _facts(view):
        facts.add_row(Text(name, style="dim"), value)
    work = Table(box=None, expand=True, padding=(0, 1), header_style="dim")
    for column in ("assignment", "task", "bits"):
        work.add_column(column, no_wrap=True)
    work.add_column("done", ratio=1, min_width=10)
    for column in ("", "a second", "left", "deadline in"):
        work.add_column(column, justify="right", no_wrap=True)
    for each in view.work:
        work.add_row(*_row(each))
    if not view.work:
        return Group(facts, Text("nothing in hand", style="dim"))
    return Group(facts, work)


def _facts(view: View) -> list[tuple[str, Text]]:
    colour = "green" if view.connection == CONNECTED else "yellow"
    connection = Text(f"{view.server}  ").append(view.connection, colour)
    errors = Text(f"{view.errors}", "bold red" if view.errors else "")
    proofs = Text(f"{view.proofs} made, each from {size(view.proof_bytes_max)} at most, ").append(
        f"{view.proofs_erred} failed", "bold red" if view.proofs_erred else ""
    )
    memory = [] if view.memory_bytes is None else [("memory", Text(size(view.memory_bytes)))]
    disk = f"{view.checkpoints_written} written, {size(view.checkpoint_bytes)} of {size(view.checkpoint_bytes_max)}"
    score = "the server has told no change yet" if view.score is None else f"{view.score:.1f}  {view.score_reason}"
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(view.verdicts.items())) or "none yet"
    return [
        ("solver", Text(f"{view.solver}  {view.state}, {len(view.work)} of {view.capacity}, {view.workers} workers")),
        ("server", connection),
        ("squarings a second", Text(f"{view.squarings_a_second:,.0f}")),
        ("errors found", errors),
        ("proofs", proofs),
        ("checkpoints", Text(disk)),
        *memory,
        ("score", Text(score)),
        ("answers", Text(verdicts)),
    ]


def _row(work: Work) -> list[RenderableType]:
    late = work.seconds_left is not None and work.seconds_left > work.deadline_seconds
    return [
        f"{work.assignment}",
        work.task[:16],
        f"{work.modulus_bits}",
        _bar(work),
        f"{100 * work.share:.1f} %",
        f"{work.squarings_a_second:,.0f}",
        Text("" if work.seconds_left is None else span(work.seconds_left), "red" if late else ""),
        span(work.deadline_seconds),
    ]


def _bar(work: Work) -> RenderableType:
    if work.state == "proving":
        proving = Table.grid(padding=(0, 1), expand=True)
        proving.add_row(Text("proving"), ProgressBar(1.0, work.share))
        return proving
    return ProgressBar(1.0, work.share) if work.state == "solving" else Text(work.state, style="dim")


def size(count: int) -> str:
    """A number of bytes for people: 1536 is "1.5 KiB"."""
    amount, unit = float(count), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"


def span(seconds: float) -> str:
    """A length of time for people, in its two largest units: 3700 is "1h 1m"."""
    left = max(0, round(seconds))
    parts: list[str] = []
    for letter, length in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        if left >= length or parts or letter == "s":
            parts.append(f"{left // length}{letter}")
            left %= length
        if len(parts) == 2:
            break
    return " ".join(parts)
