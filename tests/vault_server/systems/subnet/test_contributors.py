"""Who helps a miner: what they see and may do, from the link to its end, and not a moment longer."""

from __future__ import annotations

from protocol import subnet as wire
from protocol.errors import Code
from tests.vault_server.systems.subnet.harness import (
    ANN,
    ANSWER,
    BOB,
    HAL,
    MAX,
    METADATA,
    MIA,
    NOT_THERE,
    REFERENCE,
    VAL,
    WINDOW_MS,
    Subnet,
)


async def tasks_of(subnet: Subnet, role: str = "contributor") -> list[int]:
    reply: wire.TaskList = await subnet.give(HAL, wire.ListTasks(role=role))
    return [line.task_id for line in reply.tasks]


async def test_a_contributor_sees_and_answers_the_tasks_of_his_miner(subnet: Subnet) -> None:
    await subnet.register(VAL, MIA, MAX, ANN)
    before, others = await subnet.create(), await subnet.create(miner=MAX)
    await subnet.link()
    assert await subnet.pushes(HAL) == [
        wire.TaskAssigned(
            task_id=before,
            task_type="talk",
            expire_at=subnet.now_ms + WINDOW_MS,
            assigned_miner_hotkey=MIA.hotkey,
            task_metadata=METADATA,
        ),
        wire.ContributorLinked(contributor_hotkey=HAL.hotkey, miner_hotkey=MIA.hotkey),
    ]
    after = await subnet.create()
    assert await tasks_of(subnet) == [after, before]
    assert (await subnet.refused(HAL, wire.GetTask(task_id=others))).code is NOT_THERE
    shown = await subnet.shown(before, HAL)
    assert (shown.task_metadata, shown.validator_completion, shown.miner_completion) == (METADATA, None, None)

    await subnet.submit(before, HAL)
    shown = await subnet.shown(before, MIA)
    assert (shown.submitted_by, shown.miner_completion, shown.validator_completion) == (HAL.hotkey, ANSWER, None)
    assert wire.CompletionSubmitted(task_id=before) in await subnet.pushes(MIA), "stop working on it"
    assert wire.CompletionSubmitted(task_id=before) not in await subnet.pushes(HAL)

    await subnet.vote(before, ANN, "miner")
    assert await subnet.history(MIA) == []
    await subnet.wait(WINDOW_MS)
    assert await subnet.history(HAL) == []
    assert (1.0, f"generator_votes, by contributor {HAL.hotkey}") in await subnet.history(MIA)
    assert (await subnet.shown(before, HAL)).validator_completion == REFERENCE


async def test_a_revoked_contributor_sees_nothing_at_once(subnet: Subnet) -> None:
    await subnet.register(VAL, MIA)
    await subnet.link()
    running, answered = await subnet.create(), await subnet.create()
    await subnet.submit(answered, HAL)
    removed = await subnet.give(MIA, wire.RevokeContributor(contributor_hotkey=HAL.hotkey))
    assert removed == wire.ContributorRemoved(
        contributor_hotkey=HAL.hotkey, miner_hotkey=MIA.hotkey, revoked_at=subnet.now_ms
    )
    assert await subnet.pushed(HAL) == ["contributor_linked", "contributor_revoked"]
    assert await tasks_of(subnet) == []
    for task in (running, answered):
        assert (await subnet.refused(HAL, wire.GetTask(task_id=task))).code is NOT_THERE
    order = wire.SubmitCompletion(task_id=running, completion="1")
    assert (await subnet.refused(HAL, order)).code is Code.NOT_ASSIGNED
    assert (await subnet.shown(answered, MIA)).submitted_by == HAL.hotkey, "what he has answered stays"
    await subnet.wait(WINDOW_MS)
    assert (await subnet.shown(answered, HAL)).status == "scored", "he had a part in it"


async def test_a_contributor_leaves_and_helps_another(subnet: Subnet) -> None:
    await subnet.register(VAL, MIA, MAX)
    await subnet.link(MIA)
    await subnet.give(HAL, wire.LeaveMiner())
    assert await subnet.pushed(MIA) == ["contributor_linked", "contributor_revoked"]
    subnet.now_ms += 5
    await subnet.link(MAX)
    row = await subnet.row("SELECT * FROM miner_contributors")
    assert (row["miner_hotkey"], row["created_at"], row["revoked_at"]) == (MAX.hotkey, subnet.now_ms, None)
    assert subnet.logged("contributor.linked")[-1]["before"] == MIA.hotkey
    task = await subnet.create(miner=MAX)
    await subnet.submit(task, HAL)
    assert (await subnet.give(HAL, wire.GetParticipant())).contributes_to == MAX.hotkey


async def test_the_same_miner_may_link_again(subnet: Subnet) -> None:
    await subnet.register(VAL, MIA)
    await subnet.link()
    await subnet.give(MIA, wire.RevokeContributor(contributor_hotkey=HAL.hotkey))
    task = await subnet.create()
    await subnet.link()
    assert wire.TaskAssigned in {type(push) for push in await subnet.pushes(HAL)}
    await subnet.submit(task, HAL)


async def test_helping_is_not_passed_on(subnet: Subnet) -> None:
    await subnet.register(VAL, MIA, BOB)
    await subnet.link(MIA, HAL)
    await subnet.link(HAL, BOB)
    task = await subnet.create()
    order = wire.SubmitCompletion(task_id=task, completion="1")
    assert (await subnet.refused(BOB, order)).code is NOT_THERE


async def test_a_judge_who_becomes_a_contributor_is_asked_no_more(subnet: Subnet) -> None:
    await subnet.register(VAL, MIA, mining=True)
    await subnet.register(HAL, ANN, judging=True)
    task = await subnet.submitted()
    assert await subnet.pushed(HAL) == ["vote_requested"]
    await subnet.link()
    assert await subnet.pushed(HAL) == ["contributor_linked"]
    assert (await subnet.refused(HAL, wire.Vote(task_id=task, chosen="a"))).code is Code.SELF_VOTE
    await subnet.vote(task, ANN, "miner")
    assert await subnet.status(task) == "scored"


async def test_both_sides_can_look_at_the_link(subnet: Subnet) -> None:
    await subnet.register(MIA)
    await subnet.link(MIA, HAL)
    linked_at = subnet.now_ms
    subnet.now_ms += 3
    await subnet.link(MIA, BOB)
    await subnet.give(BOB, wire.LeaveMiner())
    assert await subnet.give(MIA, wire.ListContributors()) == wire.ContributorList(
        contributors=(
            wire.ContributorLine(contributor_hotkey=HAL.hotkey, created_at=linked_at),
            wire.ContributorLine(contributor_hotkey=BOB.hotkey, created_at=linked_at + 3, revoked_at=linked_at + 3),
        )
    )
    assert await subnet.give(HAL, wire.ListContributors()) == wire.ContributorList(
        contributors=(), miner_hotkey=MIA.hotkey
    )
    assert await subnet.give(BOB, wire.ListContributors()) == wire.ContributorList(contributors=())
