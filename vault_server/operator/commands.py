"""The operator's commands. They read options and show; whom to ask and what to draw is said in their neighbours."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console

from vault_server.operator import checking, log_lines, top_screen
from vault_server.operator.explain_page import candidates_text, explain_page
from vault_server.operator.failures import OperatorError, Refused, ending
from vault_server.operator.keys_page import keys_line
from vault_server.operator.node import Node
from vault_server.operator.pages import page, show, table
from vault_server.operator.solvers_page import solvers_table
from vault_server.operator.times import parse_span, second, span

PANEL = "For the operator"
STDIN = "-"
KEYS_LOOK_SECONDS = 0.5

DatabaseOption = Annotated[
    Path | None,
    typer.Option("--database", metavar="FILE", help="The server's SQLite file, or VAULT_DATABASE.  [vault.db]"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
FingerprintArgument = Annotated[str, typer.Argument(metavar="FINGERPRINT", help="The key's 32 hex digits.")]

keys_cli = typer.Typer(name="keys", no_args_is_help=True, help="The master keys of what is encrypted at rest.")


def add_to(cli: typer.Typer) -> None:
    """Register every command of this module."""
    for name, command in COMMANDS.items():
        cli.command(name, help=_help(command), rich_help_panel=PANEL)(command)
    for name, command in KEYS_COMMANDS.items():
        keys_cli.command(name, help=_help(command))(command)
    cli.add_typer(keys_cli, rich_help_panel=PANEL)


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
            raise _usage(f"{source!r} is no source: leave it out to follow the server, or say - for standard input")
        if level not in log_lines.LEVELS:
            raise _usage(f"--level {level!r} is none of {', '.join(log_lines.LEVELS)}")
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
        _print_json(seen) if as_json else show(page(), top_screen.draw(seen, height=None))


def explain(
    task: Annotated[str, typer.Argument(metavar="TASK", help="A task's fingerprint, or its beginning.")],
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say who was chosen for a task and why, and everything that has happened to it since.

    Every assignment with the ranking it was chosen from, its times, complaints, rulings and scores that moved. Works
    with and without a running server. Times are UTC.

    Example:  vault-server explain 019ab37c
    """
    with ending():
        found = Node(database).ask("explain", task)
        if found is None:
            raise Refused(f"there is no task {task!r} here; `vault-server tail --event task.submitted` names new ones")
        if as_json:
            _print_json(found)
        if "candidates" in found:
            raise Refused(candidates_text(found))
        if not as_json:
            console = page()
            show(console, explain_page(found, console))


def solvers(
    database: DatabaseOption = None,
    online: Annotated[bool, typer.Option("--online", help="Only those that are connected.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List solvers by standing, best first.

    "hand" is what it works on now, "given" the capacity it is given of what it announced, "taken" every assignment it
    ever got, "valid" its answers that were proved right. Works with and without a running server.

    Example:  vault-server solvers --online
    """
    with ending():
        rows = [row for row in Node(database).ask("solvers") if row["is_online"] or not online]
        if as_json:
            _print_json(rows)
        elif rows:
            show(page(), solvers_table(rows))
        else:
            typer.echo("No solver is online." if online else "No solver has ever joined.")


def ban(
    fingerprint: FingerprintArgument,
    duration: Annotated[str, typer.Option("--for", metavar="SPAN", help="How long: 90s, 15m, 1h, 7d, 1d12h.")] = "1h",
    reason: Annotated[str, typer.Option(help="Why; the key's owner is shown it.")] = "banned by the operator",
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keep a key out for a while: its connections are closed, and its next ones refused.

    Example:  vault-server ban 77d1c0ffee0123456789abcdef012345 --for 7d --reason "floods us"
    """
    with ending():
        seconds = _span(duration)
        with Node(database).running_server() as server:
            banned = server.order("BanKey", fingerprint=fingerprint, seconds=seconds, reason=reason)
        if as_json:
            _print_json(banned)
        else:
            typer.echo(f"{fingerprint} is kept out until {second(banned['until'])} UTC")


def unban(fingerprint: FingerprintArgument, database: DatabaseOption = None, as_json: JsonOption = False) -> None:
    """End every ban of a key.

    Example:  vault-server unban 77d1c0ffee0123456789abcdef012345
    """
    with ending():
        with Node(database).running_server() as server:
            unbanned = server.order("UnbanKey", fingerprint=fingerprint)
        if as_json:
            _print_json(unbanned)
        elif unbanned["lifted"]:
            typer.echo(f"{fingerprint} may connect again")
        else:
            typer.echo(f"{fingerprint} was not banned")


def bans(
    fingerprint: Annotated[
        str, typer.Argument(metavar="FINGERPRINT", help="All bans of this key, also those that have ended.")
    ] = "",
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """List who is kept out until when, and why. Works with and without a running server.

    Example:  vault-server bans
    """
    with ending():
        rows = Node(database).ask("bans", fingerprint)
        if as_json:
            _print_json(rows)
        elif rows:
            shown = table("fingerprint", "until", "cause", "reason")
            shown.columns[-1].no_wrap = False
            for row in rows:
                lifted = f" (lifted {second(row['lifted'])})" if row["lifted"] else ""
                shown.add_row(row["fingerprint"], second(row["until"]), row["cause"], row["reason"] + lifted)
            show(page(), shown)
        else:
            typer.echo("Nobody is banned." if not fingerprint else f"{fingerprint} was never banned.")


def rotate(
    wait: Annotated[
        bool, typer.Option("--wait", help="Stay until everything is sealed anew, and show how far.")
    ] = False,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a new master key and seal everything anew with it, while the server serves.

    The server goes on with it if this command is ended, and after a restart.

    Example:  vault-server keys rotate --wait
    """
    with ending():
        with Node(database).running_server() as server:
            state = server.order("RotateMasterKey")
            while wait and state["phase"] != "idle":
                time.sleep(KEYS_LOOK_SECONDS)
                state = server.ask("keys")
                _progress(keys_line(state))
        _progress("")
        _print_json(state) if as_json else typer.echo(keys_line(state))


def status(database: DatabaseOption = None, as_json: JsonOption = False) -> None:
    """Say which master keys are in use, and how far a rotation is. Works with and without a running server.

    Example:  vault-server keys status
    """
    with ending():
        state = Node(database).ask("keys")
        _print_json(state) if as_json else typer.echo(keys_line(state))


def check(database: DatabaseOption = None, as_json: JsonOption = False) -> None:
    """Verify every invariant of the database: counters, slots, deadlines, scores, complaints, sealed values, the file.

    Reads the file on one view of its rows; a running server is not held up. Exit code 0: sound; 1: broken, with each
    violation named; 2: it cannot be looked at.

    Example:  vault-server check --database backup.db
    """
    with ending():
        began = time.monotonic()
        checked = checking.check(Node(database), lambda number, of, name: _progress(f"{number}/{of} {name}"))
        _progress("")
        if as_json:
            _print_json(asdict(checked))
        else:
            _print_checked(checked, time.monotonic() - began)
        if checked.broken:
            raise typer.Exit(1)


def _print_checked(checked: checking.Checked, seconds: float) -> None:
    for finding in checked.broken:
        typer.secho(f"broken: {finding.invariant}", fg="red")
        for violation in finding.violations:
            typer.echo(f"  {violation}")
        if finding.more:
            typer.echo("  … and more")
    for reason in checked.not_looked_at:
        typer.secho(f"not looked at: {reason}", fg="yellow")
    held = len(checked.findings) - len(checked.broken)
    verdict = "broken" if checked.broken else "sound"
    typer.echo(f"{verdict}: {held} of {len(checked.findings)} invariants hold, in {span(seconds * 1000)}")


COMMANDS: dict[str, Callable[..., None]] = {
    "top": top,
    "tail": tail,
    "explain": explain,
    "solvers": solvers,
    "bans": bans,
    "ban": ban,
    "unban": unban,
    "check": check,
}


KEYS_COMMANDS: dict[str, Callable[..., None]] = {"rotate": rotate, "status": status}


def _help(command: Callable[..., None]) -> str:
    """A docstring whose paragraphs are one line each, so that they fill the terminal they are shown on."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in (command.__doc__ or "").split("\n\n"))


def _span(text: str) -> int:
    try:
        return parse_span(text)
    except ValueError as error:
        raise _usage(f"--for: {error}") from None


def _usage(message: str) -> OperatorError:
    error = OperatorError(message)
    error.code = 2
    return error


def _print_json(document: Any) -> None:
    typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())


_errors = Console(stderr=True, markup=False, highlight=False, emoji=False)


def _progress(line: str) -> None:
    """One line on standard error that the next one replaces; nothing where nobody looks."""
    if _errors.is_terminal:
        typer.echo(f"\r\x1b[K{line[: _errors.width - 1]}", err=True, nl=False)


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM leaves the terminal as clean as ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
