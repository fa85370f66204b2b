"""`unlock`."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated, cast

import typer

from protocol.puzzle import Ticket
from vault_client.answers import ProofWish
from vault_client.cli.bars import bytes_bar, squarings_bar, wait_shown
from vault_client.cli.console import ending, note, say
from vault_client.cli.options import (
    DEFAULT_SERVER,
    Door,
    KeyOption,
    KnownServersOption,
    ProofOption,
    ServerKeyOption,
    ServerOption,
)
from vault_client.cli.submitted import describe
from vault_client.delegation import Delegation
from vault_client.errors import FileError, WrongAnswer
from vault_client.files import check_can_write, refuse_existing
from vault_client.locked_file import LockedFile
from vault_client.resume import resume_path
from vault_client.squaring import solve_in_chunks
from vault_client.tickets import read_ticket, ticket_path

app = typer.Typer()


@app.command()
def unlock(
    file: Annotated[Path, typer.Argument(metavar="FILE.locked", help="The locked file; it is left as it is.")],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="PATH", help="Where the opened file goes.", show_default="FILE")
    ] = None,
    ticket: Annotated[
        Path | None,
        typer.Option("--ticket", metavar="PATH", help="The ticket.", show_default="FILE.ticket, if it is there"),
    ] = None,
    proof: ProofOption = "required",
    local: Annotated[
        bool, typer.Option("--local", help="Square on this machine, without any server; ctrl-C starts over.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the opened file if it is there.")] = False,
    server: ServerOption = DEFAULT_SERVER,
    key: KeyOption = None,
    server_key: ServerKeyOption = None,
    known_servers: KnownServersOption = None,
) -> None:
    """Open a locked file: a server's solvers do the squarings, or this machine does (--local).

    With the ticket neither server nor solvers learn the answer. Without it they do, but they do not have the file.
    The answer is checked here, by its proof, before anything is decrypted: nobody can pass off a wrong one.
    After ctrl-C or a crash run the same command again: it goes on with the task that was begun.

    **Examples**

        vault-client unlock letter.txt.locked --server wss://vault.example
        vault-client unlock letter.txt.locked --local --out opened.txt
    """
    target = out or _opened_path(file)
    with ending(interrupted=lambda: _how_to_go_on(file, local)):
        locked = LockedFile.examine(file)
        if target.absolute() == file.absolute():
            raise FileError("The opened file would replace the locked one.", "Choose another with --out.")
        refuse_existing(target, force=force)
        check_can_write(target)
        if local:
            _open(locked, _solve(locked), target, force=force)
        else:
            held = _ticket(locked, ticket)
            door = Door.of(server, key, server_key, known_servers)
            fingerprint, wish = door.identity.fingerprint, cast(ProofWish, proof)
            delegation = Delegation.prepare(locked, held, server, fingerprint, note, wish)
            answer = asyncio.run(_ask(door, delegation))
            try:
                _open(locked, answer, target, force=force)
            except WrongAnswer as error:
                delegation.forget()
                raise error if wish == "none" else _not_as_made(locked, held) from None
            delegation.forget()


def _open(locked: LockedFile, answer: int, target: Path, *, force: bool) -> None:
    with bytes_bar("Decrypting", locked.header.plaintext_bytes) as advance:
        locked.unlock(answer, target, force=force, advance=advance)
    say(f"Opened {locked.path} into {target} ({locked.header.plaintext_bytes:,} bytes).")


def _not_as_made(locked: LockedFile, ticket: Ticket | None) -> WrongAnswer:
    """The answer has been checked: if it does not fit, what was asked for is not what the file was locked with."""
    what = f"{locked.path} or its ticket" if ticket is not None else f"{locked.path}"
    return WrongAnswer(
        f"The answer is right for what was asked, and does not open {locked.path}: it is not the one that the file was "
        f"locked with, so {what} is not as its maker made it.",
        "The file is left as it is; get it from its maker again."
        if ticket is None
        else "The file is left as it is; get both from their maker again, or open it without the ticket (--local).",
    )


async def _ask(door: Door, delegation: Delegation) -> int:
    async with door.open(waiting=True) as vault:
        if delegation.ticket is None:
            note("Without the ticket the server and its solvers will learn the answer to this file's puzzle:")
            note("whoever of them gets hold of the locked file can open it too.")
        task = await delegation.submit(vault)
        note(describe(task))
        note("Ctrl-C leaves the solvers at work; the same command goes on later.")
        total = delegation.locked.header.puzzle.squarings
        return await delegation.answer(task, lambda waited: wait_shown(waited, total))


def _solve(locked: LockedFile) -> int:
    puzzle = locked.header.puzzle
    answer = puzzle.base
    note(f"Squaring {puzzle.squarings:,} times on this machine; ctrl-C starts over.")
    with squarings_bar("Squaring on this machine", puzzle.squarings) as advance:
        for done, power in solve_in_chunks(puzzle):
            advance(done)
            answer = power
    return answer


def _ticket(locked: LockedFile, given: Path | None) -> Ticket | None:
    path = given or ticket_path(locked.path)
    if given is None and not os.path.exists(path):
        return None
    return read_ticket(path, locked.header)


def _opened_path(file: Path) -> Path:
    if file.suffix != ".locked":
        raise typer.BadParameter(
            f"{file} does not end in .locked, so say where the opened file goes", param_hint="--out"
        )
    return file.with_suffix("")


def _how_to_go_on(file: Path, local: bool) -> str:
    # The squarings of --local are gone; a task that an earlier unlock has begun is not what was interrupted.
    if not local and os.path.exists(resume_path(file)):
        return f"The task goes on without you; run the same command again to go on ({resume_path(file)} says where)."
    return "Nothing was written."
