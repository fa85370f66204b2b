"""What operators see of the subnet: explained with and without a server, on the screen, in the log, in /metrics."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

from protocol import subnet as wire
from tests.acceptance.test_subnet import ANSWER, REFERENCE, creating, join, vote
from tests.processes import Server
from tests.vault_server.operator.conftest import Operate
from tests.vault_server.web.http import get


async def test_a_task_is_explained_with_and_without_its_server(server: Server, operate: Operate) -> None:
    database = ("--database", server.database)
    validator, miner = await join(server), await join(server, mining=True)
    voters = [await join(server, judging=True) for _ in range(2)]
    created = await validator.ask(creating(), wire.TaskCreated)
    text = operate("explain", "subnet:1", *database).stdout
    assert "Subnet task 1 (talk) is assigned" in text
    await miner.ask(wire.SubmitCompletion(task_id=created.task_id, completion=ANSWER), wire.CompletionTaken)
    assert "2 are asked and have not voted" in operate("explain", "subnet:1", *database).stdout
    seen = json.loads(operate("top", "--json", *database).stdout)
    assert seen["counts"]["subnet"] == {
        "tasks": {"assigned": 0, "submitted": 1, "scored": 0, "expired": 0, "cancelled": 0},
        "online": {"mining": 1, "judging": 2},
    }
    screen = operate("top", *database).stdout
    assert "submitted" in screen
    assert max(map(len, screen.splitlines())) <= 80
    for voter, choice in zip(voters, (REFERENCE, ANSWER), strict=True):
        await vote(voter, choice)
    shown = operate("explain", "subnet:1", *database).stdout
    assert "Subnet task 1 (talk) is scored" in shown
    for words in (created.assigned_miner_hotkey, "discriminator_agreed_reference", "generator_votes", "+0.500000"):
        assert words in shown
    for row in json.loads(operate("explain", "subnet:1", "--json", *database).stdout)["votes"]:
        assert f"{row['voter'][:16]}  {row['chosen']}" in shown
    assert "number  side       by                characters of JSON  at\n" in shown, "no column is cut"
    for secret in (REFERENCE, ANSWER, "say something"):
        assert secret.strip('"') not in shown, "not what was said, only who said something"
    metrics = (await get(server.http_port, "/metrics")).body.decode()
    assert 'vault_subnet_tasks{status="scored"} 1' in metrics
    assert 'vault_subnet_online{availability="judging"} 2' in metrics
    for one in (validator, miner, *voters):
        await one.close()
    await server.terminate()
    assert operate("explain", "subnet:1", *database).stdout == shown
    found = json.loads(operate("explain", "subnet:1", "--json", *database).stdout)
    assert [row["side"] for row in found["completions"]] == ["validator", "miner"]
    assert "the reference" not in server.log_path.read_text()


async def test_what_is_not_there(server: Server, operate: Operate) -> None:
    for number in ("7", "x", "", "9" * 30):
        refused = operate("explain", f"subnet:{number}", "--database", server.database)
        assert refused.exit_code == 1
        assert "the subnet has no task" in refused.stderr


async def test_check_finds_what_is_broken(server: Server, operate: Operate) -> None:
    validator, miner = await join(server), await join(server, mining=True)
    await validator.ask(creating(), wire.TaskCreated)
    for one in (validator, miner):
        await one.close()
    await server.terminate()
    database = ("--database", server.database)
    assert operate("check", *database).exit_code == 0
    with closing(sqlite3.connect(server.database)) as connection:
        connection.execute("DELETE FROM deadlines WHERE name = 'expire_subnet_task'")
        connection.execute("DELETE FROM outbox WHERE kind = 'task_assigned'")
        connection.commit()
    broken = operate("check", *database)
    assert broken.exit_code == 1
    assert "broken: a subnet task that is not finished has a deadline" in broken.stdout
    assert "broken: whoever may answer has a request" in broken.stdout
