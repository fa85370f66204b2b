"""`vault-client subnet mine` and `judge`: hand every task to a program of yours."""

from __future__ import annotations

import json
import shlex
import shutil
import time
from typing import Annotated

import typer

from vault_client.cli.console import note, say
from vault_client.cli.subnet_door import Visit, visiting
from vault_client.cli.subnet_lines import short
from vault_client.subnet import Subnet
from vault_client.subnet_worker import Judge, Miner, Tell

app = typer.Typer()


def _program(command: str) -> str:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise typer.BadParameter(f"it is no command: {error}") from None
    if not words:
        raise typer.BadParameter("it names no program")
    if shutil.which(words[0]) is None:
        raise typer.BadParameter(f"{words[0]} is not found, or is no program that you may run (chmod +x)")
    return command


ProgramOption = Annotated[
    str,
    typer.Option(
        "--exec", callback=_program, metavar="PROGRAM", help="Your program, with its arguments in one string."
    ),
]
WorkersOption = Annotated[int, typer.Option("--workers", min=1, max=64, metavar="N", help="How many run at once.")]
LimitOption = Annotated[
    int | None, typer.Option("--limit", min=1, metavar="N", help="End after so many.", show_default="go on")
]


@app.command()
@visiting
async def mine(
    visit: Visit,
    program: ProgramOption,
    workers: WorkersOption = 1,
    limit: LimitOption = None,
    json_output: Annotated[
        bool, typer.Option("--json-output", help="The program prints JSON; without it a text.")
    ] = False,
) -> None:
    """Answer as a miner: each task's prompt goes to PROGRAM's standard input, and what it prints is submitted.

    Also the tasks of the miner you help. The program has until the task's deadline and finds `VAULT_TASK_ID`,
    `VAULT_TASK_TYPE`, `VAULT_EXPIRE_AT` and `VAULT_TASK_METADATA` (JSON) in its environment; exit code 0 is an answer,
    any other none. Ends on ctrl-C; a task that was not answered comes again at the next start.

    **Example**: a miner that shouts

        vault-client subnet mine --exec "tr a-z A-Z"
    """
    async with visit.open(waiting=True) as subnet:
        tell = _teller(visit, subnet, "Mining")
        await Miner(subnet, shlex.split(program), tell, workers, reads_json=json_output).run(limit)


@app.command()
@visiting
async def judge(visit: Visit, program: ProgramOption, workers: WorkersOption = 1, limit: LimitOption = None) -> None:
    """Judge: PROGRAM gets prompt and both completions, and prints `a` or `b`, or nothing to abstain.

    On its standard input is a JSON object with `prompt`, `a` and `b`; the files that `VAULT_PROMPT`, `VAULT_A` and
    `VAULT_B` name hold the same as plain texts. Nobody knows which one is the validator's.

    **Example**: `choose.sh` prefers the longer one

        #!/bin/sh
        [ $(wc -c <$VAULT_A) -gt $(wc -c <$VAULT_B) ] && echo a || echo b

        vault-client subnet judge --exec ./choose.sh
    """
    async with visit.open(waiting=True) as subnet:
        await Judge(subnet, shlex.split(program), _teller(visit, subnet, "Judging"), workers).run(limit)


def _teller(visit: Visit, subnet: Subnet, doing: str) -> Tell:
    note(f"{doing} as {short(subnet.hotkey)}; ctrl-C ends.")

    def tell(event: str, task_id: int, text: str) -> None:
        if visit.as_json:
            say(json.dumps({"event": event, "task_id": task_id, "text": text}))
        else:
            say(f"{time.strftime('%H:%M:%S')}  task {task_id}: {event}, {text}")

    return tell
