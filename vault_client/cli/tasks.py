"""`submit`, `status` and `cancel`."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any

import typer

from protocol.vault import TaskState
from vault_client.cli.bars import wait_shown
from vault_client.cli.console import ending, note, say
from vault_client.cli.numbers import Sources
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
from vault_client.cli.submitted import describe, local_time
from vault_client.tasks import Answer, Task
from vault_client.watching import OPEN

SLOTS = 2
"""Solvers of one task."""

app = typer.Typer()


@app.command()
def submit(
    t: Annotated[int, typer.Option("--t", min=1, metavar="N", help="How many squarings.")],
    baseg: Annotated[
        str, typer.Option("--baseg", metavar="NUMBER", help="The base g: 123, 0x7b, @FILE or - for stdin.")
    ],
    product: Annotated[str, typer.Option("--product", metavar="NUMBER", help="The modulus N, in the same forms.")],
    commitment: Annotated[
        str | None,
        typer.Option("--commitment", metavar="HEX", help="SHA-256 of the answer, 64 hex digits, if you know it."),
    ] = None,
    idempotency_key: Annotated[
        str | None,
        typer.Option(
            "--idempotency-key", metavar="TEXT", help="The same key never makes two tasks; drawn when not given."
        ),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the answer, or only submit.")] = True,
    as_json: JsonOption = False,
    server: ServerOption = DEFAULT_SERVER,
    key: KeyOption = None,
    server_key: ServerKeyOption = None,
    known_servers: KnownServersOption = None,
) -> None:
    """Ask for y = baseg^(2^t) mod product, and print it.

    A command line can be read by every user of this machine: put what is secret into a file (@FILE) or a pipe (-).

    **Examples**

        vault-client submit --t 1000000 --baseg @g.txt --product @n.txt
        vault-client submit --t 5000 --baseg 3 --product 0xc5… --no-wait --json
    """
    sources = Sources()
    submitted: list[Task] = []
    with ending(as_json=as_json, interrupted=lambda: _ask_later(submitted)):
        order = {"t": t, "baseg": sources.natural("--baseg", baseg), "product": sources.natural("--product", product)}
        promise = None if commitment is None else sources.commitment("--commitment", commitment)
        door = Door.of(server, key, server_key, known_servers)
        answer = asyncio.run(_submit(door, order, promise, idempotency_key, wait, submitted))
        say(json.dumps(_submitted_json(submitted[0], answer)) if as_json else _submitted_text(submitted[0], answer))


@app.command()
def status(
    task: TaskArgument,
    as_json: JsonOption = False,
    server: ServerOption = DEFAULT_SERVER,
    key: KeyOption = None,
    server_key: ServerKeyOption = None,
    known_servers: KnownServersOption = None,
) -> None:
    """Say how a task of yours stands, with its answer once there is one.

    Only the key that submitted a task may ask for it.

    **Examples**

        vault-client status 5b1f0c3e9a7d42688e21f6a0b4c9d853
        vault-client status 5b1f0c3e9a7d42688e21f6a0b4c9d853 --json
    """

    async def ask() -> TaskState:
        async with door.open(waiting=False) as vault:
            return await vault.status(task)

    with ending(as_json=as_json):
        door = Door.of(server, key, server_key, known_servers)
        state = asyncio.run(ask())
        say(json.dumps(_state_json(state)) if as_json else "\n".join(_state_lines(state)))


@app.command()
def cancel(
    task: TaskArgument,
    as_json: JsonOption = False,
    server: ServerOption = DEFAULT_SERVER,
    key: KeyOption = None,
    server_key: ServerKeyOption = None,
    known_servers: KnownServersOption = None,
) -> None:
    """Give up a task of yours that has no answer yet; its solvers are told.

    **Example**

        vault-client cancel 5b1f0c3e9a7d42688e21f6a0b4c9d853
    """

    async def ask() -> None:
        async with door.open(waiting=False) as vault:
            await vault.cancel(task)

    with ending(as_json=as_json):
        door = Door.of(server, key, server_key, known_servers)
        asyncio.run(ask())
        say(json.dumps({"task": task, "status": "cancelled"}) if as_json else f"Task {task} is cancelled.")


async def _submit(
    door: Door, order: dict[str, int], commitment: bytes | None, key: str | None, wait: bool, submitted: list[Task]
) -> Answer | None:
    async with door.open(waiting=wait) as vault:
        task = await vault.submit(**order, commitment=commitment, idempotency_key=key)
        submitted.append(task)
        if not wait:
            return None
        note(describe(task))
        return await wait_shown(task, order["t"])


def _ask_later(submitted: list[Task]) -> str:
    return f"The task goes on; ask for it with: vault-client status {submitted[0].id}" if submitted else ""


def _submitted_text(task: Task, answer: Answer | None) -> str:
    if answer is None:
        return task.id
    return f"{answer.y:#x}"


def _submitted_json(task: Task, answer: Answer | None) -> dict[str, Any]:
    assert task.accepted is not None, "a submitted task was accepted"
    document: dict[str, Any] = {
        "task": task.id,
        "difficulty": task.accepted.difficulty,
        "effort_seconds": task.accepted.effort_seconds,
        "promised_by": task.accepted.promised_by,
    }
    if answer is not None:
        document |= {"answer": f"{answer.y:#x}", "judged_by": answer.judged_by}
    return document


def _state_json(state: TaskState) -> dict[str, Any]:
    return {
        "task": state.task,
        "status": state.status,
        "assigned": state.assigned,
        "num_assignments": state.num_assignments,
        "created": state.created,
        "promised_by": state.promised_by,
        "answer": None if state.answer is None else f"{state.answer:#x}",
        "judged_by": state.judged_by,
        "reason": state.reason,
        "complaint_deadline": state.complaint_deadline,
    }


def _solvers(state: TaskState) -> str:
    if state.status not in OPEN:
        return f"{state.num_assignments} in all"
    wanted = "; waits for one that has not had it yet" if state.assigned < SLOTS else ""
    return f"{state.assigned} at work or waiting to be judged, {state.num_assignments} in all{wanted}"


def _state_lines(state: TaskState) -> list[str]:
    lines = [
        f"task      {state.task}",
        f"status    {state.status}",
        f"solvers   {_solvers(state)}",
        f"created   {local_time(state.created)}",
    ]
    if state.promised_by is not None:
        lines.append(f"promised  {local_time(state.promised_by)}")
    if state.answer is not None:
        lines += [f"judged    {state.judged_by}", f"answer    {state.answer:#x}"]
    if state.reason is not None:
        lines.append(f"reason    {state.reason}")
    if state.complaint_deadline is not None and state.status in ("answered", "failed"):
        lines.append(f"complain  until {local_time(state.complaint_deadline)}")
    return lines
