"""A thousand tasks with ten voters each settle right."""

from __future__ import annotations

import random
from typing import Any

from protocol import subnet as wire
from tests.vault_server.people import participant
from tests.vault_server.systems.subnet.conftest import MakeSubnet
from tests.vault_server.systems.subnet.harness import Subnet
from vault_server.core.operation import Caller
from vault_server.systems.subnet import rules

AT_ONCE = 50
"""Open at the same time: what one validator may have."""
ROUNDS = {"sqlite": 20, "postgres": 2}
"""On PostgreSQL a batch is as many transactions as orders, and each statement a round trip: a hundred tasks there."""

VALIDATOR = participant("validator")
MINERS = [participant(f"miner {number}") for number in range(5)]
VOTERS = [participant(f"voter {number}") for number in range(10)]


def creating(miner: Caller) -> wire.CreateTask:
    return wire.CreateTask(
        task_type="talk", task_metadata="{}", validator_completion="1", assigned_miner_hotkey=miner.hotkey
    )


async def play(subnet: Subnet, drawn: random.Random) -> list[tuple[Caller, list[rules.CountedVote]]]:
    """Fifty tasks from the question to the last vote; of each its miner and what was voted."""
    asked = [MINERS[number % len(MINERS)] for number in range(AT_ONCE)]
    created = await subnet.give_all([(VALIDATOR, creating(miner)) for miner in asked])
    tasks = [reply.task_id for reply in created]
    await subnet.give_all(
        [(miner, wire.SubmitCompletion(task_id=task, completion="2")) for miner, task in zip(asked, tasks, strict=True)]
    )
    subnet.now_ms += 1
    sides = [[drawn.choice(("validator", "validator", "miner")) for _ in VOTERS] for _ in tasks]
    orders: list[tuple[Caller, Any]] = [
        (voter, wire.Vote(task_id=task, chosen=subnet.label(task, voter, side)))
        for task, row in zip(tasks, sides, strict=True)
        for voter, side in zip(VOTERS, row, strict=True)
    ]
    weights = iter([taken.weight for taken in await subnet.give_all(orders)])
    return [
        (miner, [rules.CountedVote(v.hotkey, next(weights), side) for v, side in zip(VOTERS, row, strict=True)])
        for miner, row in zip(asked, sides, strict=True)
    ]


async def test_a_thousand_tasks_with_ten_voters_each(make_subnet: MakeSubnet, dialect: str) -> None:
    subnet = await make_subnet()
    await subnet.register(VALIDATOR, judging=False)
    await subnet.register(*MINERS, mining=True)
    await subnet.register(*VOTERS, judging=True)
    drawn = random.Random(6)
    scores = dict.fromkeys((who.hotkey for who in (*MINERS, *VOTERS)), 50.0)
    for _ in range(ROUNDS[dialect]):
        for miner, votes in await play(subnet, drawn):
            assert all(abs(vote.weight - rules.weight(scores[vote.hotkey])) < 1e-9 for vote in votes)
            changes = rules.settle(
                votes, miner=miner.hotkey, author=miner.hotkey, negative=None, scale=1.0, votes_min=1
            )
            for change in changes:
                scores[change.hotkey] = round(min(100.0, scores[change.hotkey] + change.amount), 6)
    tasks = AT_ONCE * ROUNDS[dialect]
    counted = await subnet.row("SELECT count(*) AS n FROM subnet_tasks WHERE status = 'scored'")
    assert counted["n"] == tasks
    assert (await subnet.row("SELECT count(*) AS n FROM votes"))["n"] == len(VOTERS) * tasks
    for who in (*MINERS, *VOTERS):
        assert await subnet.score(who) == scores[who.hotkey]
