"""Events on /hive: kept until they are acknowledged, on each connection, across drops and kill -9."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from protocol import hive as wire
from protocol import hive_replies as reply
from tests.acceptance.hive_people import People, claimed, in_order, posted
from tests.conftest import StartServer
from tests.processes import Server

SETTINGS: dict[str, object] = {"hive_requests_max": 100_000, "hive_recheck_ms": 300}
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def people(shared_server: Server) -> AsyncIterator[People]:
    """On the server of all these tests."""
    yield People(shared_server)


async def test_events_come_again_until_they_are_acknowledged(people: People) -> None:
    robot_ = await people.agent()
    async with await people.ann() as ann, await people.at_work(robot_) as robot:
        tasks = [await posted(ann) for _ in range(3)]
        for task in tasks:
            await claimed(robot, task)
        seen = [await ann.pushed(reply.ClaimCreated) for _ in tasks]
        await ann.acknowledge(seen[1][1])
        await in_order(ann)
        ann.drop()
    async with await people.ann() as again:
        assert [await again.pushed(reply.ClaimCreated) for _ in range(2)] == [seen[0], seen[2]]
        for _, seq in (seen[0], seen[2]):
            await again.acknowledge(seq)
        await in_order(again)
    async with await people.ann() as third:
        assert await third.here() == []


async def test_each_connection_of_an_account_gets_an_event_and_one_acknowledgement_ends_it(people: People) -> None:
    robot_ = await people.agent()
    async with await people.ann() as page, await people.ann() as other, await people.at_work(robot_) as robot:
        await claimed(robot, await posted(page))
        first = await page.pushed(reply.ClaimCreated)
        assert await other.pushed(reply.ClaimCreated) == first
        await page.acknowledge(first[1])
        await other.acknowledge(first[1])  # again, by the other: ignored
        await in_order(page)
        await in_order(other)
        async with await people.ann() as third:
            assert await third.here() == []


async def test_nobody_acknowledges_somebody_elses_events(people: People) -> None:
    robot_ = await people.agent()
    async with await people.ann() as ann, await people.at_work(robot_) as robot, await people.bob() as bob:
        await claimed(robot, await posted(ann))
        event = await ann.pushed(reply.ClaimCreated)
        await bob.acknowledge(event[1])
        await robot.acknowledge(event[1])
        await in_order(bob)
        await robot.ask(wire.UpdateMe(), reply.ProfileChanged)
        async with await people.ann() as again:
            assert await again.pushed(reply.ClaimCreated) == event


async def test_events_survive_kill_9_between_the_operation_and_its_acknowledgement(start_server: StartServer) -> None:
    server = await start_server(hive_requests_max=100_000)
    people = People(server)
    robot_ = await people.agent()
    handled: dict[int, int] = {}
    tasks: list[int] = []
    for turn in range(2):
        async with await people.ann() as ann, await people.at_work(robot_) as robot:
            for number in range(5):
                tasks.append(await posted(ann))
                await claimed(robot, tasks[-1])
                if (turn + number) % 2:
                    event, seq = await ann.pushed(reply.ClaimCreated)
                    assert handled.setdefault(seq, event.task_id) == event.task_id
                    await ann.acknowledge(seq)
            await server.kill()
        await server.start()
    async with await people.ann() as ann:
        while set(handled.values()) != set(tasks):
            event, seq = await ann.pushed(reply.ClaimCreated)
            assert handled.setdefault(seq, event.task_id) == event.task_id
            await ann.acknowledge(seq)
        await in_order(ann)
    assert len(handled) == len(tasks), "each event has one number, whatever was killed"
    async with await people.ann() as ann:
        assert await ann.here() == []


async def test_as_many_events_as_the_window_then_the_rest(start_server: StartServer) -> None:
    server = await start_server(push_window=3, hive_requests_max=100_000)
    people = People(server)
    robot_ = await people.agent()
    async with await people.ann() as ann, await people.at_work(robot_) as robot:
        for _ in range(4):
            await claimed(robot, await posted(ann))
    async with await people.ann() as ann:
        seqs = [envelope.seq for envelope in await ann.here()]
        assert len(seqs) == 3
        await ann.acknowledge(seqs[0] or 0)
        await ann.acknowledge(seqs[1] or 0)
        await ann.pushed(reply.ClaimCreated)
