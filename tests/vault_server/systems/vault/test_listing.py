"""A client's list of tasks: its own alone, the newest first, page by page, whatever the filter."""

from __future__ import annotations

import pytest

from protocol.errors import Code
from protocol.vault import CancelTask, ListTasks, TaskList
from tests.vault_server.people import client, solver
from tests.vault_server.systems.vault.harness import COMPUTED, Vault, answer_to
from tests.vault_server.systems.vault.test_submitting import refused
from vault_server.core.operation import Caller
from vault_server.systems.vault import listing

ANN, BOB = client("ann"), client("bob")
A, B = solver("a"), solver("b")


async def pages(vault: Vault, who: Caller, status: str | None, limit: int | None) -> list[TaskList]:
    read: list[TaskList] = []
    before: str | None = None
    while True:
        page: TaskList = await vault.give(who, ListTasks(status=status, before=before, limit=limit))
        read.append(page)
        if page.next is None:
            return read
        before = page.next


async def listed(vault: Vault, who: Caller, status: str | None = None, limit: int | None = None) -> list[str]:
    return [line.task for page in await pages(vault, who, status, limit) for line in page.tasks]


async def test_nobody_who_has_asked_nothing_has_tasks(vault: Vault) -> None:
    assert await vault.give(ANN, ListTasks()) == TaskList(tasks=(), next=None)


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 100, None])
async def test_every_task_is_listed_once_the_newest_first(vault: Vault, limit: int | None) -> None:
    anns = []
    for _ in range(3):
        anns.append((await vault.submit(ANN)).task)
        await vault.submit(BOB)
    assert await listed(vault, ANN, limit=limit) == anns[::-1]


async def test_a_page_has_as_many_lines_as_were_asked_for(vault: Vault) -> None:
    for _ in range(51):
        await vault.submit(ANN)
    assert [len(page.tasks) for page in await pages(vault, ANN, None, None)] == [50, 1]
    assert [len(page.tasks) for page in await pages(vault, ANN, None, 25)] == [25, 25, 1]


async def test_a_line_says_what_task_state_says(vault: Vault) -> None:
    await vault.join(A)
    await vault.join(B)
    task = (await vault.submit(ANN)).task
    [line] = (await vault.give(ANN, ListTasks())).tasks
    row = await vault.task(task)
    assert (line.task, line.status, line.created) == (task, "assigned", row["created_at"])
    assert (line.num_assignments, line.promised_by) == (2, row["promised_by"])
    assert (line.judged_by, line.complaint_deadline) == (None, None)
    await vault.answer(A, await vault.key(task, A), answer_to(COMPUTED))
    [line] = (await vault.give(ANN, ListTasks(status="answered"))).tasks
    row = await vault.task(task)
    assert (line.judged_by, line.complaint_deadline) == ("computed", row["complaint_deadline"])
    assert line.complaint_deadline is not None


async def test_a_rare_status_is_found_page_after_page(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "SCANNED_MAX", 4)
    tasks = [(await vault.submit(ANN)).task for _ in range(12)]
    for cancelled in (tasks[0], tasks[5]):
        await vault.give(ANN, CancelTask(task=cancelled))
    assert await listed(vault, ANN, "cancelled", 1) == [tasks[5], tasks[0]]
    assert await listed(vault, ANN, "cancelled", 10) == [tasks[5], tasks[0]]
    assert await listed(vault, ANN, "failed") == []
    assert len(await listed(vault, ANN, "waiting")) == 10
    assert len(await pages(vault, ANN, "failed", None)) <= 4, "no page looks at everything"


async def test_anothers_task_is_no_place_to_begin(vault: Vault) -> None:
    bobs = (await vault.submit(BOB)).task
    await vault.submit(ANN)
    assert await refused(vault, ANN, ListTasks(before=bobs)) is Code.TASK_NOT_FOUND
    assert await refused(vault, ANN, ListTasks(before="00" * 16)) is Code.TASK_NOT_FOUND
