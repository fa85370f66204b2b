"""A new master key for a real server while it serves: killed in the middle of it, and given by the environment."""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

from protocol.errors import Code
from protocol.identity import Identity
from protocol.vault import AskStatus, PuzzleAccepted, PuzzleAnswered, TaskState
from tests.acceptance import rows
from tests.acceptance.conversation import accept, answer, dial_solver, refused_message
from tests.acceptance.puzzles import COMPUTED, Maker
from tests.conftest import StartServer
from tests.dialling import dial
from tests.processes import Server, environment
from tests.vault_server.storage.rows import task as task_row
from vault_server.exchange.cipher import Cipher
from vault_server.keys import load_master_keys, master_key_path

MANY = 2000
VERSIONS = """
    SELECT DISTINCT substr(hex(value), 1, 4) FROM (
        SELECT parameter_t AS value FROM tasks UNION ALL SELECT parameter_baseg FROM tasks
        UNION ALL SELECT parameter_product FROM tasks UNION ALL SELECT answer FROM tasks
        UNION ALL SELECT answer FROM task_assignments) WHERE value IS NOT NULL ORDER BY 1"""


def versions(server: Server) -> list[object]:
    """Which master keys the sealed values in the file name."""
    return [version for (version,) in rows.look(server.database, VERSIONS)]


def fill(server: Server, client: str) -> None:
    """Many tasks of the past, sealed with the key in the file."""
    cipher = Cipher.of(load_master_keys(server.database, None)[0].read(), secrets.token_bytes)
    update = """UPDATE tasks SET parameter_t = ?, parameter_baseg = ?, parameter_product = ? WHERE fingerprint = ?"""
    with closing(sqlite3.connect(server.database, timeout=10)) as connection, connection:
        counted = "UPDATE clients SET tasks_requested = tasks_requested + ? WHERE client_id = ?"
        connection.execute(counted, (MANY, client))
        for _ in range(MANY):
            name = secrets.token_hex(16)
            sealed = [
                cipher.seal(secrets.token_bytes(64), table="tasks", row=name, column=column, owner=client)
                for column in ("parameter_t", "parameter_baseg", "parameter_product")
            ]
            connection.execute(task_row(name, "cancelled", client_id=client))
            connection.execute(update, (*sealed, name))


def rotate(server: Server) -> subprocess.CompletedProcess[str]:
    """What the operator types."""
    command = [sys.executable, "-m", "vault_server", "keys", "rotate", "--database", str(server.database)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment())


async def kill_in_the_middle(server: Server) -> None:
    """Wait until the new key has sealed some tasks, kill the server, and see that others are left."""
    count = "SELECT count(*) FROM tasks WHERE substr(hex(parameter_t), 1, 4) = '0002'"
    until = time.monotonic() + 75
    while not rows.count(server.database, count):
        assert time.monotonic() < until, server.tail()
        await asyncio.sleep(0.005)
    await server.kill()
    assert 0 < rows.count(server.database, count) < MANY, "in the middle"


async def test_a_server_killed_in_the_middle_of_a_rotation_reads_everything_and_carries_on(
    server: Server, maker: Maker
) -> None:
    me, customer = Identity.generate(), Identity.generate()
    order, right = maker.order(COMPUTED, key="once")
    other, other_right = maker.order(COMPUTED)
    async with await dial(server.url, identity=customer) as client, await dial_solver(server, me) as solver:
        task = (await client.ask(order, PuzzleAccepted)).task
        await answer(solver, await accept(solver))
        await client.take(PuzzleAnswered)
        waiting = (await client.ask(other, PuzzleAccepted)).task
    fill(server, customer.fingerprint)
    old = master_key_path(server.database).read_text().strip()
    assert versions(server) == ["0001"]

    asking = asyncio.create_task(asyncio.to_thread(rotate, server))
    await kill_in_the_middle(server)
    await asking
    assert versions(server) == ["0001", "0002"]
    await server.start()
    async with await dial(server.url, identity=customer) as client:
        assert (await client.ask(AskStatus(task=task), TaskState)).answer == right
        assert (await client.ask(order, PuzzleAccepted)).task == task, "the same request, recognised"
        changed, _ = maker.order(COMPUTED, key="once")
        await refused_message(client, changed, Code.IDEMPOTENCY_CONFLICT)
        async with await dial_solver(server, me) as solver:
            offer = await accept(solver)
            assert offer.task == waiting
            assert await answer(solver, offer) == "valid"
            assert (await client.take(PuzzleAnswered)).answer == other_right
        await server.event("master_key.retired", version=2)
        assert (await client.ask(order, PuzzleAccepted)).task == task
        assert (await client.ask(AskStatus(task=waiting), TaskState)).answer == other_right
    assert versions(server) == ["0002"]
    assert old not in master_key_path(server.database).read_text()
    assert old not in server.log_path.read_text() + server.stderr_path.read_text()
    rows.check(server.database)


OLD, NEW = "ab" * 32, "cd" * 32


async def test_a_new_key_from_the_environment(start_server: StartServer, maker: Maker) -> None:
    server = await start_server(master_key=OLD)
    customer = Identity.generate()
    order, right = maker.order(COMPUTED, key="once")
    async with await dial(server.url, identity=customer) as client, await dial_solver(server) as solver:
        task = (await client.ask(order, PuzzleAccepted)).task
        await answer(solver, await accept(solver))
    await server.terminate()
    server.settings["master_key"] = f"2:{NEW}"
    server.launch()
    assert await server.wait() == 1
    missing = "version 1 of the master key is not among those given (2)"
    assert f"{missing}: {server.database} was written with another master key" in server.tail()

    server.settings["master_key"] = f"2:{NEW},1:{OLD}"
    await server.start()
    await server.event("master_key.retired", version=2, retired=[1])
    server.settings["master_key"] = f"2:{NEW}"
    await server.restart()
    async with await dial(server.url, identity=customer) as client:
        assert (await client.ask(order, PuzzleAccepted)).task == task
        assert (await client.ask(AskStatus(task=task), TaskState)).answer == right
    assert versions(server) == ["0002"]
    assert not master_key_path(server.database).exists()
    written = server.log_path.read_text() + server.stderr_path.read_text()
    assert OLD not in written
    assert NEW not in written
