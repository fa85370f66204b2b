"""A disk that fills up while serving, and paths and ports that cannot be used: said clearly, and nothing is lost.

A full disk is a limit on the size of files that is put on the running server (setrlimit(2), RLIMIT_FSIZE): it needs
no rights, and can be taken away again.
"""

from __future__ import annotations

import asyncio
import resource
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from protocol.errors import Code
from protocol.identity import Identity
from protocol.session import Ping, Pong
from protocol.vault import AskStatus, PuzzleAccepted, PuzzleAnswered, SubmitAnswer, TaskState
from tests.acceptance import rows
from tests.acceptance.conversation import accept, answer, dial_solver, refused_message
from tests.acceptance.puzzles import COMPUTED, Maker
from tests.conftest import StartServer, StartSolver
from tests.dialling import dial
from tests.processes import Server, environment

EXPECTED = {"storage.failed", "presence.failed", "job.postponed"}
"""What the operator is told while the disk is full."""


def fill_disk(server: Server) -> None:
    """From now on no file of the server may grow beyond what its write-ahead log has."""
    server.errors_expected |= EXPECTED
    size = server.database.with_name(server.database.name + "-wal").stat().st_size
    assert size > 4 * server.log_path.stat().st_size, "the log itself must still have room"
    limit(server, size)


def free_disk(server: Server) -> None:
    limit(server, resource.RLIM_INFINITY)


def limit(server: Server, size: int) -> None:
    """No file of the server, nor of the process that writes for it, may be larger."""
    for pid in (server.pid, server.writer.pid):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


async def test_while_the_disk_is_full_requests_are_refused_and_nothing_acknowledged_is_lost(
    server: Server, maker: Maker
) -> None:
    me = Identity.generate()
    async with await dial(server.url, identity=me) as client, await dial_solver(server) as solver:
        first, first_right = maker.order(COMPUTED)
        second, second_right = maker.order(COMPUTED, key="again")
        task = (await client.ask(first, PuzzleAccepted)).task
        offer = await accept(solver)
        fill_disk(server)
        for _ in range(3):
            error = await refused_message(client, second, Code.UNAVAILABLE, second.baseg, second.product)
            assert error.retryable
            assert error.retry_after_ms is not None
            await client.ask(Ping(), Pong)
        await refused_message(solver, SubmitAnswer(assignment=offer.assignment, answer=first_right), Code.UNAVAILABLE)
        state = await client.ask(AskStatus(task=task), TaskState)
        assert state.status == "assigned", "what was acknowledged is there, and can be asked for"
        free_disk(server)
        again = (await client.ask(second, PuzzleAccepted)).task
        assert await answer(solver, offer) == "valid"
        await answer(solver, await accept(solver))
        told = {push.task: push.answer for push in [await client.take(PuzzleAnswered) for _ in range(2)]}
        assert told == {task: first_right, again: second_right}
    assert rows.count(server.database, "SELECT count(*) FROM tasks") == 2
    await server.restart()
    rows.check(server.database)


async def test_a_server_killed_while_the_disk_is_full_has_what_it_acknowledged(server: Server, maker: Maker) -> None:
    me = Identity.generate()
    order, right = maker.order(COMPUTED)
    async with await dial(server.url, identity=me) as client:
        task = (await client.ask(order, PuzzleAccepted)).task
        fill_disk(server)
        for _ in range(3):
            await refused_message(client, maker.order()[0], Code.UNAVAILABLE)
        await server.kill()
    await server.restart()
    assert rows.count(server.database, "SELECT count(*) FROM tasks") == 1
    rows.check(server.database)
    async with await dial(server.url, identity=me) as client, await dial_solver(server) as solver:
        await answer(solver, await accept(solver))
        told = await client.take(PuzzleAnswered)
        assert (told.task, told.answer) == (task, right)


async def test_who_comes_and_goes_while_the_disk_is_full_is_served_when_there_is_room(
    server: Server, start_solver: StartSolver, maker: Maker
) -> None:
    order, right = maker.order(COMPUTED)
    async with await dial(server.url) as client:
        leaving = Identity.generate()

        async def free_disk_later() -> None:
            await server.event("presence.failed", count=2)  # one who has left, one who has come
            free_disk(server)

        async with await dial_solver(server, leaving):
            await client.ask(maker.order(50)[0], PuzzleAccepted)
            fill_disk(server)
        solver, _ = await asyncio.gather(start_solver(server, arguments=["--calibration", "0.02"]), free_disk_later())
        await server.event("solver.offline", solver=leaving.fingerprint)
        await client.ask(order, PuzzleAccepted)
        while (await client.take(PuzzleAnswered)).answer != right:
            pass
        assert await solver.terminate() == 0


async def test_a_full_disk_does_not_flood_the_log(start_server: StartServer, maker: Maker) -> None:
    settings: dict[str, Any] = {"deadline_ms_min": 1000, "deadline_slack": 1.0}
    server = await start_server(**settings)
    async with await dial(server.url) as client, await dial_solver(server, speed=2**50):
        task = (await client.ask(maker.order(10_000)[0], PuzzleAccepted)).task
        fill_disk(server)  # before the deadline
        await asyncio.sleep(3)
        assert 1 <= len(server.find("storage.failed")) < 10, "a deadline that cannot be kept is tried now and then"
        free_disk(server)
        await server.event("assignment.expired", task=task)


async def test_a_log_that_cannot_be_written_either_stops_no_work(server: Server, maker: Maker) -> None:
    order, right = maker.order(COMPUTED)
    async with await dial(server.url) as client, await dial_solver(server) as solver:
        fill_disk(server)
        limit(server, 1)
        for _ in range(100):  # more lines than any buffer holds
            await refused_message(client, maker.order()[0], Code.UNAVAILABLE)
        await client.ask(Ping(), Pong)
        free_disk(server)
        await client.ask(order, PuzzleAccepted)
        await answer(solver, await accept(solver))
        assert (await client.take(PuzzleAnswered)).answer == right
    await server.event("task.answered")
    assert not server.find("line.unreadable"), "lines are lost whole"


# the command line


def run(folder: Path, *arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
    """`vault-server serve` where it cannot serve."""
    return subprocess.run(
        [sys.executable, "-m", "vault_server", "serve", *arguments],
        cwd=folder,
        env=environment(settings),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def missing_folder(folder: Path) -> str:
    return str(folder / "nowhere" / "vault.db")


def file_as_folder(folder: Path) -> str:
    (folder / "file").touch()
    return str(folder / "file" / "vault.db")


def no_file_at_all(_folder: Path) -> str:
    return "/proc/vault.db"


def folder_as_file(folder: Path) -> str:
    (folder / "vault.db").mkdir()
    (folder / "vault.db.master-key").write_text("ab" * 32)
    (folder / "vault.db.master-key").chmod(0o600)
    return str(folder / "vault.db")


def another_program(folder: Path) -> str:
    with closing(sqlite3.connect(folder / "vault.db")) as theirs:
        theirs.execute("CREATE TABLE theirs (x)")
    return str(folder / "vault.db")


def no_database(folder: Path) -> str:
    (folder / "vault.db").write_bytes(b"a letter to my aunt\n" * 400)
    return str(folder / "vault.db")


UNUSABLE: list[Callable[[Path], str]] = [
    missing_folder,
    file_as_folder,
    no_file_at_all,
    folder_as_file,
    another_program,
    no_database,
]


@pytest.mark.parametrize("place", UNUSABLE, ids=lambda place: place.__name__)
def test_a_database_that_cannot_be_used_is_one_clear_line(tmp_path: Path, place: Callable[[Path], str]) -> None:
    database = place(tmp_path)
    kept = {path: path.read_bytes() for path in tmp_path.glob("vault.db") if path.is_file()}
    ended = run(tmp_path, "--database", database, "--port", "0", master_key="ab" * 32)
    says_in_one_line(ended, database)
    assert all(path.read_bytes() == content for path, content in kept.items()), "a file of others is left alone"


def says_in_one_line(ended: subprocess.CompletedProcess[str], *names: str) -> None:
    """Exit code 1; what went wrong, with the name of it, and what to do next."""
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert line.startswith("vault-server: ")
    assert all(name in line for name in names)
    assert ";" in line, "what went wrong; what to do next"
    assert "ab" * 32 not in line
    assert "server.ready" not in ended.stdout


def test_a_disk_that_is_full_from_the_start_is_one_clear_line(tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))

    ended = subprocess.run(
        [sys.executable, "-m", "vault_server", "serve", "--database", "vault.db", "--port", "0"],
        cwd=tmp_path,
        env=environment() | {"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        preexec_fn=limit,
    )
    says_in_one_line(ended, "vault.db")


def test_a_port_that_is_taken_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        says_in_one_line(run(tmp_path, "--port", str(port)), f"127.0.0.1:{port}")
    assert list(tmp_path.iterdir()) == []  # the next start begins as if this one had never been


def test_an_address_of_another_machine_is_one_clear_line(tmp_path: Path) -> None:
    says_in_one_line(run(tmp_path, "--host", "203.0.113.7", "--port", "0"), "203.0.113.7")
    assert list(tmp_path.iterdir()) == []
