"""Settling: once, by weight, within 0 and 100, and 50 + Σ changes = the score."""

from __future__ import annotations

from protocol import subnet as wire
from tests.vault_server.systems.subnet.conftest import MakeSubnet
from tests.vault_server.systems.subnet.harness import ANN, BOB, EVE, MIA, VAL, VOTERS, WINDOW_MS, Subnet
from vault_server.core.operation import SERVER
from vault_server.systems.subnet import voting
from vault_server.systems.subnet.orders import CloseVoting, ExpireTask
from vault_server.systems.subnet.rules import Reason


async def moved(subnet: Subnet, who: object, amount: float) -> None:
    """Move a reputation, as an earlier task would have."""

    def work(tx: object) -> None:
        voting.move(tx, who.hotkey, amount, Reason.GENERATOR_VOTES, None, subnet.now_ms)  # type: ignore[attr-defined, arg-type]

    [outcome] = await subnet.database.transact([work])
    assert outcome.error is None, outcome.error


async def test_four_of_five_for_the_reference(subnet: Subnet) -> None:
    await subnet.register(VAL, MIA, mining=True)
    await subnet.register(*VOTERS[:5], judging=True)
    task = await subnet.submitted()
    for voter in VOTERS[:4]:
        await subnet.vote(task, voter, "validator")
    await subnet.vote(task, VOTERS[4], "miner")
    assert await subnet.status(task) == "scored"
    assert [await subnet.score(who) for who in (*VOTERS[:5], MIA)] == [50.2, 50.2, 50.2, 50.2, 50, 50.2]
    assert len(await subnet.rows("SELECT * FROM score_history")) == 5, "no row without a change"


async def test_weights_come_from_standing(subnet: Subnet) -> None:
    await subnet.register(VAL, MIA, mining=True)
    await subnet.register(ANN, BOB, EVE, judging=True)
    await moved(subnet, ANN, 40)
    await moved(subnet, BOB, -49)
    task = await subnet.submitted()
    weights = [(await subnet.vote(task, who, side)).weight for who, side in ((ANN, "validator"), (BOB, "validator"))]
    assert weights == [0.9, 0.05]
    assert (await subnet.vote(task, EVE, "miner")).weight == 0.5
    total = 0.9 + 0.05 + 0.5
    assert (await subnet.history(ANN))[-1] == (round(0.9 / total, 6), "discriminator_agreed_reference")
    assert (await subnet.history(BOB))[-1] == (round(0.05 / total, 6), "discriminator_agreed_reference")
    assert await subnet.history(MIA) == [(round(0.5 / total, 6), "generator_votes")]


async def test_a_weight_is_that_of_the_moment_of_the_vote(subnet: Subnet) -> None:
    await subnet.register(VAL, MIA, mining=True)
    await subnet.register(ANN, BOB, judging=True)
    task = await subnet.submitted()
    assert (await subnet.vote(task, ANN, "validator")).weight == 0.5
    await moved(subnet, ANN, 10)
    assert (await subnet.row("SELECT weight FROM votes"))["weight"] == 0.5
    assert (await subnet.vote(task, ANN, "validator")).weight == 0.6


async def test_scores_stay_within_0_and_100(make_subnet: MakeSubnet) -> None:
    subnet = await make_subnet(subnet_score_scale=25.0)
    await subnet.register(VAL, MIA, mining=True)
    await subnet.register(ANN, judging=True)
    for _ in range(3):
        await subnet.create()
        await subnet.wait(WINDOW_MS)
    assert await subnet.score(MIA) == 0
    assert await subnet.history(MIA) == [(-25.0, "task_expired"), (-25.0, "task_expired")]
    for _ in range(3):
        task = await subnet.submitted()
        await subnet.vote(task, ANN, "validator")
    assert await subnet.score(ANN) == 100
    assert await subnet.history(ANN) == [(25.0, "discriminator_agreed_reference")] * 2
    assert (await subnet.vote(await subnet.submitted(), ANN, "miner")).weight == 1.0
    assert await subnet.score(MIA) == 25


async def test_orders_of_time_do_nothing_when_repeated_or_late(subnet: Subnet) -> None:
    await subnet.register(VAL, MIA, ANN)
    task = await subnet.submitted()
    await subnet.vote(task, ANN, "miner")
    await subnet.wait(WINDOW_MS)
    before = await subnet.rows("SELECT * FROM score_history ORDER BY id")
    for order in (CloseVoting(task), ExpireTask(task), CloseVoting(99), ExpireTask(99)):
        await subnet.give(SERVER, order)
    assert await subnet.rows("SELECT * FROM score_history ORDER BY id") == before
    assert await subnet.status(task) == "scored"


async def test_silence_costs_where_it_is_set(make_subnet: MakeSubnet) -> None:
    subnet = await make_subnet(subnet_no_vote_penalty_total=1.0)
    await subnet.register(VAL, MIA, mining=True)
    await subnet.register(ANN, BOB, EVE, judging=True)
    task = await subnet.submitted()
    await subnet.vote(task, ANN, "miner")
    await subnet.wait(WINDOW_MS)
    assert await subnet.history(BOB) == await subnet.history(EVE) == [(-0.5, "discriminator_did_not_vote")]


async def test_lists_page_by_page(subnet: Subnet) -> None:
    await subnet.register(VAL, MIA, mining=True)
    await subnet.register(ANN, BOB, EVE, judging=True)
    tasks = [await subnet.submitted() for _ in range(5)]
    for voter in (ANN, BOB, EVE):
        for task in tasks[:4]:
            await subnet.vote(task, voter, "validator")

    async def pages(who: object, role: str, status: str | None = None) -> list[list[int]]:
        found, cursor = [], None
        while True:
            order = wire.ListTasks(role=role, status=status, cursor=cursor, limit=2)
            page: wire.TaskList = await subnet.give(who, order)  # type: ignore[arg-type]
            found.append([line.task_id for line in page.tasks])
            cursor = page.next
            if cursor is None:
                return found

    newest_first = tasks[::-1]
    for who, role in ((VAL, "validator"), (MIA, "miner"), (ANN, "voter")):
        assert await pages(who, role) == [newest_first[:2], newest_first[2:4], newest_first[4:]]
        assert await pages(who, role, "submitted") == [[tasks[4]]]
        assert await pages(who, role, "scored") == [newest_first[1:3], newest_first[3:], []]
    assert await pages(ANN, "validator") == await pages(VAL, "voter") == [[]]

    votes: wire.VoteList = await subnet.give(MIA, wire.ListVotes(task_id=tasks[0], limit=2))
    rest: wire.VoteList = await subnet.give(MIA, wire.ListVotes(task_id=tasks[0], limit=2, cursor=votes.next))
    assert [line.voter_hotkey for line in (*votes.votes, *rest.votes)] == [who.hotkey for who in (ANN, BOB, EVE)]
    assert rest.next is None
    scores: wire.ScoreChanges = await subnet.give(MIA, wire.AskScoreHistory(hotkey=ANN.hotkey, limit=3))
    more: wire.ScoreChanges = await subnet.give(MIA, wire.AskScoreHistory(hotkey=ANN.hotkey, cursor=scores.next))
    lines = (*scores.changes, *more.changes)
    assert [line.task_id for line in lines] == tasks[3::-1]
    assert 50 + sum(line.score_change for line in lines) == scores.reputation_score == lines[0].score_after
