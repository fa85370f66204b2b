"""`lock`."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Annotated

import typer

from protocol.fields import INTEGER_MAX
from protocol.puzzle import make_locked, make_modulus
from protocol.vault import MODULUS_BYTES_MAX
from vault_client.cli.bars import bytes_bar
from vault_client.cli.console import ending, note, say
from vault_client.durations import format_duration, parse_duration
from vault_client.errors import FileError
from vault_client.files import file_error, refuse_existing, remove
from vault_client.kernels import KERNELS, Opponent, fastest
from vault_client.locked_file import lock_file
from vault_client.locked_header import Header
from vault_client.squaring import squarings_per_second
from vault_client.tickets import ticket_path, write_ticket

BITS_MIN = 512
BITS_SAFE = 2048
SERVER_BITS = 4096
SERVER_SQUARINGS = 2**40
"""What a server takes unless its operator says otherwise (modulus_bits_min, modulus_bits_max, squarings_max)."""

app = typer.Typer()


def _seconds(text: str) -> int:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


@app.command()
def lock(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to lock; it is left as it is.")],
    seconds: Annotated[
        int | None,
        typer.Option(
            "--for",
            parser=_seconds,
            metavar="DURATION",
            help="Lock for 15s, 10m, 2h or 1d12h of the fastest known work, see --against.",
        ),
    ] = None,
    against: Annotated[
        Opponent,
        typer.Option(
            "--against",
            help="Whose work --for is measured by: the fastest known program on a processor, the fastest known FPGA, a "
            "chip made for nothing else, or GMP on this machine.",
        ),
    ] = Opponent.PROCESSOR,
    squarings: Annotated[
        int | None,
        typer.Option("--squarings", min=1, max=INTEGER_MAX, metavar="N", help="Or lock for exactly so many squarings."),
    ] = None,
    bits: Annotated[
        int,
        typer.Option(
            "--bits",
            min=BITS_MIN,
            max=8 * MODULUS_BYTES_MAX,
            metavar="N",
            help="Bits of the modulus; servers take 2048 to 4096.",
        ),
    ] = BITS_SAFE,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="PATH", help="Where the locked file goes.", show_default="FILE.locked"),
    ] = None,
    ticket: Annotated[
        Path | None,
        typer.Option("--ticket", metavar="PATH", help="Where the ticket goes.", show_default="FILE.ticket"),
    ] = None,
    no_ticket: Annotated[
        bool, typer.Option("--no-ticket", help="Make no ticket: whoever solves the puzzle for you learns its answer.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a locked file and ticket that are there.")] = False,
) -> None:
    """Lock a file behind a time-lock puzzle: it opens after a number of squarings that nobody can do in parallel.

    No server is needed, and nobody keeps a key: you cannot open it sooner either, unless you keep the original.
    The ticket lets its holder have the file opened by strangers who learn nothing; keep it to yourself.

    **Examples**

        vault-client lock letter.txt --for 2h
        vault-client lock letter.txt --for 2h --against fpga
        vault-client lock letter.txt --squarings 1000000 --out for-later.locked
    """
    if (seconds is None) == (squarings is None):
        raise typer.BadParameter("give one of --for and --squarings", param_hint="--for")
    if bits % 2:
        raise typer.BadParameter("a modulus has an even number of bits", param_hint="--bits")
    target = out or Path(f"{file}.locked")
    place = None if no_ticket else ticket or ticket_path(target)
    with ending(interrupted=lambda: "Nothing was written."):
        _check_paths(file, target, place, force=force)
        if bits < BITS_SAFE:
            note(f"warning: a modulus of {bits} bits can be factored, which opens the file at once")
        count = squarings if squarings is not None else _measure(seconds or 0, bits, against)
        if count > SERVER_SQUARINGS or not BITS_SAFE <= bits <= SERVER_BITS:
            note(
                "warning: a server with default limits does not take this puzzle "
                f"(it takes up to {SERVER_SQUARINGS:,} squarings, modulo {BITS_SAFE} to {SERVER_BITS} bits); "
                "unlock --local always does"
            )
        header = _lock(file, target, place, count, bits, force=force)
        say(f"Locked {file} into {target} ({header.file_bytes:,} bytes, {count:,} squarings modulo {bits} bits).")
        if place is not None:
            say(f"Its ticket is {place}: with it, who opens the file for you learns nothing. Keep it to yourself.")
        say(f"{file} itself is still there. To open: vault-client unlock {target} --out opened-{file.name}")


def _check_paths(file: Path, target: Path, ticket: Path | None, *, force: bool) -> None:
    try:
        file.stat()
    except OSError as error:
        raise file_error("read", file, error) from None
    if not os.path.isfile(file):
        raise FileError(f"{file} is no ordinary file.", "Name a file; pack a folder into one first.")
    written = [path for path in (target, ticket) if path is not None]
    if len({path.absolute() for path in (file, *written)}) != 1 + len(written):
        raise FileError("File, locked file and ticket need three names.", "Choose others with --out and --ticket.")
    for path in written:
        refuse_existing(path, force=force)


def _measure(seconds: int, bits: int, against: Opponent) -> int:
    modulus, _ = make_modulus(bits)
    here = squarings_per_second(3, modulus)
    speed = here if against is Opponent.HERE else fastest(against, bits)
    count = max(1, math.ceil(seconds * speed))
    if count > INTEGER_MAX:
        raise FileError("That is more squarings than a puzzle can have.", "Choose a shorter time.")
    note(f"{count:,} squarings modulo {bits} bits. {meaning(count, bits, here)}")
    return count


def meaning(squarings: int, bits: int, here: float) -> str:
    """How long so many squarings keep a file shut, and against whom; `here` is squarings a second on this machine."""
    takes = {opponent: format_duration(squarings / fastest(opponent, bits)) for opponent in KERNELS}
    return (
        f"The fastest program known needs {takes[Opponent.PROCESSOR]} on a processor, the fastest FPGA known "
        f"{takes[Opponent.FPGA]}, a chip made for it perhaps {takes[Opponent.CHIP]}; GMP on this machine "
        f"{format_duration(squarings / here)}. Many machines are no faster than one."
    )


def _lock(file: Path, target: Path, ticket_target: Path | None, count: int, bits: int, *, force: bool) -> Header:
    puzzle, answer, ticket = make_locked(count, bits)
    placed = False

    def place_ticket(header: Header) -> None:
        nonlocal placed
        if ticket_target is not None:
            write_ticket(ticket_target, header, ticket, force=force)
            placed = True

    try:
        with bytes_bar("Encrypting", file.stat().st_size) as advance:
            return lock_file(file, target, puzzle, answer, force=force, advance=advance, before_placing=place_ticket)
    except (FileError, KeyboardInterrupt):
        if placed and ticket_target is not None and not os.path.exists(target):
            remove(ticket_target)  # a ticket without its locked file is of no use
        raise
