"""`list`."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from contextlib import aclosing
from typing import Annotated

import typer

from protocol.vault import TASK_STATUSES, TaskLine
from vault_client.cli.console import ending, note, say
from vault_client.cli.judged import judged_by
from vault_client.cli.options import (
    DEFAULT_SERVER,
    Door,
    JsonLinesOption,
    KeyOption,
    KnownServersOption,
    ServerKeyOption,
    ServerOption,
)
from vault_client.cli.submitted import local_time

app = typer.Typer()


def _status(word: str | None) -> str | None:
    if word is not None and word not in TASK_STATUSES:
        raise typer.BadParameter(f"it is one of {', '.join(TASK_STATUSES)}")
    return word


@app.command("list")
def list_(
    status: Annotated[
        str | None,
        typer.Option(
            "--status", callback=_status, metavar="STATUS", help=f"Only those that are {', '.join(TASK_STATUSES)}."
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="Only the newest N.")] = None,
    as_json: JsonLinesOption = False,
    server: ServerOption = DEFAULT_SERVER,
    key: KeyOption = None,
    server_key: ServerKeyOption = None,
    known_servers: KnownServersOption = None,
) -> None:
    """List your tasks, the newest first; `status TASK` says more of one, with its answer.

    They are the tasks of this key, whatever machine submitted them.

    **Examples**

        vault-client list
        vault-client list --status answered --limit 5 --json
    """

    async def show() -> int:
        shown = 0
        async with door.open(waiting=False) as vault, aclosing(vault.tasks(status=status)) as lines:
            async for line in lines:
                say(json.dumps(dataclasses.asdict(line)) if as_json else _text(line))
                shown += 1
                if shown == limit:
                    break
        return shown

    with ending(as_json=as_json):
        door = Door.of(server, key, server_key, known_servers, makes_key=False)
        if asyncio.run(show()) == 0 and not as_json:
            note("No tasks." if status is None else f"No tasks that are {status}.")


def _text(line: TaskLine) -> str:
    return f"{line.task}  {line.status:<9}  {local_time(line.created)}  {_more(line)}".rstrip()


def _more(line: TaskLine) -> str:
    if line.status in ("waiting", "assigned"):
        return "" if line.promised_by is None else f"promised by {local_time(line.promised_by)}"
    judged = judged_by(line.judged_by)
    if line.status == "settled" or line.complaint_deadline is None:
        return judged
    return f"{judged}, complain until {local_time(line.complaint_deadline)}".lstrip(", ")
