"""The operator's commands, as `vault-server` has them."""

from __future__ import annotations

from collections.abc import Callable

import typer

from vault_server.operator.asking import bans, check, explain, solvers, status
from vault_server.operator.migrating import migrate
from vault_server.operator.ordering import appoint, ban, rotate, unban
from vault_server.operator.watching import tail, top

PANEL = "For the operator"

COMMANDS: dict[str, Callable[..., None]] = {
    "top": top,
    "tail": tail,
    "explain": explain,
    "solvers": solvers,
    "bans": bans,
    "ban": ban,
    "unban": unban,
    "appoint": appoint,
    "check": check,
    "migrate": migrate,
}
KEYS_COMMANDS: dict[str, Callable[..., None]] = {"rotate": rotate, "status": status}


def add_to(cli: typer.Typer) -> None:
    """Register all of them."""
    for name, command in COMMANDS.items():
        cli.command(name, help=_help(command), rich_help_panel=PANEL)(command)
    keys = typer.Typer(name="keys", no_args_is_help=True, help="The master keys of what is encrypted at rest.")
    for name, command in KEYS_COMMANDS.items():
        keys.command(name, help=_help(command))(command)
    cli.add_typer(keys, rich_help_panel=PANEL)


def _help(command: Callable[..., None]) -> str:
    """A docstring whose paragraphs are one line each, so that they fill the terminal they are shown on."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in (command.__doc__ or "").split("\n\n"))
