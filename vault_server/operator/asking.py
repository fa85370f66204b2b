"""Commands that look at rows, through the server or in the file: `explain`, `solvers`, `bans`, `keys status`, …"""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Annotated

import typer

from vault_server.operator import checking
from vault_server.operator.explain_page import candidates_text, explain_page
from vault_server.operator.failures import Refused, ending
from vault_server.operator.hive_page import PREFIX as HIVE_PREFIX
from vault_server.operator.hive_page import hive_page
from vault_server.operator.keys_page import keys_line
from vault_server.operator.node import Node
from vault_server.operator.options import DatabaseOption, JsonOption, print_json, progress
from vault_server.operator.pages import page, show, table
from vault_server.operator.solvers_page import solvers_table
from vault_server.operator.subnet_page import PREFIX, subnet_page
from vault_server.operator.times import second, span


def explain(
    task: Annotated[
        str,
        typer.Argument(metavar="TASK", help="A task's fingerprint, or its beginning; subnet:NUMBER, or hive:NUMBER."),
    ],
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say who was chosen for a task and why, and everything that has happened to it since.

    Every assignment with the ranking it was chosen from, its times, complaints, rulings and scores that moved. Works
    with and without a running server. Times are UTC.

    Example:  vault-server explain 019ab37c
    """
    with ending():
        if task.startswith(PREFIX):
            _explain_subnet(task.removeprefix(PREFIX), database, as_json=as_json)
            return
        if task.startswith(HIVE_PREFIX):
            _explain_hive(task.removeprefix(HIVE_PREFIX), database, as_json=as_json)
            return
        found = Node(database).ask("explain", task)
        if found is None:
            raise Refused(f"there is no task {task!r} here; `vault-server tail --event task.submitted` names new ones")
        if as_json:
            print_json(found)
        if "candidates" in found:
            raise Refused(candidates_text(found))
        if not as_json:
            console = page()
            show(console, explain_page(found, console))


def _explain_subnet(number: str, database: str | None, *, as_json: bool) -> None:
    found = Node(database).ask("explain_subnet", number)
    if found is None:
        raise Refused(f"the subnet has no task {number!r}; `vault-server tail --event 'subnet.*'` names new ones")
    if as_json:
        print_json(found)
    else:
        console = page()
        show(console, subnet_page(found, console))


def _explain_hive(number: str, database: str | None, *, as_json: bool) -> None:
    found = Node(database).ask("explain_hive", number)
    if found is None:
        raise Refused(f"the hive has no task {number!r}; `vault-server tail --event 'hive.*'` names new ones")
    if as_json:
        print_json(found)
    else:
        show(page(), hive_page(found))


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
            print_json(rows)
        elif rows:
            show(page(), solvers_table(rows))
        else:
            typer.echo("No solver is online." if online else "No solver has ever joined.")


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
            print_json(rows)
        elif rows:
            shown = table("fingerprint", "until", "cause", "reason")
            shown.columns[-1].no_wrap = False
            for row in rows:
                lifted = f" (lifted {second(row['lifted'])})" if row["lifted"] else ""
                shown.add_row(row["fingerprint"], second(row["until"]), row["cause"], row["reason"] + lifted)
            show(page(), shown)
        else:
            typer.echo("Nobody is banned." if not fingerprint else f"{fingerprint} is in no ban.")


def status(database: DatabaseOption = None, as_json: JsonOption = False) -> None:
    """Say which master keys are in use, and how far a rotation is. Works with and without a running server.

    Example:  vault-server keys status
    """
    with ending():
        state = Node(database).ask("keys")
        print_json(state) if as_json else typer.echo(keys_line(state))


def check(database: DatabaseOption = None, as_json: JsonOption = False) -> None:
    """Verify every invariant of the database: counters, slots, deadlines, scores, complaints, sealed values, the file.

    Reads the file on one view of its rows; a running server is not held up. Exit code 0: sound; 1: broken, with each
    violation named; 2: it cannot be looked at.

    Example:  vault-server check --database backup.db
    """
    with ending():
        began = time.monotonic()
        checked = checking.check(Node(database), lambda number, of, name: progress(f"{number}/{of} {name}"))
        progress("")
        if as_json:
            print_json(asdict(checked))
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
