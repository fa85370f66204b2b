"""What operators see of the hive: explain, counts, gauges, and that every invariant notices what it is there for."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from protocol import hive as wire
from tests.vault_server.storage.both import Raw
from tests.vault_server.storage.rows import insert
from tests.vault_server.systems.hive.harness import Hive, number_of
from tests.vault_server.systems.hive.test_schema_guard import (
    AGENT,
    CLAIMED,
    COMPLETED,
    DELIVERED,
    DISPUTED,
    OPERATOR,
    POSTER,
    STRANGER,
    agent,
    claim,
    credit,
    review,
    task,
    user,
    work,
)
from vault_server.storage.schema import schema_text
from vault_server.storage.sqlite_work import SqliteTransaction
from vault_server.systems.hive.invariants import INVARIANTS
from vault_server.systems.hive.reports import explain_hive, hive_counts


async def test_explain_tells_the_whole_story_of_a_task(hive: Hive) -> None:
    ann, bob, judge = await hive.person("ann"), await hive.person("bob"), await hive.admin()
    robot = await hive.agent(bob)
    for _ in range(4):
        await hive.completed(ann, robot)
    task = await hive.disputed(ann, robot)
    await hive.give(judge, wire.ResolveDispute(task_id=task, outcome="agent"))
    await hive.give(ann, wire.ReviewTask(task_id=task, rating=3))
    story = await hive.database.read(lambda reader: explain_hive(reader, str(task), hive.now_ms))
    assert story is not None
    assert (story["id"], story["status"], story["claimed_by_agent_id"]) == (task, "completed", number_of(robot))
    assert [each["status"] for each in story["claims"]] == ["accepted"]
    assert [(each["status"], each["characters"]) for each in story["deliverables"]] == [("accepted", 7)]
    assert (story["dispute"]["outcome"], story["dispute"]["resolved_by"]) == ("agent", number_of(judge))
    assert story["review"]["rating"] == 3
    assert [(each["type"], each["amount"]) for each in story["credits"]] == [("payment", 180), ("platform_fee", 20)]
    assert [each["reason"] for each in story["scores"]] == ["task_completed", "review"]
    assert "It is not sorted" not in repr(story)


@pytest.mark.parametrize("about", ["", "x", "99", "-1", "1.0", "²", "9" * 19])
async def test_what_is_no_task_is_not_explained(hive: Hive, about: str) -> None:
    assert await hive.database.read(lambda reader: explain_hive(reader, about, 0)) is None


async def test_counts_are_of_every_state(hive: Hive) -> None:
    ann = await hive.person("ann")
    robot = await hive.agent(await hive.person("bob"))
    await hive.completed(ann, robot)
    await hive.post(ann)
    counts = await hive.database.read(lambda reader: hive_counts(reader, "", 0))
    assert counts["agents"] == {"active": 1, "paused": 0, "suspended": 0}
    assert {status: number for status, number in counts["tasks"].items() if number} == {"completed": 1, "open": 1}
    assert len(counts["tasks"]) == 7


def paid(number: int = 401) -> list[str]:
    return [*COMPLETED, credit(OPERATOR, 180, 180, "payment", task_id=number, counterparty_id=POSTER)]


WEBHOOK = {
    "agent_id": AGENT, "owner": f"agent:{AGENT}", "url": "https://x.example", "secret": "x", "secret_prefix": "whsec_ab"
}  # fmt: skip

BROKEN: dict[str, list[str]] = {
    "each row of a user's ledger follows the one before it": [
        credit(POSTER, 5, 5), credit(POSTER, 5, 11), f"UPDATE users SET credit_balance = 10 WHERE id = {POSTER}"
    ],
    "a balance is the sum of its ledger": [f"UPDATE users SET credit_balance = 10 WHERE id = {POSTER}"],
    "an agent's score is 50 and its history": [f"UPDATE agents SET reputation_score = 51 WHERE id = {AGENT}"],
    "a task that somebody has is by one accepted claim, and any other by none": [
        *CLAIMED, "UPDATE task_claims SET status = 'rejected'"
    ],
    "claims are pending on open tasks alone": [*CLAIMED, claim(502, 202)],
    "no claim is above its task's budget": [task(), claim(credits=201)],
    "deliverables fit their task's state": [*DELIVERED, "UPDATE deliverables SET status = 'rejected'"],
    "each agent counts its deliverables on a task from 1": [*CLAIMED, work(revision=2, status="rejected")],
    "a disputed task has an open dispute, and a decided one ended so": [*DISPUTED, "DELETE FROM disputes"],
    "a completed task is paid once, and no other": [*COMPLETED, "UPDATE agents SET tasks_completed = 1 WHERE id = 201"],
    "payments go from a task's poster to its agent's operator": [
        *COMPLETED, "UPDATE agents SET tasks_completed = 1 WHERE id = 201",
        credit(STRANGER, 180, 180, "payment", task_id=401, counterparty_id=POSTER),
        f"UPDATE users SET credit_balance = 180 WHERE id = {STRANGER}",
    ],
    "an agent's counter is the number of tasks it completed": [
        *paid(), f"UPDATE users SET credit_balance = 180 WHERE id = {OPERATOR}"
    ],
    "a poster's counters are what became of his tasks": [insert("hive_posters", {"user_id": POSTER, "posted": 1})],
    "an agent's rating is the mean of its reviews by others": [
        f"UPDATE agents SET avg_rating = 4 WHERE id = {AGENT}"
    ],
    "reviews are by posters, of whoever completed their task": [
        *CLAIMED, review(), f"UPDATE agents SET avg_rating = 5 WHERE id = {AGENT}"
    ],
    "whoever registered has his bonus": [f"UPDATE users SET password_hash = 'x' WHERE id = {POSTER}"],
    "only active webhooks are sent to, and only what waits for them": [
        insert("deadlines", {"name": "send_webhook", "subject": "1", "due": 1})
    ],
    "a webhook that has failed ten times in a row is given up": [insert("webhooks", {**WEBHOOK, "failure_count": 10})],
    "only work that is not looked at is accepted by time": [
        *CLAIMED, insert("deadlines", {"name": "accept_unreviewed", "subject": "401", "due": 1})
    ],
}  # fmt: skip
"""What breaks each invariant and no other; the triggers, which stand in its way, are left out."""

COUNTED = (
    "INSERT INTO hive_posters SELECT poster_id, count(*), count(CASE status WHEN 'completed' THEN 1 END),"
    " (SELECT count(*) FROM disputes) FROM hive_tasks GROUP BY poster_id"
)
"""What triggers would have counted."""


@pytest.mark.parametrize("name", BROKEN)
def test_an_invariant_notices_what_it_is_there_for(name: str) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.row_factory = sqlite3.Row
        connection.executescript(schema_text())
        raw = Raw(connection.execute, is_sqlite=True)
        raw.run(*(user(number) for number in (POSTER, OPERATOR, 103, STRANGER)), agent(AGENT), agent(202))
        reader = SqliteTransaction(connection)
        assert [list(each.violations(reader)) for each in INVARIANTS if list(each.violations(reader))] == []
        raw.run(*BROKEN[name])
        if not name.startswith("a poster"):
            raw.run(COUNTED)
        broken = {each.name: list(each.violations(reader)) for each in INVARIANTS}
        assert [each for each, found in broken.items() if found] == [name], broken
        assert all("{" not in sentence for sentence in broken[name])


def test_every_invariant_is_tried() -> None:
    assert [each.name for each in INVARIANTS] == list(BROKEN)
