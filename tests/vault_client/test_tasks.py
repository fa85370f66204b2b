"""A task as its owner sees it, without a connection."""

from __future__ import annotations

import asyncio

import pytest

from protocol.vault import PuzzleAnswered, TaskFailed, TaskProgress, TaskState
from vault_client.errors import TaskCancelledError, TaskFailedError
from vault_client.tasks import Progress, Task

ID = "ab" * 16


class Handed:
    """What was handed over, and which pushes that frees."""

    def __init__(self) -> None:
        self.seqs: list[int] = []

    async def over(self, task: str, pushes: set[int]) -> None:
        assert task == ID
        self.seqs += sorted(pushes)
        pushes.clear()


def state(status: str, **more: object) -> TaskState:
    return TaskState(task=ID, status=status, assigned=0, num_assignments=2, created=0, **more)  # type: ignore[arg-type]


async def test_a_push_is_handed_over_only_to_somebody_who_waits() -> None:
    handed = Handed()
    task = Task(ID, handed.over)
    task.take(PuzzleAnswered(task=ID, answer=7, judged_by="agreed"), 3)
    await asyncio.sleep(0)
    assert handed.seqs == []
    answer = await task.answer()
    assert (answer.y, answer.judged_by) == (7, "agreed")
    assert handed.seqs == [3]
    assert (await task.answer()).y == 7
    assert handed.seqs == [3]


async def test_the_first_answer_stays_and_every_push_is_freed() -> None:
    handed = Handed()
    task = Task(ID, handed.over)
    task.take(PuzzleAnswered(task=ID, answer=7, judged_by="agreed"), 3)
    task.take(PuzzleAnswered(task=ID, answer=8, judged_by="agreed"), 4)
    assert (await task.answer()).y == 7
    assert handed.seqs == [3, 4]


async def test_a_failed_task_raises_its_reason_and_frees_its_push() -> None:
    handed = Handed()
    task = Task(ID, handed.over)
    task.take(TaskFailed(task=ID, reason="no_agreement"), 9)
    with pytest.raises(TaskFailedError, match="no_agreement") as caught:
        await task.answer()
    assert (caught.value.reason, caught.value.task) == ("no_agreement", ID)
    assert handed.seqs == [9]


@pytest.mark.parametrize("status", ["answered", "settled"])
async def test_a_state_brings_the_answer_too(status: str) -> None:
    task = Task(ID, Handed().over)
    task.take(state(status, answer=7, judged_by="commitment"), None)
    assert await task.answer() == await task.answer()
    assert (await task.answer()).judged_by == "commitment"


@pytest.mark.parametrize(
    ("told", "raised"), [(state("cancelled"), TaskCancelledError), (state("failed", reason="x"), TaskFailedError)]
)
async def test_a_state_brings_the_end_too(told: TaskState, raised: type[Exception]) -> None:
    task = Task(ID, Handed().over)
    task.take(told, None)
    with pytest.raises(raised):
        await task.answer()


@pytest.mark.parametrize("status", ["waiting", "assigned"])
async def test_a_task_that_goes_on_goes_on(status: str) -> None:
    task = Task(ID, Handed().over)
    task.take(state(status), None)
    assert not task.done


async def test_progress_gives_the_newest_and_ends_with_the_task() -> None:
    task = Task(ID, Handed().over)
    seen: list[Progress] = []

    async def follow() -> None:
        seen.extend([news async for news in task.progress()])

    following = asyncio.create_task(follow())
    await asyncio.sleep(0)
    assert task.awaited
    for done in (1, 2):
        task.take(TaskProgress(task=ID, done=done, total=10), None)
    await asyncio.sleep(0.01)
    task.take(TaskProgress(task=ID, done=5, total=10), None)
    await asyncio.sleep(0.01)
    task.take(PuzzleAnswered(task=ID, answer=7, judged_by="agreed"), 1)
    await asyncio.wait_for(following, 30)
    assert [news.done for news in seen] == [2, 5]
    assert not task.awaited


async def test_whoever_gives_up_waiting_leaves_the_task_alone() -> None:
    task = Task(ID, Handed().over)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(task.answer(), 0.01)
    assert not task.awaited
    task.take(PuzzleAnswered(task=ID, answer=7, judged_by="agreed"), 1)
    assert (await task.answer()).y == 7


async def test_an_answer_does_not_show_in_a_repr() -> None:
    task = Task(ID, Handed().over)
    task.take(PuzzleAnswered(task=ID, answer=123_456_789, judged_by="agreed"), 1)
    assert "123456789" not in repr(await task.answer())
