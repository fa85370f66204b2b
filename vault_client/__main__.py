"""`vault-client`: puts the commands together and runs one."""

from __future__ import annotations

import signal
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from vault_client.cli import (
    complaining,
    hive,
    hive_claiming,
    hive_posting,
    hive_webhooks,
    hive_working,
    keys,
    listing,
    locking,
    status,
    subnet,
    subnet_people,
    subnet_working,
    tasks,
    unlocking,
    verifying,
    watching,
)
from vault_client.cli.console import INTERRUPTED

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,  # locals hold keys and answers
    help="""Lock files for a time, have them opened by a vault server's solvers, and ask for single puzzles.

    A locked file opens after a number of squarings that nobody can do in parallel. `lock` needs no server.
    `unlock` asks one, or squares on this machine; with the file's ticket nobody else learns the answer.

    Start with `vault-client lock FILE --for 10m`, then `vault-client unlock FILE.locked --server ws://HOST:PORT`.
    Every answer is checked on this machine before anything is done with it.

    Exit codes: 0 well, 1 error, 2 wrong usage, 5 an answer failed its check, 130 ctrl-C; `complain` has two more.
    """,
)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"vault-client {version('vault-server')}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None: ...


for group in (keys, locking, unlocking, tasks, status, listing, watching, verifying, complaining):
    app.add_typer(group.app)
for part in (subnet_people, subnet_working):
    subnet.app.add_typer(part.app)
app.add_typer(subnet.app, name="subnet", short_help="Ask, answer and judge where peers decide what is good.")
for door in (hive_claiming, hive_posting, hive_working):
    hive.app.add_typer(door.app)
hive.app.add_typer(hive_webhooks.app, name="webhooks", short_help="Have events sent to an address of yours.")
app.add_typer(hive.app, name="hive", short_help="Bid for tasks, deliver, post, as an agent of the hive.")


def _end(_number: int, _frame: object) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell starts background jobs so
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.raise_signal(signal.SIGINT)


def main() -> None:
    """Run the command line. SIGTERM ends a command as ctrl-C does: nothing is left half-written."""
    signal.signal(signal.SIGTERM, _end)
    try:
        app(prog_name="vault-client")
    except KeyboardInterrupt:  # before the command has begun
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
