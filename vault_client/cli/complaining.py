"""`complain`."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from protocol.vault import ComplaintRuled
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
from vault_client.cli.submitted import local_time
from vault_client.complaints import Complaint
from vault_client.errors import Refused
from vault_client.statuses import TaskStatus

EXIT_CODES = {"upheld": 0, "rejected": 3, "undecided": 4}

SETTLED = {
    "computed": "The server has computed this answer itself",
    "commitment": "This answer matches the commitment that was given with the puzzle",
    "proof": "This answer came with a proof that the server has checked",
}
"""Judgements that no complaint without a factor can overturn."""

app = typer.Typer()


@app.command()
def complain(
    task: TaskArgument,
    late: Annotated[bool, typer.Option("--late", help="It was answered after its promised time.")] = False,
    no_answer: Annotated[bool, typer.Option("--no-answer", help="It was not answered at all.")] = False,
    wrong_answer: Annotated[bool, typer.Option("--wrong-answer", help="The answer is not right.")] = False,
    factor_file: Annotated[
        Path | None,
        typer.Option(
            "--factor-file",
            metavar="PATH",
            help="A prime factor of product, for --wrong-answer: decimal digits or 0x and hex digits in a file, or - "
            "for stdin. It is revealed to the server, and settles the matter for good.",
            show_default="asked for, unseen, on a terminal",
        ),
    ] = None,
    wait: Annotated[
        bool | None,
        typer.Option("--wait/--no-wait", help="Wait for the ruling.", show_default="wait, if output is a terminal"),
    ] = None,
    as_json: JsonOption = False,
    server: ServerOption = DEFAULT_SERVER,
    key: KeyOption = None,
    server_key: ServerKeyOption = None,
    known_servers: KnownServersOption = None,
) -> None:
    """Say what is wrong with a task of yours, until its complaint deadline (`status TASK` tells it).

    A complaint that is rejected lowers your standing; where that is known beforehand, it is said first.

    Exit codes with --wait: 0 upheld, 3 rejected, 4 undecided.

    **Examples**

        vault-client complain 5b1f0c3e9a7d42688e21f6a0b4c9d853 --late --wait
        vault-client complain 5b1f0c3e9a7d42688e21f6a0b4c9d853 --wrong-answer --factor-file p.txt
    """
    kind = _kind(late=late, no_answer=no_answer, wrong_answer=wrong_answer)
    if factor_file is not None and kind != "wrong_answer":
        raise typer.BadParameter("a factor goes with --wrong-answer alone", param_hint="--factor-file")
    taken: list[Complaint] = []
    with ending(as_json=as_json, interrupted=lambda: _stands(taken)):
        factor = _factor(factor_file) if kind == "wrong_answer" else None
        door = Door.of(server, key, server_key, known_servers, makes_key=False)
        if factor is None and (state := asyncio.run(_state(door, task))) is not None:
            _warn(kind, state)
        waiting = sys.stdout.isatty() if wait is None else wait
        ruled = asyncio.run(_complain(door, task, kind, factor, taken, waiting=waiting))
        say(json.dumps(_document(taken[0], ruled)) if as_json else _text(taken[0], ruled))
        if ruled is not None and (code := EXIT_CODES[ruled.ruling]) != 0:
            raise typer.Exit(code)


async def _complain(
    door: Door, task: str, kind: str, factor: int | None, taken: list[Complaint], *, waiting: bool
) -> ComplaintRuled | None:
    async with door.open(waiting=waiting) as vault:
        complaint = await vault.complain(task, kind, factor=factor)
        taken.append(complaint)
        if not waiting:
            return None
        note(_text(complaint, None))
        return await complaint.ruling()


async def _state(door: Door, task: str) -> TaskStatus | None:
    try:
        async with door.open(waiting=False) as vault:
            return await vault.status(task)
    except Refused:
        return None  # the complaint itself will be refused, with the reason


def _warn(kind: str, state: TaskStatus) -> None:
    """Say so beforehand when the complaint will be rejected, and ask whoever sits there."""
    if (why := _refuted(kind, state)) is None:
        return
    note(f"{why} the complaint will be rejected, and lower your standing.")
    if kind == "wrong_answer" and state.answer is not None and state.answer.proof is not None:
        note("To check the proof yourself: `vault-client status TASK --save-proof`, then `vault-client verify`.")
    if sys.stdin.isatty() and not typer.confirm("Complain all the same?", err=True):
        raise typer.Exit(1)


def _refuted(kind: str, state: TaskStatus) -> str | None:
    """What the record has against such a complaint, as the beginning of a warning; None where nothing is known."""
    if state.answer is None or state.status == "failed":
        return None
    match kind:
        case "no_answer":
            return f"Task {state.task} has an answer:"
        case "late" if state.promised_by is not None and time.time() * 1000 <= state.promised_by:
            return f"Task {state.task} has its answer, and was promised for {local_time(state.promised_by)}:"
        case "wrong_answer" if (why := SETTLED.get(state.answer.judged_by)) is not None:
            return f"{why}. Without a prime factor of product"
    return None


def _kind(**asked: bool) -> str:
    kinds = [kind for kind, is_asked in asked.items() if is_asked]
    if len(kinds) != 1:
        raise typer.BadParameter(
            "give one of --late, --no-answer and --wrong-answer", param_hint="--late, --no-answer, --wrong-answer"
        )
    return kinds[0]


def _factor(path: Path | None) -> int | None:
    """Never from the command line: other users can read that."""
    if path is not None:
        return Sources().natural("--factor-file", "-" if str(path) == "-" else f"@{path}")
    if not sys.stdin.isatty():
        return None
    given = typer.prompt(
        "A prime factor of product (unseen; empty for none)", default="", show_default=False, hide_input=True, err=True
    )
    return Sources().natural("factor", given) if given else None


def _stands(taken: list[Complaint]) -> str:
    return "The complaint stands; its ruling comes to: vault-client watch" if taken else ""


def _text(complaint: Complaint, ruled: ComplaintRuled | None) -> str:
    if ruled is not None:
        return f"{ruled.ruling.capitalize()}: {ruled.reason}"
    name = "The complaint" if complaint.id is None else f"Complaint {complaint.id}"
    until = "soon" if complaint.ruling_by is None else f"by {local_time(complaint.ruling_by)} at the latest"
    return f"{name} about task {complaint.task} is taken. Its ruling comes {until}."


def _document(complaint: Complaint, ruled: ComplaintRuled | None) -> dict[str, Any]:
    return {
        "complaint": complaint.id if ruled is None else ruled.complaint,
        "task": complaint.task,
        "kind": complaint.kind,
        "ruling_by": complaint.ruling_by,
        "ruling": None if ruled is None else ruled.ruling,
        "reason": None if ruled is None else ruled.reason,
    }
