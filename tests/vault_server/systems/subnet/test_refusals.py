"""Every constraint at the door: the code, and that nothing has happened. Raw SQL is refused in test_schema_guard."""

from __future__ import annotations

from typing import Any

import pytest

from protocol import subnet as wire
from protocol.errors import Code
from tests.vault_server.people import participant
from tests.vault_server.systems.subnet.conftest import MakeSubnet
from tests.vault_server.systems.subnet.harness import (
    ANN,
    BOB,
    EVE,
    HAL,
    MAX,
    METADATA,
    MIA,
    NOT_THERE,
    STRANGER,
    VAL,
    WINDOW_MS,
    Subnet,
)
from vault_server.core.operation import Caller

DAY_MS = 86_400_000


def creating(**fields: Any) -> wire.CreateTask:
    return wire.CreateTask(
        **{
            "task_type": "talk",
            "task_metadata": METADATA,
            "validator_completion": '"x"',
            "assigned_miner_hotkey": MIA.hotkey,
            **fields,
        }
    )


async def counted(subnet: Subnet) -> list[int]:
    tables = ("subnet_tasks", "completions", "votes", "score_history", "outbox", "deadlines", "miner_contributors")
    return [(await subnet.row(f"SELECT count(*) AS n FROM {table}"))["n"] for table in tables]


async def refuses(subnet: Subnet, caller: Caller, order: Any, code: Code) -> None:
    """Refused with that code, and no row more than before."""
    before = await counted(subnet)
    assert (await subnet.refused(caller, order)).code is code
    assert await counted(subnet) == before


# creating


async def test_who_cannot_be_the_miner(subnet: Subnet) -> None:
    await subnet.register(VAL, MIA, MAX)
    await refuses(subnet, VAL, creating(assigned_miner_hotkey=VAL.hotkey), Code.CONFLICT_OF_INTEREST)
    await refuses(subnet, VAL, creating(assigned_miner_hotkey=STRANGER.hotkey), Code.NOT_REGISTERED)
    await subnet.link(MIA, VAL)
    await refuses(subnet, VAL, creating(), Code.CONFLICT_OF_INTEREST)
    await refuses(subnet, MIA, creating(assigned_miner_hotkey=VAL.hotkey), Code.CONFLICT_OF_INTEREST)
    for _ in range(2):
        task = await subnet.create(miner=None)
        assert (await subnet.shown(task, VAL)).assigned_miner_hotkey == MAX.hotkey
    await subnet.give(VAL, wire.LeaveMiner())
    await subnet.create()


@pytest.mark.parametrize(
    ("ms", "fits"), [(0, False), (-1, False), (1, True), (30 * DAY_MS, True), (30 * DAY_MS + 1, False)]
)
async def test_the_end_of_a_task(subnet: Subnet, ms: int, fits: bool) -> None:
    await subnet.register(VAL, MIA)
    order = creating(expire_at=subnet.now_ms + ms)
    if fits:
        assert (await subnet.give(VAL, order)).expire_at == subnet.now_ms + ms
    else:
        await refuses(subnet, VAL, order, Code.BAD_FIELD)


async def test_six_hours_unless_the_validator_says(subnet: Subnet) -> None:
    await subnet.register(VAL, MIA)
    assert (await subnet.give(VAL, creating())).expire_at == subnet.now_ms + WINDOW_MS


async def test_a_trap_names_a_side(subnet: Subnet) -> None:
    await subnet.register(VAL, MIA)
    await refuses(subnet, VAL, creating(task_metadata='{"negative_completion":"both"}'), Code.BAD_FIELD)


async def test_nobody_mines(subnet: Subnet) -> None:
    await subnet.register(VAL, MIA, judging=True)
    await refuses(subnet, VAL, creating(assigned_miner_hotkey=None), Code.NO_MINER_AVAILABLE)
    await subnet.register(MIA, mining=True)
    await subnet.leave(MIA)
    await refuses(subnet, VAL, creating(assigned_miner_hotkey=None), Code.NO_MINER_AVAILABLE)


async def test_open_tasks_of_a_validator(make_subnet: MakeSubnet) -> None:
    subnet = await make_subnet(subnet_open_tasks_max=2)
    await subnet.register(VAL, MIA, ANN)
    tasks = [await subnet.create(), await subnet.submitted()]
    await refuses(subnet, VAL, creating(), Code.TOO_MANY_OPEN_TASKS)
    await subnet.give(VAL, wire.CancelTask(task_id=tasks[0]))
    await subnet.create()
    await refuses(subnet, VAL, creating(), Code.TOO_MANY_OPEN_TASKS)
    await subnet.create(ANN)


async def test_tasks_of_a_miner(make_subnet: MakeSubnet) -> None:
    subnet = await make_subnet(subnet_assignments_max=2)
    await subnet.register(VAL, MIA, mining=True)
    tasks = [await subnet.create(), await subnet.create()]
    await refuses(subnet, VAL, creating(), Code.NO_MINER_AVAILABLE)
    await refuses(subnet, VAL, creating(assigned_miner_hotkey=None), Code.NO_MINER_AVAILABLE)
    await subnet.submit(tasks[0])
    await subnet.create()


async def test_reputation_of_a_validator(make_subnet: MakeSubnet) -> None:
    subnet = await make_subnet(subnet_validator_reputation_min=50.5)
    await subnet.register(VAL, MIA, ANN)
    await refuses(subnet, VAL, creating(), Code.REPUTATION_TOO_LOW)


async def test_the_same_request_makes_one_task(subnet: Subnet) -> None:
    await subnet.register(VAL, MIA)
    order = creating(idempotency_key="k")
    first = await subnet.give(VAL, order)
    assert await subnet.give(VAL, order) == first
    await refuses(subnet, VAL, creating(idempotency_key="k", task_type="other"), Code.IDEMPOTENCY_CONFLICT)
    other = await subnet.give(VAL, creating(idempotency_key="l"))
    assert other.task_id != first.task_id


# answering


async def test_who_cannot_answer(subnet: Subnet) -> None:
    await subnet.register(VAL, MIA, MAX, ANN)
    task = await subnet.create()
    order = wire.SubmitCompletion(task_id=task, completion="1")
    for who in (MAX, ANN, STRANGER):
        await refuses(subnet, who, order, NOT_THERE)
        await refuses(subnet, who, wire.SubmitCompletion(task_id=99, completion="1"), NOT_THERE)
    await refuses(subnet, VAL, order, Code.NOT_ASSIGNED)
    await subnet.link()
    await subnet.give(MIA, wire.RevokeContributor(contributor_hotkey=HAL.hotkey))
    await refuses(subnet, HAL, order, Code.NOT_ASSIGNED)


async def test_the_first_answer_wins(subnet: Subnet) -> None:
    await subnet.register(VAL, MIA, ANN)
    await subnet.link()
    task = await subnet.submitted(by=HAL)
    order = wire.SubmitCompletion(task_id=task, completion='"the answer"')
    for who in (MIA, HAL):
        await refuses(subnet, who, order, Code.DUPLICATE_COMPLETION)
    await subnet.vote(task, ANN, "miner")
    await subnet.wait(WINDOW_MS)
    for who in (MIA, HAL):
        await refuses(subnet, who, order, Code.DUPLICATE_COMPLETION)


# voting


async def test_who_cannot_vote(subnet: Subnet) -> None:
    await subnet.register(VAL, MIA, ANN)
    await subnet.link()
    task = await subnet.submitted()
    for who in (VAL, MIA, HAL):
        await refuses(subnet, who, wire.Vote(task_id=task, chosen="a"), Code.SELF_VOTE)
    await refuses(subnet, STRANGER, wire.Vote(task_id=task, chosen="a"), NOT_THERE)
    late = participant("late")
    await subnet.register(late)
    await refuses(subnet, late, wire.Vote(task_id=task, chosen="a"), Code.NOT_REGISTERED)
    await refuses(subnet, ANN, wire.Vote(task_id=99, chosen="a"), NOT_THERE)


async def test_registered_in_the_same_millisecond_is_too_late(subnet: Subnet) -> None:
    await subnet.register(VAL, MIA)
    task = await subnet.create()
    await subnet.give(ANN, wire.Register(judging=True))
    await subnet.submit(task)
    await refuses(subnet, ANN, wire.Vote(task_id=task, chosen="a"), Code.NOT_REGISTERED)


async def test_who_helped_until_the_answer_does_not_vote_on_it(subnet: Subnet) -> None:
    await subnet.register(VAL, MIA, ANN, BOB)
    await subnet.link(MIA, HAL)
    task, other = await subnet.submitted(), await subnet.create()
    await subnet.give(HAL, wire.LeaveMiner())
    await refuses(subnet, HAL, wire.Vote(task_id=task, chosen="a"), Code.SELF_VOTE)
    assert await subnet.pushed(HAL) == ["contributor_linked", "completion_submitted", "contributor_revoked"]
    subnet.now_ms += 1
    await subnet.submit(other)
    await subnet.vote(other, HAL, "miner")


async def test_a_judge_who_is_linked_unasked_leaves_and_votes(subnet: Subnet) -> None:
    await subnet.register(VAL, MIA, ANN, BOB)
    early = await subnet.create()
    subnet.now_ms += 1
    await subnet.link(MIA, ANN)
    await subnet.submit(early)
    task = await subnet.submitted()
    await subnet.link(MIA, BOB)
    assert (await subnet.shown(task, BOB)).miner_completion is None, "another's answer, before it is scored"
    await refuses(subnet, ANN, wire.Vote(task_id=early, chosen="a"), Code.SELF_VOTE)
    await subnet.give(ANN, wire.LeaveMiner())
    await subnet.give(BOB, wire.LeaveMiner())
    await subnet.vote(early, ANN, "miner")
    await subnet.vote(task, BOB, "validator")
    await refuses(subnet, ANN, wire.Vote(task_id=task, chosen="a"), Code.SELF_VOTE)


async def test_before_and_after_the_voting(subnet: Subnet) -> None:
    await subnet.register(VAL, MIA, ANN, BOB)
    task = await subnet.create()
    await refuses(subnet, ANN, wire.Vote(task_id=task, chosen="a"), NOT_THERE)
    await subnet.submit(task)
    subnet.now_ms += WINDOW_MS - 1
    await refuses(subnet, ANN, wire.Vote(task_id=task, chosen="a"), Code.VOTING_CLOSED)
    await subnet.wait(0)
    for who in (ANN, BOB):
        await refuses(subnet, who, wire.Vote(task_id=task, chosen="a"), Code.VOTING_CLOSED)
    expired = await subnet.create(expire_at=subnet.now_ms + 5)
    await subnet.wait(5)
    await refuses(subnet, ANN, wire.Vote(task_id=expired, chosen="a"), NOT_THERE)


async def test_for_and_against_the_same(subnet: Subnet) -> None:
    await subnet.register(VAL, MIA, ANN, BOB)
    task = await subnet.submitted()
    for label in "ab":
        await refuses(subnet, ANN, wire.Vote(task_id=task, chosen=label, against=label), Code.BAD_FIELD)


async def test_the_second_vote_replaces_the_first(subnet: Subnet) -> None:
    await subnet.register(VAL, MIA, ANN, BOB)
    task = await subnet.submitted()
    await subnet.vote(task, ANN, "validator", against=True)
    subnet.now_ms += 10
    await subnet.vote(task, ANN, "miner")
    row = await subnet.row("SELECT * FROM votes")
    answer = await subnet.row("SELECT id FROM completions WHERE hotkey = :hotkey", hotkey=MIA.hotkey)
    assert (row["chosen_completion_id"], row["against_completion_id"]) == (answer["id"], None)
    assert row["updated_at"] == row["created_at"] + 10


# contributors


async def test_links_that_cannot_be(make_subnet: MakeSubnet) -> None:
    subnet = await make_subnet(subnet_contributors_max=2)
    await subnet.register(VAL, MIA, MAX)
    await refuses(subnet, MIA, wire.AddContributor(contributor_hotkey=MIA.hotkey), Code.CONFLICT_OF_INTEREST)
    await refuses(subnet, MIA, wire.RevokeContributor(contributor_hotkey=HAL.hotkey), Code.NOT_LINKED)
    await refuses(subnet, HAL, wire.LeaveMiner(), Code.NOT_LINKED)
    await subnet.link()
    for miner in (MIA, MAX):
        await refuses(subnet, miner, wire.AddContributor(contributor_hotkey=HAL.hotkey), Code.ALREADY_LINKED)
    await refuses(subnet, MAX, wire.RevokeContributor(contributor_hotkey=HAL.hotkey), Code.NOT_LINKED)
    await subnet.link(MIA, EVE)
    await refuses(subnet, MIA, wire.AddContributor(contributor_hotkey=BOB.hotkey), Code.TOO_MANY_CONTRIBUTORS)
    await subnet.give(EVE, wire.LeaveMiner())
    await refuses(subnet, EVE, wire.LeaveMiner(), Code.NOT_LINKED)
    await refuses(subnet, MIA, wire.RevokeContributor(contributor_hotkey=EVE.hotkey), Code.NOT_LINKED)
    await subnet.link(MIA, BOB)
