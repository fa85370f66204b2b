"""`top`: the server at a glance, drawn anew each second; `snapshot` of the same as plain values."""

from __future__ import annotations

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from vault_server.operator.control_client import ControlClient
from vault_server.operator.failures import CannotLook
from vault_server.operator.node import Node
from vault_server.operator.pages import STATE_STYLES
from vault_server.operator.solvers_page import solvers_table
from vault_server.operator.times import second, span

REFRESH_SECONDS = 1.0
KEY_BYTES_MAX = 64
COUNTING_SHARE = 20
"""Counting looks at every task: it is asked for again after this many times what it took."""
SOLVERS_ASKED = 100
OTHER_LINES = 17
"""Lines of the screen that are not rows of solvers."""
COLUMNS = 6
"""Numbers side by side: 79 columns with their names."""
EVENTS_SHOWN = {
    "submitted": "task.submitted",
    "answered": "task.answered",
    "failed": "task.failed",
    "expired": "assignment.expired",
    "refused": "request.refused",
}
SUBNET_STATES = ("assigned", "submitted", "scored", "expired")
STATES = ("waiting", "assigned", "answered", "settled", "cancelled", "failed")

Snapshot = dict[str, Any]


class Watch:
    """Asks one server again and again, and connects anew when it comes back."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._client: ControlClient | None = None
        self._counts: Mapping[str, Any] = {}
        self._counted_at = 0.0
        self._count_again_at = 0.0

    def look(self) -> Snapshot:
        """Everything the screen shows. Raises CannotLook."""
        try:
            self._client = self._client or self._node.running_server()
            live = self._client.ask("live")
            solvers = self._client.ask("solvers", str(SOLVERS_ASKED))
            if time.monotonic() >= self._count_again_at:
                self._count(self._client)
        except CannotLook:
            self.close()
            raise
        age = time.monotonic() - self._counted_at
        return {**live, "counts": self._counts, "counted_seconds_ago": round(age, 1), "solvers": solvers}

    def _count(self, client: ControlClient) -> None:
        begun = time.monotonic()
        self._counts = client.ask("counts") | {"subnet": client.ask("subnet_counts")}
        self._counted_at = time.monotonic()
        self._count_again_at = self._counted_at + COUNTING_SHARE * (self._counted_at - begun)

    def close(self) -> None:
        """Hang up."""
        client, self._client = self._client, None
        if client is not None:
            client.__exit__(None, None, None)


def draw(seen: Snapshot, *, height: int | None) -> Group:
    """The screen; with a height, as many solvers as fit."""
    room = len(seen["solvers"]) if height is None else max(1, height - OTHER_LINES)
    shown = seen["solvers"][:room]
    known = seen["counts"]["solvers"]
    parts: list[RenderableType] = [_heading(seen), Text(), _numbers(seen), Text()]
    if shown:
        parts.append(solvers_table(shown))
    else:
        parts.append(Text("No solver has ever joined.", "dim"))
    left = known["known"] - len(shown)
    if left > 0:
        parts.append(Text(f"… and {left} more; `vault-server solvers` lists all", "dim"))
    return Group(*parts)


def _heading(seen: Snapshot) -> Text:
    return Text.assemble(
        ("vault-server", "bold"),
        f" {seen['version']} on {seen['node']}:{seen['port']}",
        f"   up {span(seen['now'] - seen['started_at'])}",
        f"   {second(seen['now'])} UTC",
        no_wrap=True,
        overflow="ellipsis",
    )


def _numbers(seen: Snapshot) -> Table:
    """Names over numbers, in columns that stay where they are."""
    counts, rates, connections = seen["counts"], seen["per_second"], seen["connections"]
    made = Table.grid(padding=(0, 2, 0, 0))
    made.add_column(min_width=11, no_wrap=True)
    for _ in range(COLUMNS):
        made.add_column(justify="right", min_width=9, no_wrap=True)
    age = seen["counted_seconds_ago"]
    tasks = "tasks" if age < 2 * REFRESH_SECONDS else f"{age:.0f} s ago"
    solvers = counts["solvers"]
    subnet = counts["subnet"]
    here = {"clients": "client", "solvers": "solver", "subnet": "subnet", "hive": "hive", "unproved": "none"}
    of_solvers = {name: solvers[name.replace(" ", "_")] for name in ("known", "online", "capacity", "in hand")}
    _add(made, "connections", {name: connections.get(endpoint, 0) for name, endpoint in here.items()})
    _add(made, tasks, {state: counts["tasks"].get(state, 0) for state in STATES})
    _add(made, "per second", {name: float(rates.get(event, 0)) for name, event in EVENTS_SHOWN.items()})
    _add(made, "solvers", {**of_solvers, "complaints": counts["complaints"]})
    _add(made, "subnet", {**{state: subnet["tasks"].get(state, 0) for state in SUBNET_STATES}, **subnet["online"]})
    return made


def _add(made: Table, heading: str, numbers: Mapping[str, float]) -> None:
    names = [Text(name, "dim") for name in numbers]
    made.add_row("", *names)
    shown = [
        Text(
            f"{number:,.1f}" if isinstance(number, float) else f"{number:,}",
            f"bold {STATE_STYLES.get(name, '')}" if number else "dim",
        )
        for name, number in numbers.items()
    ]
    made.add_row(Text(heading, "bold"), *shown)


def run(node: Node) -> None:
    """Draw until `q` or ctrl-C; the terminal is left as it was found."""
    console = Console(markup=False, highlight=False, emoji=False)
    watch = Watch(node)
    first = watch.look()  # a server that is not there is said on the plain screen
    with _single_keys(), Live(console=console, screen=True, auto_refresh=False) as live:
        seen, trouble = first, ""
        while True:
            live.update(_with_footer(seen, trouble, console), refresh=True)
            if _pressed(REFRESH_SECONDS) in (b"q", b"Q"):
                break
            try:
                seen, trouble = watch.look(), ""
            except CannotLook as gone:
                trouble = str(gone)
    watch.close()


def _with_footer(seen: Snapshot, trouble: str, console: Console) -> Group:
    footer = Text(f"no answer: {trouble}", "red") if trouble else Text("q: quit", "dim")
    return Group(draw(seen, height=console.height), footer)


@contextmanager
def _single_keys() -> Iterator[None]:
    """Keys arrive at once and are not shown; ctrl-C still interrupts."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _pressed(seconds: float) -> bytes:
    """What is typed within this time: a letter, or what a terminal sends for an arrow."""
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    return os.read(sys.stdin.fileno(), KEY_BYTES_MAX) if ready else b""
