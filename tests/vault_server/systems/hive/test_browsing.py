"""Pages of tasks: by every order and filter, without a repetition or a gap while tasks are added; and by words."""

from __future__ import annotations

from itertools import chain

import pytest

from protocol import hive as wire
from protocol import hive_replies as reply
from protocol.errors import Code
from protocol.hive_records import BulkClaim
from tests.vault_server.systems.hive.harness import Hive
from vault_server.core.operation import Caller

BUDGETS = [50, 10, 50, 30, 50, 20, 30, 50]


async def posted(hive: Hive, who: Caller, budgets: list[int] = BUDGETS) -> list[int]:
    return [
        await hive.post(who, budget_credits=budget, category_id=1 + number % 2) for number, budget in enumerate(budgets)
    ]


async def pages(hive: Hive, who: Caller, *, add: bool = False, **fields: object) -> list[list[int]]:
    """All pages; with `add` a task is posted before each next one."""
    found: list[list[int]] = []
    cursor: str | None = None
    while True:
        page: reply.TaskPage = await hive.give(who, wire.BrowseTasks(cursor=cursor, **fields))  # type: ignore[arg-type]
        found.append([line.id for line in page.tasks])
        assert page.has_more is (page.cursor is not None)
        cursor = page.cursor
        if cursor is None:
            return found
        if add:
            await hive.post(who, budget_credits=30, category_id=1)


ORDERS = {
    "newest": [8, 7, 6, 5, 4, 3, 2, 1],
    "oldest": [1, 2, 3, 4, 5, 6, 7, 8],
    "budget_high": [8, 5, 3, 1, 7, 4, 6, 2],
    "budget_low": [2, 6, 4, 7, 1, 3, 5, 8],
}


@pytest.mark.parametrize("sort", ORDERS)
@pytest.mark.parametrize("limit", [3, 8])
async def test_every_order_in_pages(hive: Hive, sort: str, limit: int) -> None:
    ann = await hive.person("ann")
    await posted(hive, ann)
    found = await pages(hive, ann, sort=sort, limit=limit)
    assert [*chain.from_iterable(found)] == ORDERS[sort]
    assert all(len(page) == limit for page in found[:-1])


@pytest.mark.parametrize("sort", ORDERS)
@pytest.mark.parametrize("category", [None, 1])
async def test_nothing_is_repeated_or_skipped_while_tasks_are_added(
    hive: Hive, sort: str, category: int | None
) -> None:
    ann = await hive.person("ann")
    before = [task for number, task in enumerate(await posted(hive, ann)) if category is None or number % 2 == 0]
    seen = [*chain.from_iterable(await pages(hive, ann, add=True, sort=sort, limit=2, category=category))]
    assert len(set(seen)) == len(seen)
    assert set(before) <= set(seen)


@pytest.mark.parametrize("sort", ORDERS)
async def test_filters_hold_in_every_order(hive: Hive, sort: str) -> None:
    ann = await hive.person("ann")
    await posted(hive, ann)
    found = [*chain.from_iterable(await pages(hive, ann, sort=sort, limit=2, category=1, min_budget=30, max_budget=50))]
    assert found == [task for task in ORDERS[sort] if task in (1, 3, 5, 7)]
    assert await pages(hive, ann, sort=sort, min_budget=51) == [[]]


async def test_only_tasks_in_the_state_that_is_asked_for(hive: Hive) -> None:
    ann = await hive.person("ann")
    robot = await hive.agent(await hive.person("bob"))
    task = await hive.claimed(ann, robot)
    assert await pages(hive, ann) == [[]]
    assert await pages(hive, ann, status="claimed") == [[task]]


async def test_a_line_shows_what_a_list_is_for(hive: Hive) -> None:
    ann = await hive.person("ann")
    robot = await hive.agent(await hive.person("bob"))
    task = await hive.post(ann, category_id=4)
    await hive.claim(robot, task)
    page: reply.TaskPage = await hive.give(robot, wire.BrowseTasks())
    [line] = page.tasks
    assert (line.id, line.status, line.claims_count, line.max_revisions) == (task, "open", 1, 2)
    assert line.category is not None
    assert (line.poster.name, line.category.slug) == ("ann", "data-processing")


CURSORS = ["", "x", "e30=", "W10=", "[]", "WyJ4IiwxXQ==", "bm90IGpzb24=", "é", "[" * 300]


async def test_cursors_of_another_question_or_of_nobody_are_refused(hive: Hive) -> None:
    ann = await hive.person("ann")
    await posted(hive, ann)
    page: reply.TaskPage = await hive.give(ann, wire.BrowseTasks(limit=2))
    for order in (
        wire.BrowseTasks(cursor=page.cursor, sort="oldest"),
        wire.BrowseTasks(cursor=page.cursor, category=1),
        wire.BrowseTasks(cursor=page.cursor, min_budget=1),
        wire.BrowseTasks(cursor=page.cursor, status="claimed"),
        wire.MyTasks(cursor=page.cursor),
        wire.SearchTasks(q="sort", cursor=page.cursor),
        wire.AskCredits(cursor=page.cursor),
        *(wire.BrowseTasks(cursor=cursor) for cursor in CURSORS),
    ):
        assert await hive.refused(ann, order) == Code.INVALID_PARAMETER
    await hive.give(ann, wire.BrowseTasks(cursor=page.cursor, limit=5))  # another size of page is no other question


async def test_an_empty_range_is_refused(hive: Hive) -> None:
    ann = await hive.person("ann")
    assert await hive.refused(ann, wire.BrowseTasks(min_budget=2, max_budget=1)) == Code.INVALID_PARAMETER
    await hive.give(ann, wire.BrowseTasks(min_budget=2, max_budget=2))


async def search(hive: Hive, who: Caller, q: str, **fields: object) -> list[int]:
    found: list[int] = []
    cursor: str | None = None
    while True:
        page: reply.TaskPage = await hive.give(who, wire.SearchTasks(q=q, cursor=cursor, limit=2, **fields))  # type: ignore[arg-type]
        found += [line.id for line in page.tasks]
        cursor = page.cursor
        if cursor is None:
            return found


async def test_words_are_found_in_titles_first(hive: Hive) -> None:
    ann = await hive.person("ann")
    in_description = await hive.post(ann, title="Something else", description="Please paint the little garden fence.")
    in_title = await hive.post(ann, title="Paint a Fence", description="It stands around the garden, in the rain.")
    newer = await hive.post(ann, title="Still something", description="A fence again, and somebody to paint it.")
    await hive.post(ann, title="Paint nothing", description="Nothing is to be done here, at all.")
    assert await search(hive, ann, "fence paint") == [in_title, newer, in_description]
    assert await search(hive, ann, "garden") == [in_title, in_description]
    assert await search(hive, ann, "PAINT fence", max_budget=199) == []
    assert await search(hive, ann, "elephant") == []


@pytest.mark.parametrize(
    "q",
    [
        '"',
        "fence AND",
        "fen*ce",
        "title:fence",
        "(fence",
        "fence OR x",
        "NEAR(a b)",
        "'; --",
        "a-b",
        "^x",
        "_",
        "__ a",
        "x²",
        "日本 語",
        "a'b",
        "ﬁ ½",
        "é\u0301x",
        "0 1",
    ],
)
async def test_no_word_is_an_operator(hive: Hive, q: str) -> None:
    ann = await hive.person("ann")
    await hive.post(ann, title="Paint a Fence")
    if any(each.isalnum() for each in q):
        await search(hive, ann, q)
    else:
        assert await hive.refused(ann, wire.SearchTasks(q=q)) == Code.INVALID_PARAMETER


async def test_a_search_neither_repeats_nor_skips_while_tasks_are_added(hive: Hive) -> None:
    ann = await hive.person("ann")
    before = [
        await hive.post(ann, title=title) for title in ("Sort apples", "Other work", "Sort pears", "More work") * 2
    ]
    seen: list[int] = []
    cursor: str | None = None
    while True:
        page: reply.TaskPage = await hive.give(ann, wire.SearchTasks(q="numbers", cursor=cursor, limit=3))
        seen += [line.id for line in page.tasks]
        cursor = page.cursor
        if cursor is None:
            break
        await hive.post(ann, title="Numbers again")
    assert len(set(seen)) == len(seen)
    assert set(before) <= set(seen)


async def test_ones_own_tasks_and_claims(hive: Hive) -> None:
    ann, bob = await hive.person("ann"), await hive.person("bob")
    robot, other = await hive.agent(bob), await hive.agent(bob, "other")
    mine = [await hive.claimed(ann, robot), await hive.completed(ann, robot)]
    others = await hive.claimed(ann, other)
    own = await hive.post(robot)

    async def tasks(who: Caller, **fields: object) -> list[int]:
        page: reply.TaskPage = await hive.give(who, wire.MyTasks(**fields))  # type: ignore[arg-type]
        return [line.id for line in page.tasks]

    assert await tasks(robot) == mine[::-1]
    assert await tasks(robot, status="claimed") == mine[:1]
    assert await tasks(robot, role="poster") == [own]
    assert await tasks(bob) == [own]
    assert await tasks(bob, role="worker") == [others, *mine[::-1]]
    assert await tasks(ann) == [others, *mine[::-1]]

    async def claims(who: Caller, **fields: object) -> list[int]:
        page: reply.ClaimPage = await hive.give(who, wire.MyClaims(**fields))  # type: ignore[arg-type]
        return [claim.task_id for claim in page.claims]

    assert await claims(robot) == mine[::-1]
    assert await claims(bob, status="accepted") == [others, *mine[::-1]]
    assert await claims(bob, status="pending") == []


async def test_a_tasks_claims_are_its_posters_to_see_and_everybodys_own(hive: Hive) -> None:
    ann, bob, eve = [await hive.person(name) for name in ("ann", "bob", "eve")]
    robot, other = await hive.agent(bob), await hive.agent(eve)
    task = await hive.post(ann)
    first, second = await hive.claim(robot, task), await hive.claim(other, task)

    async def seen(who: Caller) -> list[int]:
        page: reply.ClaimPage = await hive.give(who, wire.ListClaims(task_id=task))
        return [claim.id for claim in page.claims]

    assert await seen(ann) == await seen(await hive.admin()) == [second, first]
    assert await seen(robot) == await seen(bob) == [first]
    assert await seen(await hive.agent(bob, "third")) == []


async def test_several_claims_at_once_stand_each_for_itself(hive: Hive) -> None:
    ann = await hive.person("ann")
    robot = await hive.agent(await hive.person("bob"))
    tasks = [await hive.post(ann) for _ in range(3)]
    bids = [(tasks[2], 10), (tasks[0], 201), (999, 10), (tasks[2], 11), (tasks[1], 10)]
    order = wire.BulkClaims(claims=[BulkClaim(task_id=task, proposed_credits=bid) for task, bid in bids])
    made: reply.ClaimsMade = await hive.give(robot, order)
    assert [result.code for result in made.results] == [
        None, "INVALID_CREDITS", "TASK_NOT_FOUND", "DUPLICATE_CLAIM", None,
    ]  # fmt: skip
    assert [result.task_id for result in made.results] == [task for task, _ in bids]
    assert all(result.ok or result.suggestion for result in made.results)
    assert (made.summary.succeeded, made.summary.failed, made.summary.total) == (2, 3, 5)
    assert await hive.refused(robot, wire.BulkClaims(claims=())) == Code.VALIDATION_ERROR


async def test_agents_come_in_pages(hive: Hive) -> None:
    ann = await hive.person("ann")
    for number in range(5):
        await hive.agent(ann, f"robot {number}")
    first: reply.OwnAgentPage = await hive.give(ann, wire.ListMyAgents(limit=3))
    rest: reply.OwnAgentPage = await hive.give(ann, wire.ListMyAgents(limit=3, cursor=first.cursor))
    assert [each.id for each in (*first.agents, *rest.agents)] == [1, 2, 3, 4, 5]
    assert not rest.has_more
