"""The main job end to end with real processes: a file is locked, and opened by the first of two solvers that proves its
answer to a server, and by the proof to the client.

Everything lives in one temporary folder and in processes of its own; both are gone when this ends, however it ends.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import secrets
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from pathlib import Path

from tests.processes import Event, LoggingProcess, ProcessFailed, Server, Solver, environment
from vault_solver.kernel import choose

PROGRAMS = Path(sys.executable).parent
AS_SHIPPED: dict[str, object] = {
    "modulus_bits_min": 2048,
    "max_requests_per_window": 20,
    "max_requests_per_window_client": 100,
}
"""What the tests' servers set otherwise, as anybody's server has it."""

OTHERS = """There are two more demos. `scripts/demo subnet`: a validator asks, miners answer, voters judge.
`scripts/demo hive`: a person posts a task, an agent bids, delivers and is paid."""

LETTER = "This opens when the squarings are done, whoever does them.\n"
INTERRUPTED = 130
LAST_SECONDS_MAX = 5.0
"""For what becomes of the second solver once the task has its answer."""
VERDICTS = {
    "pending": "has answered; the answer waits to be judged",
    "unproved": "gave an answer that nobody has proved",
    "valid": "gave the right answer: its proof holds",
    "invalid": "gave a wrong answer",
}


Demo = Callable[[Path, list[LoggingProcess]], Coroutine[None, None, None]]
"""Every step of one, given its folder; what it starts it adds to the list."""


class DemoFailed(Exception):
    """A step that did not do what the demo is there to show."""


def main() -> None:
    """Run the demo. Exits with 0, 1 (something failed: the logs' ends are shown) or 130 (interrupted)."""
    parser = parser_for("scripts/demo", f"{__doc__}\n{OTHERS}")
    parser.usage = (
        "scripts/demo [-h] [--seconds SECONDS | --squarings SQUARINGS] [--cluster]\n"
        "       scripts/demo subnet\n       scripts/demo hive"
    )
    parser.add_argument(
        "--cluster", action="store_true", help="three nodes on one PostgreSQL instead, one of them killed halfway"
    )
    measure = measure_of(parser.parse_args())  # scripts/demo hands --cluster to scripts/demo_cluster.py
    run(lambda folder, started: demonstrate(folder, measure, started))


def parser_for(program: str, description: str | None) -> argparse.ArgumentParser:
    """What both demos of a locked file can be told."""
    parser = argparse.ArgumentParser(
        prog=program, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--seconds", type=positive, default=15, help="how long the file stays locked (default: %(default)s)"
    )
    parser.add_argument("--squarings", type=positive, help="lock for this many squarings instead of a time")
    return parser


def positive(text: str) -> int:
    """A whole number from 1 on. Raises argparse.ArgumentTypeError."""
    if not (text.isascii() and text.isdecimal() and int(text) >= 1):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def measure_of(arguments: argparse.Namespace) -> list[str]:
    """The words for `vault-client lock`."""
    if arguments.squarings:
        return ["--squarings", str(arguments.squarings)]
    # The time is that of the solvers: with the compiled kernel, or with GMP as on any machine without.
    opponent = "this-machine" if choose().name == "gmpy2" else "processor"
    return ["--for", f"{arguments.seconds}s", "--against", opponent]


def run(demo: Demo) -> None:
    """In a folder that is gone afterwards, as is every process it starts."""
    started: list[LoggingProcess] = []
    try:
        with tempfile.TemporaryDirectory(prefix="vault-demo-") as folder:
            try:
                asyncio.run(interruptible(demo(Path(folder), started)))
            except ProcessFailed as failed:  # it shows the end of its log itself
                sys.exit(f"\nThe demo failed: {failed}")
            except DemoFailed as failed:
                sys.exit("\n".join([f"\nThe demo failed: {failed}", *(process.tail() for process in started)]))
            finally:
                end(started)
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("\nInterrupted; everything that was started is gone.", file=sys.stderr)
        sys.exit(INTERRUPTED)


def end(started: Sequence[LoggingProcess]) -> None:
    """Take down what is still there; a second ctrl-C does not stop this."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    for process in started:
        process.end_group()


async def interruptible(demo: Coroutine[None, None, None]) -> None:
    """Run it so that SIGTERM and a closed terminal end it as ctrl-C does."""
    task = asyncio.create_task(demo)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, task.cancel)
    await task


async def demonstrate(folder: Path, measure: Sequence[str], started: list[LoggingProcess]) -> None:
    """Every step, in order."""
    server = Server(folder, AS_SHIPPED)
    started.append(server)
    await server.start()
    say("server", f"{server.url}, a fresh database, key {server.server_key[:16]}…")

    solvers = [Solver(server, folder, f"solver-{number}") for number in (1, 2)]
    started += solvers
    await asyncio.gather(*(solver.start() for solver in solvers))
    say("solvers", ", ".join(f"{solver.name} is {solver.fingerprint[:8]}…" for solver in solvers))

    letter, locked = await lock_a_letter(folder, measure)
    opened = folder / "opened.txt"

    (folder / "known-servers").write_text(server.pin + "\n")
    connect = ["--server", server.url, "--key", folder / "client.key", "--known-servers", folder / "known-servers"]
    say("unlock", "asks the server, which asks both solvers; the first answer that is proved opens the file:")
    await client("unlock", locked, "--out", opened, *connect, shown=True)
    if opened.read_bytes() != letter.read_bytes():
        raise DemoFailed("the opened file differs from the one that was locked")
    say("compare", "the opened file has the same bytes as the letter")

    answered = await server.event("task.answered")
    other = next(solver for solver in solvers if solver.fingerprint != answered["solver"])
    await ended(server, other)
    tell(server.events, {solver.fingerprint: solver.name for solver in solvers})
    for process in reversed(started):
        await process.finish()
    by_hand()


async def lock_a_letter(folder: Path, measure: Sequence[str]) -> tuple[Path, Path]:
    """A fresh letter, and the locked file made of it."""
    letter = folder / "letter.txt"
    letter.write_text(LETTER + secrets.token_hex(2000))
    await client("lock", letter, *measure, "--bits", 2048)
    locked = letter.with_name("letter.txt.locked")
    say("lock", f"letter.txt ({letter.stat().st_size} bytes) is now letter.txt.locked ({locked.stat().st_size} bytes)")
    return letter, locked


async def ended(server: Server, other: Solver) -> None:
    """Wait until the second solver is released, or has proved its answer in the same moment."""
    ends = [
        asyncio.create_task(server.event(name, solver=other.fingerprint, seconds=LAST_SECONDS_MAX))
        for name in ("assignment.released", "assignment.answered")
    ]
    done, waiting = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    for task in done:
        task.result()


async def client(command: str, *arguments: object, shown: bool = False) -> None:
    """Run one `vault-client` command; `shown` lets it draw on this terminal. Raises DemoFailed."""
    words = [str(word) for word in (PROGRAMS / "vault-client", command, *arguments)]
    output = None if shown else subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *words, env=environment(), stdin=subprocess.DEVNULL, stdout=output, stderr=output and subprocess.STDOUT
    )
    try:
        printed, _ = await process.communicate()
    finally:
        if process.returncode is None:
            await stop(process)
    if process.returncode != 0:
        said = printed.decode(errors="replace") if printed else ""
        raise DemoFailed(f"vault-client {command} ended with exit code {process.returncode}\n{said}")


async def stop(process: asyncio.subprocess.Process) -> None:
    """End a client that is still at work."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(5):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def tell(events: Sequence[Event], names: dict[str, str]) -> None:
    """What happened to the task, in the words of the server's log."""
    print("\nWhat the server's log says of it:")
    begin: datetime | None = None
    for event in events:
        if line := sentence(event, names):
            moment = datetime.fromisoformat(event["timestamp"])
            begin = begin or moment
            print(f"  {(moment - begin).total_seconds():6.2f} s  {line}")


def sentence(event: Event, names: dict[str, str]) -> str:
    """One event as a person would tell it; empty for those that are no part of the story."""
    who = names.get(event.get("solver", ""), "")
    match event["event"]:
        case "task.submitted":
            return f"task {event['task'][:8]}… submitted by client {event['client'][:8]}…"
        case "task.assigned":
            return f"assigned to {who}: slot {event['slot']}, ranked {event['rank']} of {event['candidates']}"
        case "assignment.accepted":
            return f"{who} has taken it"
        case "assignment.answered":
            return f"{who} {VERDICTS[event['verdict']]}"
        case "assignment.released":
            return f"{who} is released without blame: another was first"
        case "task.answered":
            return f"{who} was first: the client is told at once, judged by: {event['judged_by']}"
    return ""


def say(step: str, line: str) -> None:
    """One step's line."""
    print(f"{step:>8}  {line}", flush=True)


def by_hand() -> None:
    """The three commands that do the same without this script."""
    server, solver, locker = (shlex.quote(str(PROGRAMS / f"vault-{name}")) for name in ("server", "solver", "client"))
    print("\nBy hand, each in a terminal of its own:")
    print(f"  {server} serve")
    print(f"  {solver} run --server ws://127.0.0.1:8765     (a second one with --key of its own)")
    print(f"  {locker} lock FILE --for 15s && {locker} unlock FILE.locked --out OPENED")


if __name__ == "__main__":
    main()
