"""What operators see of the hive: a task explained from its file, what is not there, and what check finds."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from protocol import hive as wire
from tests.processes import Server
from tests.vault_server.operator.conftest import Operate
from tests.vault_server.systems.hive.harness import HOUR_MS, Hive, number_of, settings_for
from vault_server.storage.sqlite import SqliteDatabase


@pytest.fixture
async def database(tmp_path: Path) -> Path:
    """A file in which a task was given up, done late, disputed, won and reviewed; no server runs on it."""
    path = tmp_path / "vault.db"
    hive = Hive(SqliteDatabase(path), settings_for(tmp_path))
    await hive.start()
    ann, bob, judge = await hive.person("ann"), await hive.person("bob"), await hive.admin()
    robot, other = await hive.agent(bob), await hive.agent(bob, "other")
    task = await hive.claimed(ann, other, deadline=hive.now_ms + HOUR_MS)
    await hive.give(other, wire.WithdrawClaim(task_id=task, claim_id=1))
    await hive.give(ann, wire.AcceptClaim(task_id=task, claim_id=await hive.claim(robot, task)))
    await hive.wait(2 * HOUR_MS)
    await hive.deliver(robot, task, "what nobody else may read")
    await hive.give(ann, wire.DisputeTask(task_id=task, reason="what is between us"))
    await hive.give(judge, wire.ResolveDispute(task_id=task, outcome="agent"))
    await hive.give(ann, wire.ReviewTask(task_id=task, rating=4))
    await hive.database.stop()
    return path


async def test_a_task_is_explained_from_its_file(database: Path, operate: Operate) -> None:
    shown = operate("explain", "hive:1", "--database", database)
    assert shown.exit_code == 0, shown.output
    for words in (
        "Hive task 1 (Sort these numbers) is completed", "posted by  user 2", "200 credits", "withdrawn (given up)",
        "(late)", "(dispute)", "for the agent, by user 4", "4 of 5", "payment", "+180", "880", "platform_fee",
    ):  # fmt: skip
        assert words in shown.stdout, shown.stdout
    for secret in ("nobody else", "between us"):
        assert secret not in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 120
    found = json.loads(operate("explain", "hive:1", "--json", "--database", database).stdout)
    assert (found["status"], len(found["claims"])) == ("completed", 2)


@pytest.mark.parametrize("number", ["7", "x", "", "9" * 30])
async def test_what_is_not_there(database: Path, operate: Operate, number: str) -> None:
    refused = operate("explain", f"hive:{number}", "--database", database)
    assert refused.exit_code == 1
    assert "the hive has no task" in refused.stderr


async def test_check_finds_what_is_broken(database: Path, operate: Operate) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DROP TRIGGER credit_balance_follows_ledger")
        connection.execute("UPDATE users SET credit_balance = 5 WHERE id = 2")
    found = operate("check", "--database", database)
    assert found.exit_code != 0
    assert "user 2 has 5 credits; the ledger says 500" in found.output


async def test_an_operator_appoints_an_admin(server: Server, operate: Operate) -> None:
    await server.terminate()
    hive = Hive(SqliteDatabase(Path(server.database)), settings_for(Path(server.folder)))
    await hive.start()
    ann = await hive.person("ann")
    await hive.database.stop()
    await server.start()
    done = operate("appoint", " Ann@example.org", "--database", server.database)
    assert done.stdout == f"user {number_of(ann)} is an admin, and was both before\n", done.output
    again = operate("appoint", "ann@example.org", "--database", server.database)
    assert again.stdout == f"user {number_of(ann)} is an admin already\n", again.output
    refused = operate("appoint", "eve@example.org", "--database", server.database)
    assert refused.exit_code == 1
    assert "Nobody is registered with this e-mail address." in refused.stderr
