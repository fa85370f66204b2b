"""Puzzle parameters and answers stand nowhere in the clear: not in the database file, its WAL, nor any log."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol.errors import Code
from protocol.identity import Identity
from protocol.vault import (
    AskStatus,
    CancelTask,
    PuzzleAccepted,
    PuzzleAnswered,
    SubmitAnswer,
    SubmitPuzzle,
    TaskCancelled,
    TaskState,
)
from tests.acceptance.conversation import accept, answer, dial_solver, refused_message
from tests.acceptance.puzzles import COMPUTED, Maker
from tests.conftest import StartServer, StartSolver
from tests.dialling import dial
from tests.processes import LoggingProcess

T_BITS = 48


def written(number: int) -> dict[str, bytes]:
    """Every way in which somebody might have written a number down."""
    raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return {
        "decimal": str(number).encode(),
        "hex": f"{number:x}".encode(),
        "upper-case hex": f"{number:X}".encode(),
        "hex of whole bytes": raw.hex().encode(),
        "big-endian": raw,
        "little-endian": raw[::-1],
    }


def found(files: list[Path], numbers: dict[str, int]) -> list[tuple[str, str, str]]:
    """Where a number stands: file, number's name, form."""
    contents = {path.name: path.read_bytes() for path in files}
    return [
        (name, secret, form)
        for secret, number in numbers.items()
        for form, needle in written(number).items()
        for name, content in contents.items()
        if needle in content
    ]


def files_of(*processes: LoggingProcess) -> list[Path]:
    """All that the processes have written, but for keys: database, WAL, shared memory, logs."""
    folder = processes[0].folder
    logs = [path for process in processes for path in (process.log_path, process.stderr_path)]
    return [*sorted(path for path in folder.glob("server.db*") if path.is_file()), *logs]  # a socket holds nothing


def no_secret_in(files: list[Path], numbers: dict[str, int]) -> None:
    assert found(files, numbers) == []


class Secrets:
    """Numbers of one run by name: every puzzle's g and N, every answer, and every t that is large."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def note(self, name: str, order: SubmitPuzzle, right: int | None) -> SubmitPuzzle:
        numbers = {"g": order.baseg, "N": order.product, "y": right, "t": order.t}
        named = {f"{letter} of {name}": n for letter, n in numbers.items() if n is not None and n >= 2 ** (T_BITS - 1)}
        assert len(named) >= 2
        self.numbers |= named
        return order


def draw_squarings() -> int:
    return secrets.randbits(T_BITS) | 1 << (T_BITS - 1)


async def test_the_database_and_the_logs_hold_no_parameter_and_no_answer(
    start_server: StartServer, start_solver: StartSolver
) -> None:
    server = await start_server(squarings_max=2**T_BITS)
    kept, me = Secrets(), Identity.generate()
    async with await dial(server.url, identity=me) as client, await dial_solver(server, capacity=64) as one:
        # answered: judged in the transaction, in a thread, by commitment (after a wrong one), by agreement
        async with await dial_solver(server, capacity=64) as two:
            for name, squarings, committed in (
                ("inline", COMPUTED, False),
                ("in a thread", 4096, False),
                ("by commitment", 10_000, True),
                ("by agreement", 10_001, False),
            ):
                order, right = Maker().order(squarings, committed=committed, key=f"key {name}")
                await client.ask(kept.note(name, order, right), PuzzleAccepted)
                first, second = await accept(one), await accept(two)
                if name == "by commitment":
                    wrong = secrets.randbits(500)
                    kept.numbers["wrong answer"] = wrong
                    await answer(one, first, value=wrong)
                if name in ("inline", "in a thread", "by agreement"):
                    await answer(one, first)
                if name in ("by commitment", "by agreement"):
                    await answer(two, second)
                assert (await client.take(PuzzleAnswered)).answer == right
        # refused: before and after the transaction has begun
        order, _ = Maker().order(2**T_BITS + 1 + secrets.randbits(40))
        await refused_message(client, kept.note("refused", order, None), Code.SQUARINGS_OUT_OF_RANGE)
        other, _ = Maker().order(key="key inline")
        await refused_message(client, kept.note("conflict", other, None), Code.IDEMPOTENCY_CONFLICT)
        # unsolved: cancelled, in hand, and waiting; with a t that nobody could guess
        orders = {name: Maker().order(draw_squarings()) for name in ("cancelled", "in hand", "refused answer")}
        tasks = {
            name: (await client.ask(kept.note(name, *order), PuzzleAccepted)).task for name, order in orders.items()
        }
        offers = {offer.task: offer for offer in [await accept(one) for _ in tasks]}
        await client.ask(CancelTask(task=tasks["cancelled"]), TaskCancelled)
        too_large = SubmitAnswer(
            assignment=offers[tasks["refused answer"]].assignment, answer=orders["refused answer"][0].product + 1
        )
        await refused_message(one, too_large, Code.ANSWER_OUT_OF_RANGE)
        assert (await client.ask(AskStatus(task=tasks["in hand"]), TaskState)).status == "assigned"

        wal = server.database.with_name(server.database.name + "-wal")
        assert wal.stat().st_size > 10_000, "the WAL is looked at while it has pages"
        no_secret_in(files_of(server), kept.numbers)
        await server.kill()  # the WAL as a crash leaves it
        no_secret_in(files_of(server), kept.numbers)

    await server.restart()
    no_secret_in(files_of(server), kept.numbers)
    await server.terminate()
    assert not wal.exists()
    no_secret_in(files_of(server), kept.numbers)
    assert len(kept.numbers) == 3 * 4 + 1 + 3 + 2 + 4 * 3


async def test_a_real_solver_at_work_writes_none_of_it_down(
    start_server: StartServer, start_solver: StartSolver, maker: Maker
) -> None:
    server = await start_server(squarings_max=2**T_BITS)
    solver = await start_solver(server, arguments=["--calibration", "0.02", "--capacity", "2", "--grace", "0.2"])
    kept = Secrets()
    async with await dial(server.url) as client:
        short, right = maker.order(COMPUTED)
        await client.ask(kept.note("short", short, right), PuzzleAccepted)
        assert (await client.take(PuzzleAnswered)).answer == right
        await client.ask(kept.note("long", *maker.order(draw_squarings())), PuzzleAccepted)
        await solver.event("assignment.accepted", count=2)
        await solver.terminate()
        assert solver.find("solver.stopped")
        no_secret_in(files_of(server, solver), kept.numbers)


# the look itself


def places(folder: Path) -> Iterator[Path]:
    for name in ("server.db", "server.db-wal", "server.log", "server.stderr"):
        path = folder / name
        path.write_bytes(secrets.token_bytes(5000))
        yield path


@pytest.mark.parametrize("form", written(2**100 + 12345))
def test_the_look_finds_what_is_planted(tmp_path: Path, form: str) -> None:
    number = secrets.randbits(512) | 0xAB << 504
    files = list(places(tmp_path))
    no_secret_in(files, {"planted": number})
    for path in files:
        clean = path.read_bytes()
        path.write_bytes(clean[:2500] + written(number)[form] + clean[2500:])
        assert (path.name, "planted", form) in found(files, {"planted": number})
        path.write_bytes(clean)


async def test_the_look_finds_what_the_server_does_write(start_server: StartServer, maker: Maker) -> None:
    """The commitment is a hash that stands in its column as it came, so the files are really looked through."""
    server = await start_server()
    order, _ = maker.order()
    assert order.commitment is not None
    async with await dial(server.url) as client:
        task = (await client.ask(order, PuzzleAccepted)).task
        await server.event("task.submitted", task=task)
        seen = found(files_of(server), {"commitment": int.from_bytes(order.commitment, "big"), "task": int(task, 16)})
        assert ("server.db-wal", "commitment", "big-endian") in seen
        assert ("server.log", "task", "hex of whole bytes") in seen
        await server.terminate()
        seen = found(files_of(server), {"commitment": int.from_bytes(order.commitment, "big")})
        assert ("server.db", "commitment", "big-endian") in seen
