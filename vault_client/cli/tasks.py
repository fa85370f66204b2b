"""`submit` and `cancel`."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any, cast

import typer

from protocol.puzzle import Puzzle, commit
from vault_client.answers import Answer, Order, ProofWish
from vault_client.cli.bars import wait_shown
from vault_client.cli.console import ending, note, say
from vault_client.cli.judged import answer_document
from vault_client.cli.numbers import Sources
from vault_client.cli.options import (
    DEFAULT_SERVER,
    BaseOption,
    Door,
    JsonOption,
    KeyOption,
    KnownServersOption,
    ProductOption,
    ProofOption,
    ServerKeyOption,
    ServerOption,
    SquaringsOption,
    TaskArgument,
)
from vault_client.cli.submitted import describe
from vault_client.tasks import Task

app = typer.Typer()


@app.command()
def submit(
    t: SquaringsOption,
    baseg: BaseOption,
    product: ProductOption,
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
    proof: ProofOption = "required",
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the answer, or only submit.")] = True,
    as_json: JsonOption = False,
    server: ServerOption = DEFAULT_SERVER,
    key: KeyOption = None,
    server_key: ServerKeyOption = None,
    known_servers: KnownServersOption = None,
) -> None:
    """Ask for y = baseg^(2^t) mod product, check the answer on this machine, and print it.

    A command line can be read by every user of this machine: put what is secret into a file (@FILE) or a pipe (-).

    **Examples**

        vault-client submit --t 1000000 --baseg @g.txt --product @n.txt
        vault-client submit --t 5000 --baseg 3 --product 0xc5… --no-wait --json
    """
    sources = Sources()
    submitted: list[Task] = []
    with ending(as_json=as_json, interrupted=lambda: _ask_later(submitted)):
        puzzle = Puzzle(t, sources.natural("--baseg", baseg), sources.natural("--product", product))
        promise = None if commitment is None else sources.commitment("--commitment", commitment)
        door = Door.of(server, key, server_key, known_servers)
        order = Order(puzzle, promise, cast(ProofWish, proof))
        answer = asyncio.run(_submit(door, order, idempotency_key, wait, submitted))
        say(json.dumps(_submitted_json(submitted[0], answer)) if as_json else _submitted_text(submitted[0], answer))


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
        door = Door.of(server, key, server_key, known_servers, makes_key=False)
        asyncio.run(ask())
        say(json.dumps({"task": task, "status": "cancelled"}) if as_json else f"Task {task} is cancelled.")


async def _submit(door: Door, order: Order, key: str | None, wait: bool, submitted: list[Task]) -> Answer | None:
    puzzle = order.puzzle
    async with door.open(waiting=wait) as vault:
        task = await vault.submit(
            t=puzzle.squarings,
            baseg=puzzle.base,
            product=puzzle.modulus,
            commitment=order.commitment,
            proof=order.proof,
            idempotency_key=key,
        )
        submitted.append(task)
        if not wait:
            return None
        note(describe(task))
        answer = await wait_shown(task, puzzle.squarings)
        if order.commitment not in (None, commit(answer.y, puzzle.modulus)):
            how = "proved" if answer.judged_by == "proof" else "right"
            note(f"warning: the answer is {how}; the commitment given does not fit it.")
        return answer


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
        document |= answer_document(answer)
    return document
