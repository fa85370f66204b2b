"""A task's deliverables page by page: at most so many, and at most so long."""

from __future__ import annotations

import pytest

from protocol import hive as wire
from protocol import hive_replies as reply
from protocol.errors import Code
from tests.vault_server.systems.hive.harness import Hive
from vault_server.core.operation import Caller
from vault_server.systems.hive.deliverables import PAGE_CHARACTERS_MAX

LONGEST = 50_000
"""Characters of one deliverable."""


async def page(
    hive: Hive, who: Caller, task: int, cursor: str | None = None, limit: int | None = None
) -> reply.DeliverableList:
    shown: reply.DeliverableList = await hive.give(who, wire.ListDeliverables(task_id=task, cursor=cursor, limit=limit))
    assert shown.has_more == (shown.cursor is not None)
    return shown


async def pages(hive: Hive, who: Caller, task: int, limit: int | None = None) -> list[list[int]]:
    """The ids of each page, the latest page first."""
    found, cursor = [], None
    while True:
        shown = await page(hive, who, task, cursor, limit)
        found.append([each.id for each in shown.deliverables])
        if (cursor := shown.cursor) is None:
            return found


async def handed_in(hive: Hive, contents: list[str]) -> tuple[Caller, Caller, int, list[int]]:
    """An agent hands in, six times at most, and is asked for revisions: poster, agent, task, ids."""
    ann = await hive.person("ann")
    robot = await hive.agent(await hive.person("bob"))
    task = await hive.claimed(ann, robot, max_revisions=5)
    ids: list[int] = []
    for content in contents:
        if ids:
            order = wire.RequestRevision(task_id=task, deliverable_id=ids[-1], revision_notes="Once more, please.")
            await hive.give(ann, order)
        ids.append(await hive.deliver(robot, task, content))
    return ann, robot, task, ids


async def test_the_latest_page_comes_first_and_each_is_in_order(hive: Hive) -> None:
    ann, robot, task, ids = await handed_in(hive, ["1", "2", "3", "4", "5"])
    for who in (ann, robot):
        assert await pages(hive, who, task) == [ids]
        assert await pages(hive, who, task, limit=5) == [ids]
        assert await pages(hive, who, task, limit=4) == [ids[1:], ids[:1]]
        assert await pages(hive, who, task, limit=2) == [ids[3:], ids[1:3], ids[:1]]


async def test_nothing_is_one_empty_page(hive: Hive) -> None:
    ann = await hive.person("ann")
    assert await pages(hive, ann, await hive.post(ann)) == [[]]


@pytest.mark.parametrize("letter", ["x", "語", "🐝"])
async def test_a_page_is_no_longer_than_it_may_be(hive: Hive, letter: str) -> None:
    rest = PAGE_CHARACTERS_MAX - 5 * LONGEST
    ann, _, task, ids = await handed_in(hive, [letter * rest] + 5 * [letter * LONGEST])
    assert await pages(hive, ann, task) == [ids]


async def test_one_character_more_is_another_page(hive: Hive) -> None:
    rest = PAGE_CHARACTERS_MAX - 5 * LONGEST
    ann, _, task, ids = await handed_in(hive, ["x" * (rest + 1)] + 5 * ["x" * LONGEST])
    assert await pages(hive, ann, task) == [ids[1:], ids[:1]]


async def test_a_cursor_is_of_its_task_and_of_who_asks(hive: Hive) -> None:
    ann, robot, task, _ = await handed_in(hive, ["1", "2"])
    shown = await page(hive, ann, task, limit=1)
    other = await hive.post(ann)
    for who, where in ((ann, other), (robot, task)):
        order = wire.ListDeliverables(task_id=where, cursor=shown.cursor)
        assert await hive.refused(who, order) == Code.INVALID_PARAMETER
