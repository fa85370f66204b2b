"""Commands that have a running server do something: `ban`, `unban`, `appoint`, `keys rotate`."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from vault_server.operator.failures import WrongUsage, ending
from vault_server.operator.keys_page import keys_line
from vault_server.operator.node import Node
from vault_server.operator.options import (
    DatabaseOption,
    FingerprintArgument,
    JsonOption,
    print_json,
    progress,
)
from vault_server.operator.times import parse_span, second

KEYS_LOOK_SECONDS = 0.5


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
            print_json(banned)
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
            print_json(unbanned)
        elif unbanned["lifted"]:
            typer.echo(f"{fingerprint} may connect again")
        else:
            typer.echo(f"{fingerprint} was not banned")


def appoint(
    email: Annotated[str, typer.Argument(metavar="EMAIL", help="The address that he is registered with.")],
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a registered user of the hive an admin: he decides disputes and suspends agents.

    Example:  vault-server appoint ann@example.org
    """
    with ending():
        with Node(database).running_server() as server:
            appointed = server.order("AppointAdmin", email=email)
        if as_json:
            print_json(appointed)
        else:
            was = appointed["role_before"]
            what = "is an admin already" if was == "admin" else f"is an admin, and was {was} before"
            typer.echo(f"user {appointed['user_id']} {what}")


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
                progress(keys_line(state))
        progress("")
        print_json(state) if as_json else typer.echo(keys_line(state))


def _span(text: str) -> int:
    try:
        return parse_span(text)
    except ValueError as error:
        raise WrongUsage(f"--for: {error}") from None
