"""Commands that watch a running server: `top` and `tail`."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from vault_server.operator import log_lines, top_screen
from vault_server.operator.failures import WrongUsage, ending
from vault_server.operator.node import Node
from vault_server.operator.options import DatabaseOption, JsonOption, print_json
from vault_server.operator.pages import page, show

STDIN = "-"


def top(
    database: DatabaseOption = None,
    once: Annotated[bool, typer.Option("--once", help="Print it once, as where there is no terminal.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Watch the running server: connections, tasks, throughput, solvers by standing.

    Drawn anew each second; q ends it. Rates are means over the last ten seconds.

    Example:  vault-server top --database /var/lib/vault/vault.db
    """
    with ending(interrupted=0):
        node = Node(database)
        if not (once or as_json) and sys.stdin.isatty() and sys.stdout.isatty():
            with _terminated_like_interrupted():
                top_screen.run(node)
            return
        watch = top_screen.Watch(node)
        seen = watch.look()
        watch.close()
        print_json(seen) if as_json else show(page(), top_screen.draw(seen, height=None))


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM leaves the terminal as clean as ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def tail(
    source: Annotated[str | None, typer.Argument(metavar="-", help="`-` reads a log from standard input.")] = None,
    database: DatabaseOption = None,
    task: Annotated[str | None, typer.Option(help="Only of this task; a beginning is enough.")] = None,
    solver: Annotated[str | None, typer.Option(help="Only of this solver; a beginning is enough.")] = None,
    client: Annotated[str | None, typer.Option(help="Only of this client; a beginning is enough.")] = None,
    fingerprint: Annotated[str | None, typer.Option(help="Only of this key, whatever it does.")] = None,
    event: Annotated[list[str] | None, typer.Option(help="Only such events, like 'task.*'; may be repeated.")] = None,
    level: Annotated[str, typer.Option(help="At least this level: debug, info, warning or error.")] = "debug",
    since: Annotated[int, typer.Option(min=0, help="Begin with this many of the last lines (up to 1000).")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines, also on a terminal.")] = False,
) -> None:
    """Follow the log of the running server, or read one.

    On a terminal a line is a time (UTC), an event and its fields; fingerprints are cut to 16 digits. Elsewhere lines
    stay JSON.

    Example:  vault-server tail --event 'task.*' --solver 77d1

    Example:  vault-server tail --level warning - < server.log
    """
    with ending(interrupted=0):
        if source not in (None, STDIN):
            raise WrongUsage(f"{source!r} is no source: leave it out to follow the server, or say - for standard input")
        if level not in log_lines.LEVELS:
            raise WrongUsage(f"--level {level!r} is none of {', '.join(log_lines.LEVELS)}")
        wanted = log_lines.Filter(task, solver, client, fingerprint, event or (), level)
        render = log_lines.as_json if as_json or not sys.stdout.isatty() else log_lines.pretty(page().width)
        if source == STDIN:
            _show_lines(sys.stdin.buffer, wanted, render)
            return
        with Node(database).running_server() as server:
            _show_lines(server.tail(since), wanted, render)
        typer.echo("vault-server: the server has stopped", err=True)


def _show_lines(
    lines: Iterable[bytes],
    wanted: log_lines.Filter,
    render: Callable[[bytes, log_lines.Line | None], str],
) -> None:
    for raw in lines:
        if not raw.strip():
            continue
        line = log_lines.read(raw)
        if line is None or wanted.takes(line):
            typer.echo(render(raw, line))
