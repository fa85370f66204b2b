"""From a validator's request to the score, as everybody concerned meets it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from protocol import subnet as wire
from protocol.errors import Code
from protocol.vault import StandingChanged
from tests.vault_server.people import participant
from tests.vault_server.systems.subnet.conftest import MakeSubnet
from tests.vault_server.systems.subnet.harness import (
    ANN,
    ANSWER,
    BOB,
    EVE,
    HAL,
    HOUR_MS,
    MAX,
    METADATA,
    MIA,
    NOT_THERE,
    REFERENCE,
    START_MS,
    STRANGER,
    VAL,
    WINDOW_MS,
    Subnet,
)
from vault_server.core.operation import Transaction


async def test_the_whole_way(subnet: Subnet) -> None:
    await subnet.register(VAL, mining=False, judging=False)
    await subnet.register(MIA, mining=True)
    await subnet.register(ANN, BOB, EVE, judging=True)
    task = await subnet.create()
    assert await subnet.pushes(MIA) == [
        wire.TaskAssigned(
            task_id=task,
            task_type="talk",
            expire_at=subnet.now_ms + WINDOW_MS,
            assigned_miner_hotkey=MIA.hotkey,
            task_metadata=METADATA,
        )
    ]
    assert await subnet.pushes(VAL) == await subnet.pushes(ANN) == []

    taken = await subnet.submit(task)
    assert taken.voting_closes_at == subnet.now_ms - 1 + WINDOW_MS
    assert await subnet.status(task) == "submitted"
    assert await subnet.pushes(MIA) == []
    assert await subnet.pushes(VAL) == [wire.CompletionSubmitted(task_id=task)]
    for voter in (ANN, BOB, EVE):
        [asked] = await subnet.pushes(voter)
        assert isinstance(asked, wire.VoteRequested)
        assert (asked.prompt, {asked.a, asked.b}) == ('"say something"', {REFERENCE, ANSWER})
        assert getattr(asked, subnet.label(task, voter, "validator")) == REFERENCE

    assert (await subnet.vote(task, ANN, "validator")).weight == 0.5
    await subnet.vote(task, BOB, "miner", against=True)
    assert await subnet.status(task) == "submitted"
    assert await subnet.pushes(ANN) == []
    await subnet.vote(task, EVE, "validator")

    assert await subnet.status(task) == "scored"
    assert [await subnet.score(who) for who in (VAL, MIA, ANN, BOB, EVE)] == [50, 50.333333, 50.333333, 50, 50.333333]
    assert await subnet.history(MIA) == [(0.333333, "generator_votes")]
    assert await subnet.history(ANN) == [(0.333333, "discriminator_agreed_reference")]
    assert await subnet.history(BOB) == []
    assert await subnet.pushed(MIA) == ["standing_changed", "task_scored"]
    assert await subnet.pushed(BOB) == ["task_scored"]
    assert await subnet.pushed(VAL) == ["completion_submitted", "task_scored"]
    moved = (await subnet.pushes(MIA))[0]
    assert moved == StandingChanged(
        standing="participant",
        reputation_score=50.333333,
        score_change=0.333333,
        reason="generator_votes",
        task_id=task,
    )
    told = (await subnet.pushes(BOB))[0]
    assert isinstance(told, wire.TaskScored)
    assert [(vote.voter_hotkey, vote.chosen) for vote in told.votes] == [
        (ANN.hotkey, "validator"), (BOB.hotkey, "miner"), (EVE.hotkey, "validator"),
    ]  # fmt: skip
    assert [vote.against_completion_id is None for vote in told.votes] == [True, False, True]
    assert {line.hotkey for line in told.scores} == {MIA.hotkey, ANN.hotkey, EVE.hotkey}


async def test_the_window_closes_without_those_who_are_silent(subnet: Subnet) -> None:
    await subnet.register(VAL, MIA, ANN, BOB)
    task = await subnet.submitted()
    await subnet.vote(task, ANN, "validator")
    closes_at = (await subnet.shown(task, ANN)).voting_closes_at
    assert closes_at is not None
    await subnet.wait(closes_at - subnet.now_ms - 1)
    assert await subnet.status(task) == "submitted"
    await subnet.vote(task, ANN, "miner")
    await subnet.wait(1)
    assert await subnet.status(task) == "scored"
    assert await subnet.history(MIA) == [(1.0, "generator_votes")]
    assert await subnet.pushes(BOB) == []


async def test_who_has_gone_is_not_waited_for(subnet: Subnet) -> None:
    await subnet.register(VAL, MIA, mining=True)
    await subnet.register(ANN, BOB, judging=True)
    task = await subnet.submitted()
    await subnet.leave(BOB)
    await subnet.vote(task, ANN, "validator")
    assert await subnet.status(task) == "scored"


async def test_without_votes_nobody_moves(subnet: Subnet) -> None:
    await subnet.register(VAL, MIA)
    task = await subnet.submitted()
    await subnet.wait(WINDOW_MS)
    assert await subnet.status(task) == "scored"
    assert await subnet.rows("SELECT * FROM score_history") == []
    [line] = subnet.logged("subnet.task_scored")
    assert (line["votes"], line["reason"]) == (0, "no votes")
    assert await subnet.pushed(MIA) == ["task_scored"]


async def test_below_the_quorum_nobody_moves(make_subnet: MakeSubnet) -> None:
    subnet = await make_subnet(subnet_votes_min=2)
    await subnet.register(VAL, MIA, mining=True)
    await subnet.register(ANN, BOB, judging=True)
    task = await subnet.submitted()
    await subnet.leave(BOB)
    await subnet.vote(task, ANN, "validator")
    assert await subnet.status(task) == "submitted", "too few to end the voting early"
    await subnet.wait(WINDOW_MS)
    assert await subnet.status(task) == "scored"
    assert await subnet.rows("SELECT * FROM score_history") == []

    other = await subnet.submitted()
    await subnet.vote(other, ANN, "validator")
    await subnet.vote(other, BOB, "validator")
    await subnet.wait(WINDOW_MS)
    assert await subnet.history(ANN) == [(0.5, "discriminator_agreed_reference")]


async def test_nobody_answers(subnet: Subnet) -> None:
    await subnet.register(VAL, MIA)
    await subnet.link()
    await subnet.acknowledge(MIA, HAL)
    task = await subnet.create()
    await subnet.wait(WINDOW_MS - 1)
    assert await subnet.status(task) == "assigned"
    await subnet.wait(1)
    assert await subnet.status(task) == "expired"
    assert await subnet.history(MIA) == [(-1.0, "task_expired")]
    assert await subnet.pushed(VAL) == ["task_expired"]
    assert await subnet.pushed(MIA) == ["task_expired", "standing_changed"]
    assert await subnet.pushed(HAL) == ["task_expired"]
    assert (await subnet.refused(MIA, wire.SubmitCompletion(task_id=task, completion="1"))).code is Code.TASK_EXPIRED


async def test_a_miner_who_never_said_that_it_mines_is_not_blamed(subnet: Subnet) -> None:
    await subnet.register(VAL, MIA, judging=True)
    await subnet.create()
    await subnet.wait(WINDOW_MS)
    assert await subnet.history(MIA) == []
    assert subnet.logged("subnet.task_expired")[-1]["blamed"] is False


async def test_saying_so_later_does_not_take_the_blame_away(subnet: Subnet) -> None:
    await subnet.register(VAL, MIA, mining=True)
    await subnet.register(MIA, mining=False)
    await subnet.leave(MIA)
    await subnet.create()
    await subnet.wait(WINDOW_MS)
    assert await subnet.history(MIA) == [(-1.0, "task_expired")]


async def test_a_miner_given_next_to_no_time_is_not_blamed(subnet: Subnet) -> None:
    await subnet.register(VAL, MIA)
    for ms, costs in ((9_999, 0), (10_000, 1)):
        await subnet.create(expire_at=subnet.now_ms + ms)
        before = await subnet.score(MIA)
        await subnet.wait(ms)
        assert before - await subnet.score(MIA) == costs


async def test_a_validator_withdraws(subnet: Subnet) -> None:
    await subnet.register(VAL, MIA)
    await subnet.link()
    task = await subnet.create()
    await subnet.acknowledge(MIA, HAL)
    assert await subnet.give(VAL, wire.CancelTask(task_id=task)) == wire.TaskCancelled(task_id=task)
    assert await subnet.pushed(MIA) == await subnet.pushed(HAL) == ["task_withdrawn"]
    assert await subnet.pushes(VAL) == []
    assert (await subnet.refused(VAL, wire.CancelTask(task_id=task))).code is Code.INVALID_STATUS
    assert (await subnet.refused(MIA, wire.SubmitCompletion(task_id=task, completion="1"))).code is Code.INVALID_STATUS
    await subnet.wait(WINDOW_MS)
    assert await subnet.history(MIA) == []


async def test_what_can_be_withdrawn(subnet: Subnet) -> None:
    await subnet.register(VAL, MIA, ANN)
    task = await subnet.submitted()
    assert (await subnet.refused(VAL, wire.CancelTask(task_id=task))).code is Code.INVALID_STATUS
    for who in (MIA, ANN, STRANGER):
        assert (await subnet.refused(who, wire.CancelTask(task_id=task))).code is NOT_THERE
    assert (await subnet.refused(VAL, wire.CancelTask(task_id=99))).code is NOT_THERE
    late = await subnet.create(expire_at=subnet.now_ms + 5)
    subnet.now_ms += 5
    assert (await subnet.refused(VAL, wire.CancelTask(task_id=late))).code is Code.TASK_EXPIRED
    assert (await subnet.shown(late, VAL)).status == "expired", "shown so before it is written down"
    await subnet.wait(0)


async def test_one_millisecond_decides(subnet: Subnet) -> None:
    await subnet.register(VAL, MIA)
    on_time, late = [await subnet.create(expire_at=subnet.now_ms + 1000) for _ in range(2)]
    subnet.now_ms += 999
    await subnet.give(MIA, wire.SubmitCompletion(task_id=on_time, completion="1"))
    subnet.now_ms += 1
    assert (await subnet.refused(MIA, wire.SubmitCompletion(task_id=late, completion="1"))).code is Code.TASK_EXPIRED
    await subnet.wait(0)
    assert [await subnet.status(task) for task in (on_time, late)] == ["submitted", "expired"]


async def test_the_server_was_down(subnet: Subnet) -> None:
    await subnet.register(VAL, MIA, ANN)
    open_task, judged = await subnet.create(), await subnet.submitted()
    await subnet.restart(7 * HOUR_MS)
    assert [await subnet.status(task) for task in (open_task, judged)] == ["assigned", "submitted"]
    await subnet.submit(open_task)
    await subnet.vote(judged, ANN, "validator")
    await subnet.wait(subnet.settings.restart_grace_ms)
    assert await subnet.status(judged) == "scored"
    assert await subnet.history(MIA) == []
    assert subnet.logged("subnet.excused")[-1]["tasks"] == 1


async def test_nobody_is_there_after_a_restart(subnet: Subnet) -> None:
    await subnet.register(VAL, MIA, ANN)
    await subnet.restart()
    order = wire.CreateTask(task_type="talk", task_metadata="{}", validator_completion="1")
    refusal = await subnet.refused(VAL, order)
    assert (refusal.code, refusal.retry_after_ms) == (Code.NO_MINER_AVAILABLE, 5000)


async def test_registering_is_harmless_and_keeps_the_time(subnet: Subnet) -> None:
    first = await subnet.give(ANN, wire.Register())
    assert first == wire.Registered(
        hotkey=ANN.hotkey, reputation_score=50.0, registered_at=START_MS, mining=True, judging=True
    )
    subnet.now_ms += 1000
    again = await subnet.give(ANN, wire.Register(mining=False))
    assert (again.registered_at, again.mining, again.judging) == (START_MS, False, True)
    await subnet.leave(ANN)
    back = await subnet.give(ANN, wire.Register(mining=True))
    assert (back.mining, back.judging) == (True, False), "what an earlier stay was for is over"


async def test_roles_follow_from_what_was_done(subnet: Subnet) -> None:
    await subnet.register(VAL, MIA, ANN, BOB)

    async def roles(who: object) -> tuple[str, ...]:
        reply = await subnet.give(VAL, wire.GetParticipant(hotkey=who.hotkey))  # type: ignore[attr-defined]
        return tuple(reply.roles)

    for who in (VAL, MIA, ANN, BOB):
        assert await roles(who) == ()
    await subnet.link()
    task = await subnet.create()
    assert (await roles(VAL), await roles(MIA), await roles(HAL)) == (("validator",), ("generator",), ("contributor",))
    await subnet.submit(task, HAL)
    await subnet.vote(task, ANN, "miner")
    assert await roles(HAL) == ("generator", "contributor")
    assert await roles(ANN) == ("discriminator",)
    await subnet.create(ANN, VAL)
    assert await roles(ANN) == ("validator", "discriminator")
    assert await roles(VAL) == ("validator", "generator"), "its own reference does not make a generator"
    await subnet.give(HAL, wire.LeaveMiner())
    assert await roles(HAL) == ("generator",)
    assert (await subnet.refused(VAL, wire.GetParticipant(hotkey="9" * 64))).code is Code.NOT_REGISTERED


async def test_late_judges_are_asked_for_what_is_open(make_subnet: MakeSubnet) -> None:
    subnet = await make_subnet(subnet_asks_max=3)
    early, late = participant("early"), participant("late")
    await subnet.register(VAL, MIA, mining=True)
    await subnet.give(early, wire.GetParticipant(hotkey=VAL.hotkey))
    assert (await subnet.refused(early, wire.GetParticipant())).code is Code.NOT_REGISTERED
    await subnet.register(early, mining=True)
    tasks = [await subnet.submitted() for _ in range(5)]
    await subnet.register(late, early, judging=True)
    asked = [push.task_id for push in await subnet.pushes(early) if isinstance(push, wire.VoteRequested)]
    assert asked == tasks[:3], "the oldest first, as many as fit"
    assert await subnet.pushes(late) == [], "whoever came after the answer does not judge it"
    await subnet.vote(tasks[0], early, "miner")
    await subnet.register(early, judging=True)
    asked = [push.task_id for push in await subnet.pushes(early) if isinstance(push, wire.VoteRequested)]
    assert asked == tasks[1:4]


async def test_as_many_are_asked_as_there_may_be(make_subnet: MakeSubnet) -> None:
    subnet = await make_subnet(subnet_voters_max=2, subnet_asks_max=2)
    await subnet.register(VAL, MIA, mining=True)
    await subnet.register(ANN, BOB, EVE, judging=True)
    tasks = [await subnet.submitted() for _ in range(4)]
    asked = [
        [push.task_id for push in await subnet.pushes(who) if isinstance(push, wire.VoteRequested)]
        for who in (ANN, BOB, EVE)
    ]
    assert sorted(len(each) for each in asked) == [2, 2, 2]
    assert sorted(task for each in asked for task in each) == sorted([*tasks[:3], *tasks[:3]])
    for who in (ANN, BOB, EVE):
        await subnet.vote(tasks[3], who, "miner")
    assert await subnet.status(tasks[3]) == "scored", "whoever may judge a task can, asked or not"


async def test_the_server_picks_who_has_least_to_do_then_the_better_one(subnet: Subnet) -> None:
    await subnet.register(VAL, MIA, MAX, mining=True)
    first = await subnet.create(miner=None)
    second = await subnet.create(miner=None)
    miners = {(await subnet.shown(task, VAL)).assigned_miner_hotkey for task in (first, second)}
    assert miners == {MIA.hotkey, MAX.hotkey}
    await subnet.wait(WINDOW_MS)
    await subnet.acknowledge(VAL)
    await subnet.register(ANN, judging=True)
    judged = await subnet.submitted(by=MAX, miner=MAX)
    await subnet.vote(judged, ANN, "miner")
    for _ in range(2):
        task = await subnet.create(miner=None)
        assert (await subnet.shown(task, VAL)).assigned_miner_hotkey == MAX.hotkey, "the higher reputation"
        await subnet.give(VAL, wire.CancelTask(task_id=task))


async def test_whoever_was_at_a_server_that_is_gone_is_given_nothing(subnet: Subnet) -> None:
    elsewhere = Subnet(subnet.database, subnet.settings.model_copy(update={"node": "there"}))
    await elsewhere.register(MIA, mining=True)
    await elsewhere.register(ANN, judging=True)
    await subnet.register(VAL, judging=True)
    await subnet.leave(MIA)
    task = await subnet.create(miner=None)
    await subnet.give(VAL, wire.CancelTask(task_id=task))

    async def at_node(change: Sequence[Callable[[Transaction, str, int], None]]) -> None:
        [outcome] = await subnet.database.transact([lambda tx: [each(tx, "there", subnet.now_ms) for each in change]])
        assert outcome.error is None, outcome.error

    await at_node(subnet.system.absent)
    order = wire.CreateTask(task_type="talk", task_metadata="{}", validator_completion="1")
    assert (await subnet.refused(VAL, order)).code is Code.NO_MINER_AVAILABLE
    await elsewhere.leave(ANN)
    await at_node(subnet.system.returned)
    again = await subnet.submitted(miner=None)
    assert await subnet.pushed(ANN) == [], "he has left, before or after"
    assert await subnet.status(again) == "submitted"
