"""The subnet on two servers: what one takes the other knows, and of two at the same instant one is refused."""

from __future__ import annotations

import asyncio

from protocol import subnet as wire
from protocol.errors import Code, MessageError
from tests.acceptance.conversation import refused_message
from tests.acceptance.test_subnet import ANSWER, creating, join
from tests.cluster.conftest import StartCluster
from tests.dialling import dial

TASKS = 10


async def test_two_contributors_in_the_same_instant_on_two_nodes(start_cluster: StartCluster) -> None:
    cluster = await start_cluster(2)
    one, two = cluster.nodes
    validator, miner = await join(one), await join(two, mining=True)
    helpers = [await dial(node.url, wire.SUBNET_PATH) for node in (one, two)]
    keys = [(await helper.ask(wire.Register(judging=False), wire.Registered)).hotkey for helper in helpers]
    mine = (await miner.ask(wire.GetParticipant(), wire.Participant)).hotkey
    for key in keys:
        await miner.ask(wire.AddContributor(contributor_hotkey=key), wire.ContributorAdded)
    voter = await join(two, judging=True)
    winners = set()
    for number in range(TASKS):
        created = await validator.ask(creating(assigned_miner_hotkey=mine), wire.TaskCreated)
        for helper in helpers:
            assert (await helper.receive(wire.TaskAssigned))[0].task_id == created.task_id
        orders = [wire.SubmitCompletion(task_id=created.task_id, completion=f'"{n}"') for n in range(2)]
        outcomes = await asyncio.gather(
            *(helper.ask(order, wire.CompletionTaken) for helper, order in zip(helpers, orders, strict=True)),
            return_exceptions=True,
        )
        taken = [outcome for outcome in outcomes if isinstance(outcome, wire.CompletionTaken)]
        refusals = [outcome.code for outcome in outcomes if isinstance(outcome, MessageError)]
        assert (len(taken), refusals) == (1, [Code.DUPLICATE_COMPLETION]), f"task {number}"
        winner = outcomes.index(taken[0])
        winners.add(winner)
        asked, _ = await voter.receive(wire.VoteRequested)
        label = "a" if asked.a == f'"{winner}"' else "b"
        await voter.ask(wire.Vote(task_id=created.task_id, chosen=label), wire.VoteTaken)
        scored = await validator.take(wire.TaskScored)
        assert [line.chosen for line in scored.votes] == ["miner"]
        whole = await validator.ask(wire.GetTask(task_id=created.task_id), wire.TaskShown)
        assert (whole.submitted_by, whole.miner_completion) == (keys[winner], f'"{winner}"')
    for each in (validator, miner, voter, *helpers):
        await each.close()


async def test_a_miner_is_found_on_the_other_node_until_it_is_gone(start_cluster: StartCluster) -> None:
    cluster = await start_cluster(2)
    one, two = cluster.nodes
    validator, miner, voter = await join(one), await join(two, mining=True), await join(one, judging=True)
    created = await validator.ask(creating(), wire.TaskCreated)
    assert (await miner.receive(wire.TaskAssigned))[0].task_id == created.task_id
    await miner.ask(wire.SubmitCompletion(task_id=created.task_id, completion=ANSWER), wire.CompletionTaken)
    asked, _ = await voter.receive(wire.VoteRequested)
    assert ANSWER in (asked.a, asked.b)
    await two.kill()
    await one.event("node.gone")
    await refused_message(validator, creating(), Code.NO_MINER_AVAILABLE)
    await voter.ask(wire.Vote(task_id=created.task_id, chosen="a"), wire.VoteTaken)
    for each in (validator, voter):
        await each.close()
