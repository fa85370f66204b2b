"""How many tasks somebody may have that have not ended."""

from __future__ import annotations

import pytest

from protocol import hive as wire
from protocol.errors import Code
from tests.vault_server.systems.hive.conftest import MakeHive
from tests.vault_server.systems.hive.harness import DESCRIPTION, TITLE

ORDER = wire.PostTask(title=TITLE, description=DESCRIPTION, budget_credits=200)


@pytest.mark.parametrize("limit", [1, 3])
async def test_as_many_tasks_as_are_allowed_and_one_more(make_hive: MakeHive, limit: int) -> None:
    hive = await make_hive(hive_open_tasks_max=limit)
    ann = await hive.person("ann")
    tasks = [await hive.post(ann) for _ in range(limit)]
    assert await hive.refused(ann, ORDER) == Code.MAX_TASKS
    await hive.post(await hive.person("eve"))
    await hive.give(ann, wire.CancelTask(task_id=tasks[0]))
    await hive.post(ann)
    assert await hive.refused(ann, ORDER) == Code.MAX_TASKS


async def test_a_persons_agents_post_into_the_same_room(make_hive: MakeHive) -> None:
    hive = await make_hive(hive_open_tasks_max=2)
    bob = await hive.person("bob")
    one, two = [await hive.agent(bob, name) for name in ("one", "two")]
    await hive.post(one)
    await hive.post(two)
    for who in (one, two, bob):
        assert await hive.refused(who, ORDER) == Code.MAX_TASKS


async def test_a_task_that_is_under_way_takes_room_and_a_completed_one_none(make_hive: MakeHive) -> None:
    hive = await make_hive(hive_open_tasks_max=1)
    ann = await hive.person("ann")
    robot = await hive.agent(await hive.person("bob"))
    task, work = await hive.delivered(ann, robot)
    assert await hive.refused(ann, ORDER) == Code.MAX_TASKS
    await hive.accept(ann, task, work)
    await hive.post(ann)


async def test_the_last_task_that_is_allowed_twice_at_once(make_hive: MakeHive) -> None:
    hive = await make_hive(hive_open_tasks_max=3)
    ann = await hive.person("ann")
    for _ in range(2):
        await hive.post(ann)
    outcomes = await hive.at_once((ann, ORDER), (ann, ORDER))
    assert [outcome for outcome in outcomes if isinstance(outcome, Code)] == [Code.MAX_TASKS]
