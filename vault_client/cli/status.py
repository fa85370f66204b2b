"""`status`."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from vault_client.cli.console import ending, note, say
from vault_client.cli.judged import answer_document, judged
from vault_client.cli.options import (
    DEFAULT_SERVER,
    Door,
    JsonOption,
    KeyOption,
    KnownServersOption,
    ServerKeyOption,
    ServerOption,
    TaskArgument,
)
from vault_client.cli.submitted import local_time
from vault_client.errors import FileError
from vault_client.files import refuse_existing
from vault_client.proof_file import ProofFile
from vault_client.statuses import TaskStatus
from vault_client.watching import OPEN

SLOTS = 2
"""Solvers of one task."""

app = typer.Typer()


@app.command()
def status(
    task: TaskArgument,
    save_proof: Annotated[
        Path | None,
        typer.Option("--save-proof", metavar="PATH", help="Write the answer and its proof there, for `verify`."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file of --save-proof.")] = False,
    as_json: JsonOption = False,
    server: ServerOption = DEFAULT_SERVER,
    key: KeyOption = None,
    server_key: ServerKeyOption = None,
    known_servers: KnownServersOption = None,
) -> None:
    """Say how a task of yours stands, with its answer once there is one.

    Only the key that submitted a task may ask for it. The answer is shown as the server tells it: this command does not
    know the puzzle, so it cannot check it. `--save-proof` and `verify` do.

    **Examples**

        vault-client status 5b1f0c3e9a7d42688e21f6a0b4c9d853
        vault-client status 5b1f0c3e9a7d42688e21f6a0b4c9d853 --save-proof 5b1f.proof --json
    """

    async def ask() -> TaskStatus:
        async with door.open(waiting=False) as vault:
            return await vault.status(task)

    with ending(as_json=as_json):
        door = Door.of(server, key, server_key, known_servers, makes_key=False)
        if save_proof is not None:
            refuse_existing(save_proof, force=force)
        state = asyncio.run(ask())
        if save_proof is not None:
            _proof_of(state).write(save_proof, force=force)
            note(f"Wrote the answer and its proof to {save_proof}.")
        say(json.dumps(_state_json(state)) if as_json else "\n".join(_state_lines(state)))


def _state_json(state: TaskStatus) -> dict[str, Any]:
    return {
        "task": state.task,
        "status": state.status,
        "assigned": state.assigned,
        "num_assignments": state.num_assignments,
        "created": state.created,
        "promised_by": state.promised_by,
        **answer_document(state.answer),
        "reason": state.reason,
        "complaint_deadline": state.complaint_deadline,
    }


def _proof_of(state: TaskStatus) -> ProofFile:
    answer = state.answer
    if answer is None or answer.proof is None or answer.solver is None:
        how = f"it is {state.status}" if answer is None else f"its answer is {answer.judged_by}"
        raise FileError(f"Task {state.task} has no proof to save: {how}.", "Leave --save-proof out.")
    return ProofFile(state.task, answer.solver, answer.y, answer.proof)


def _how_to_check(state: TaskStatus) -> str:
    answer = state.answer
    if answer is None or answer.is_checked or answer.proof is None:
        return ""
    return " (--save-proof writes the proof, and `vault-client verify` checks it)"


def _solvers(state: TaskStatus) -> str:
    if state.status not in OPEN:
        return f"{state.num_assignments} in all"
    wanted = "; waits for one that has not had it yet" if state.assigned < SLOTS else ""
    return f"{state.assigned} at work or waiting to be judged, {state.num_assignments} in all{wanted}"


def _state_lines(state: TaskStatus) -> list[str]:
    lines = [
        f"task      {state.task}",
        f"status    {state.status}",
        f"solvers   {_solvers(state)}",
        f"created   {local_time(state.created)}",
    ]
    if state.promised_by is not None:
        lines.append(f"promised  {local_time(state.promised_by)}")
    if state.answer is not None:
        lines += [f"judged    {judged(state.answer)}{_how_to_check(state)}", f"answer    {state.answer.y:#x}"]
    if state.reason is not None:
        lines.append(f"reason    {state.reason}")
    if state.complaint_deadline is not None and state.status in ("answered", "failed"):
        lines.append(f"complain  until {local_time(state.complaint_deadline)}")
    return lines
