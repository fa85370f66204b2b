"""The command line of `vault-solver`. Reads options, starts the solver, and says what went wrong; decides nothing."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import structlog
import typer
from rich.console import Console
from rich.table import Table

from protocol.address import BadAddress, parse_address
from protocol.peer import SEALED, SUBPROTOCOLS
from vault_solver import logs
from vault_solver.bench import SIZES as BENCH_SIZES
from vault_solver.bench import compare, header, row, squarings_in
from vault_solver.calibration import SECONDS_PER_SIZE, SIZES, measure
from vault_solver.errors import SolverError
from vault_solver.kernel import AUTO, CHOICES, Choice, Unusable, choose
from vault_solver.keyfile import default_key_path
from vault_solver.logs import LogFormat
from vault_solver.options import (
    CAPACITY_MAX,
    DISK_MIB,
    GRACE_SECONDS,
    PROOF_KIB,
    PROOF_KIB_MAX,
    WORKERS_MAX,
    Options,
    usable_cpus,
)
from vault_solver.pins import default_known_servers_path
from vault_solver.solver import run as run_solver
from vault_solver.squaring import CHECKS_PER_CHECKPOINT, CRASH_LOSS_SECONDS

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,  # they hold puzzles
    rich_markup_mode="markdown",
    help="""Solve time-lock puzzles for a vault server.

    A puzzle asks for `baseg^(2^t) mod product`: **t squarings that nobody can do in parallel**. One puzzle keeps one
    processor busy, so a machine solves as many at once as it has processors.

    Start with `vault-solver run --server ws://HOST:PORT`. Everything it needs is made on first start.""",
)


def _kernel(value: str) -> str:
    if value not in CHOICES:
        raise typer.BadParameter(f"choose one of {', '.join(CHOICES)}")
    return value


KERNEL_OPTION = typer.Option(
    callback=_kernel,
    envvar="VAULT_SOLVER_KERNEL",
    help=f"What computes: {', '.join(CHOICES)}. auto is the fastest that this machine has and that passes its test.",
)


class OnStop(StrEnum):
    """What becomes of unfinished work."""

    RETURN = "return"
    KEEP = "keep"


def _server_key(value: str | None) -> str | None:
    if value is None:
        return None
    if not re.fullmatch(r"[0-9a-fA-F]{64}", value.strip()):
        raise typer.BadParameter("this is not 64 hex digits; copy it from what `vault-server serve` prints")
    return value.strip().lower()


def _subprotocol(value: str) -> str:
    if value not in SUBPROTOCOLS:
        raise typer.BadParameter(f"choose one of {', '.join(SUBPROTOCOLS)}")
    return value


@app.command()
def run(
    server: Annotated[
        str, typer.Option(envvar="VAULT_SOLVER_SERVER", help="Where the server is: ws://HOST:PORT or wss://HOST:PORT.")
    ] = "ws://127.0.0.1:8765",
    key: Annotated[
        Path | None,
        typer.Option(
            envvar="VAULT_SOLVER_KEY",
            help="File of the key that your reputation belongs to; made on first start, readable by you alone. "
            "Two solvers need two keys.",
            show_default="solver.key in ~/.config/vault",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=WORKERS_MAX,
            metavar="N",
            envvar="VAULT_SOLVER_WORKERS",
            help="Worker processes: puzzles solved at once.",
            show_default="one per processor",
        ),
    ] = None,
    capacity: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=CAPACITY_MAX,
            metavar="N",
            envvar="VAULT_SOLVER_CAPACITY",
            help="Assignments held at once; those above --workers wait their turn while their deadlines run: for short "
            "puzzles only.",
            show_default="as --workers",
        ),
    ] = None,
    server_key: Annotated[
        str | None,
        typer.Option(
            callback=_server_key,
            envvar="VAULT_SOLVER_SERVER_KEY",
            help="The server's key, 64 hex digits, when you know it: no other server is spoken to. "
            "Without it the first key seen is trusted and remembered.",
        ),
    ] = None,
    known_servers: Annotated[
        Path | None,
        typer.Option(
            envvar="VAULT_SOLVER_KNOWN_SERVERS",
            help="File of the servers seen before and their keys.",
            show_default="known-servers in ~/.config/vault",
        ),
    ] = None,
    subprotocol: Annotated[
        str,
        typer.Option(
            callback=_subprotocol,
            envvar="VAULT_SOLVER_SUBPROTOCOL",
            help=f"How messages travel: {', '.join(SUBPROTOCOLS)}. "
            "Unsealed ones only to this machine or over wss, for looking at what is said.",
        ),
    ] = SEALED.name,
    grace: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="SECONDS",
            envvar="VAULT_SOLVER_GRACE",
            help="Seconds that started work may go on after SIGTERM or ctrl-C; the rest is handed back, without blame. "
            "A second signal hands back everything at once.",
        ),
    ] = GRACE_SECONDS,
    on_stop: Annotated[
        OnStop,
        typer.Option(
            metavar="WHAT",
            envvar="VAULT_SOLVER_ON_STOP",
            help="What becomes of work that does not end within --grace: return hands it back; keep suspends it, and a "
            "restart with the same key resumes it. Kept work misses its deadline unless you come back.",
        ),
    ] = OnStop.RETURN,
    calibration: Annotated[
        float,
        typer.Option(
            min=0.01,
            max=60,
            metavar="SECONDS",
            envvar="VAULT_SOLVER_CALIBRATION",
            help="Seconds to measure the speed at each size.",
        ),
    ] = SECONDS_PER_SIZE,
    checkpoints: Annotated[
        Path | None,
        typer.Option(
            envvar="VAULT_SOLVER_CHECKPOINTS",
            help="Folder of the checkpoints that long work is resumed from after a crash or a restart.",
            show_default="beside the key: solver.checkpoints",
        ),
    ] = None,
    crash_loss: Annotated[
        float,
        typer.Option(
            min=0.1,
            max=3600,
            metavar="SECONDS",
            envvar="VAULT_SOLVER_CRASH_LOSS",
            help="Seconds of work that a crash may cost; squarings are checked and written down more often.",
        ),
    ] = CRASH_LOSS_SECONDS,
    disk_mib: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="MIB",
            envvar="VAULT_SOLVER_DISK_MIB",
            help="Mebibytes that all checkpoints may have together.",
        ),
    ] = DISK_MIB,
    proof_memory: Annotated[
        int,
        typer.Option(
            min=1,
            max=PROOF_KIB_MAX,
            metavar="KIB",
            envvar="VAULT_SOLVER_PROOF_MEMORY",
            help="Kibibytes of each puzzle's numbers that are kept for its proof. Less makes proofs of long puzzles "
            "take longer; the log says when it does.",
        ),
    ] = PROOF_KIB,
    no_relay: Annotated[
        bool,
        typer.Option(
            "--no-relay",
            envvar="VAULT_SOLVER_NO_RELAY",
            help="Send no checkpoints of long work to the server. Without this another solver goes on from them if "
            "this one does not come back.",
        ),
    ] = False,
    kernel: Annotated[str, KERNEL_OPTION] = AUTO,
    log: Annotated[
        bool,
        typer.Option("--log", help="Log lines alone; without this a terminal shows a live screen below them."),
    ] = False,
    log_format: Annotated[
        LogFormat,
        typer.Option(
            metavar="FORMAT",
            envvar="VAULT_SOLVER_LOG_FORMAT",
            help="json, pretty, or auto: pretty on a terminal, else one JSON object a line.",
        ),
    ] = LogFormat.AUTO,
) -> None:
    """Connect to a server and solve what it assigns, until told to stop.

    The solver reconnects by itself and keeps computing meanwhile; answers wait until the server has them on disk.
    Each answer goes with a proof that this solver has verified itself, unless the server asks for none.

    SIGTERM or ctrl-C drains: what is begun is finished, the rest handed back, then it ends; with --on-stop keep what
    takes longer than --grace is suspended, for a restart. SIGUSR1 pauses: nothing new is taken, what is in hand is
    finished. SIGUSR2 goes on.

        vault-solver run --server ws://127.0.0.1:8765 --workers 2
    """
    logs.configure(log_format)
    try:
        options = Options(
            address=parse_address(server),
            key_path=key or default_key_path(),
            known_servers_path=known_servers or default_known_servers_path(),
            server_key=server_key,
            workers=workers or usable_cpus(),
            capacity=capacity or workers or usable_cpus(),
            subprotocol=SUBPROTOCOLS[subprotocol],
            grace_seconds=grace,
            live_screen=sys.stdout.isatty() and not log,
            kept_on_stop=on_stop is OnStop.KEEP,
            calibration_seconds=calibration,
            checkpoints_folder=checkpoints,
            check_seconds=crash_loss / CHECKS_PER_CHECKPOINT,
            disk_bytes_max=disk_mib * 2**20,
            proof_bytes_max=proof_memory * 1024,
            relay=not no_relay,
            kernel=kernel,
        )
        asyncio.run(run_solver(options))
    except BadAddress as error:
        raise typer.BadParameter(f"{error}.", param_hint="--server") from None
    except SolverError as error:
        structlog.get_logger().critical("solver.failed", message=error.message, suggestion=error.suggestion)
        if not sys.stdout.isatty():
            typer.echo(f"vault-solver: {error.message}\n{error.suggestion}", err=True)
        raise typer.Exit(1) from None


@app.command()
def calibrate(
    seconds: Annotated[float, typer.Option(min=0.01, max=60, help="Seconds to measure at each size.")] = 1.0,
    kernel: Annotated[str, KERNEL_OPTION] = AUTO,
) -> None:
    """Print how many squarings a second one processor of this machine does, by modulus size.

    Divide a puzzle's t by the number for its size: so many seconds it takes here.
    """
    square = _choose(kernel).arithmetic.square
    table = Table("modulus bits", "squarings a second", "nanoseconds each", box=None)
    for column in table.columns:
        column.justify = "right"
    for bits in SIZES:
        speed = measure(bits, seconds, square)
        table.add_row(f"{bits}", f"{speed:,}", f"{1e9 / speed:,.0f}")
    Console().print(table)


@app.command()
def bench(
    bits: Annotated[
        list[int] | None,
        typer.Option(min=64, max=16_384, metavar="BITS", help="Modulus size; may be repeated.", show_default="all"),
    ] = None,
    seconds: Annotated[
        float,
        typer.Option(min=0.01, max=3600, help="Seconds for each measurement of GMP, if their number is not given."),
    ] = 1.0,
    squarings: Annotated[
        int | None, typer.Option(min=1, metavar="T", help="Squarings of the puzzle.", show_default="by --seconds")
    ] = None,
    turns: Annotated[int, typer.Option(min=1, max=100, help="Measurements of each; their median counts.")] = 3,
    kernel: Annotated[str, KERNEL_OPTION] = AUTO,
) -> None:
    """Compare the kernel with GMP, alone and in the solver with everything on, from the order to the proved answer.

    All on the same puzzle and turn about, in processor time of one core, which takes about 4 × --turns × --seconds for
    each size. The loop is one squaring at a time, its numbers going in and out of gmpy2.

        vault-solver bench --bits 2048 --squarings 10000000
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing of Python runs within one long call of GMP
    arithmetic = _choose(kernel).arithmetic
    typer.echo(header(arithmetic.name))
    for size in bits or BENCH_SIZES:
        result = compare(size, squarings or squarings_in(size, seconds), turns, arithmetic)
        typer.echo(row(result))
        if not result.agree:
            typer.echo("The answers differ: this machine computes wrongly. Test its memory and cooling.", err=True)
            raise typer.Exit(1)


def _choose(wanted: str) -> Choice:
    """The kernel, with a line about it on standard error."""
    try:
        chosen = choose(wanted)
    except Unusable as error:
        raise typer.BadParameter(f"{error}", param_hint="--kernel") from None
    typer.echo(chosen.told, err=True)
    return chosen


def main() -> None:
    """Console script."""
    app()


if __name__ == "__main__":
    main()
