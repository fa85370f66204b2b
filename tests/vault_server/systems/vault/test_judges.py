"""Answers that cost too much for a transaction: a judge computes them, and the verdict follows."""

from __future__ import annotations

import pytest

from protocol.vault import (
    CancelTask,
    PuzzleAnswered,
)
from tests.vault_server.systems.vault.conftest import MakeVault
from tests.vault_server.systems.vault.harness import (
    AGREED,
    BY_JOB,
    Vault,
    answer_to,
)
from tests.vault_server.systems.vault.stories import ANN, WRONG, A, B, C, ended, start
from vault_server.core.operation import SERVER, JobDue
from vault_server.systems.vault.orders import RecordJudgement


async def test_a_judges_verdict_is_told_by_a_push(vault: Vault) -> None:
    task, [a, b] = await start(vault, BY_JOB)
    assert await vault.answer(A, a, answer_to(BY_JOB)) == "pending"
    assert vault.jobs == [JobDue("judge_answer", str(a), A.fingerprint)]
    assert await vault.status(a) == "delivered"
    assert (await vault.solver(A))["in_hand"] == 0
    assert await vault.pushes(ANN) == []
    await vault.judge()
    assert await vault.pushes(ANN) == [PuzzleAnswered(task=task, answer=answer_to(BY_JOB), judged_by="computed")]
    assert await ended(vault, A) == [(a, "valid")]
    assert await ended(vault, B) == [(b, "released")]


async def test_a_judge_finds_a_wrong_answer_and_another_solver_is_asked(vault: Vault) -> None:
    task, [a, b] = await start(vault, BY_JOB)
    assert await vault.answer(A, a, WRONG) == "pending"
    await vault.join(C)
    assert await vault.offers(C) == []  # the slot is not free before the verdict
    await vault.judge()
    assert await vault.status(a) == "invalid"
    assert [offer.task for offer in await vault.offers(C)] == [task]
    assert await vault.answer(B, b, answer_to(BY_JOB)) == "pending"
    await vault.judge()
    assert (await vault.task(task))["status"] == "answered"


async def test_what_a_killed_server_left_unjudged_is_found(vault: Vault) -> None:
    task, [a, _] = await start(vault, BY_JOB)
    await vault.answer(A, a, answer_to(BY_JOB))
    assert await vault.pending_jobs() == [str(a)]
    await vault.judge_one(JobDue("judge_answer", str(a)))
    assert await vault.pending_jobs() == []
    await vault.judge_one(JobDue("judge_answer", str(a)))  # found twice: the second finds nothing to do
    await vault.give(SERVER, RecordJudgement(a, False))
    assert await vault.status(a) == "valid"
    assert (await vault.task(task))["status"] == "answered"


async def test_an_answer_that_waits_for_a_second_one_is_no_work_for_a_judge(vault: Vault) -> None:
    _task, [a, _] = await start(vault, AGREED)
    await vault.answer(A, a, WRONG)
    assert vault.jobs == []
    for key in await vault.pending_jobs():
        await vault.judge_one(JobDue("judge_answer", key))
    assert await vault.status(a) == "delivered"


async def test_two_answers_before_the_judge_gets_to_either(vault: Vault) -> None:
    _task, [a, b] = await start(vault, BY_JOB)
    await vault.answer(A, a, answer_to(BY_JOB))
    await vault.answer(B, b, answer_to(BY_JOB))
    await vault.judge()
    assert await vault.status(a) == await vault.status(b) == "valid"
    assert len(await vault.pushes(ANN)) == 1
    assert await ended(vault, B) == [(b, "valid")]
    assert [(await vault.solver(one))["valid_answers"] for one in (A, B)] == [1, 1]


@pytest.mark.parametrize(("answer", "verdict"), [(None, "valid"), (WRONG, "invalid")])
async def test_the_judge_speaks_also_after_the_task_is_cancelled(
    vault: Vault, answer: int | None, verdict: str
) -> None:
    task, [a, _] = await start(vault, BY_JOB)
    await vault.answer(A, a, answer_to(BY_JOB) if answer is None else answer)
    await vault.give(ANN, CancelTask(task=task))
    await vault.judge()
    assert await vault.status(a) == verdict
    assert (await vault.task(task))["status"] == "cancelled"
    assert await vault.pushes(ANN) == []


async def test_two_wrong_answers_at_the_bound_fail_the_task_with_the_second_verdict(make_vault: MakeVault) -> None:
    vault = await make_vault(assignments_max=2)
    task, [a, b] = await start(vault, BY_JOB)
    await vault.answer(A, a, WRONG)
    await vault.answer(B, b, WRONG)
    await vault.judge_one(vault.jobs.pop(0))
    assert (await vault.task(task))["status"] == "assigned"
    await vault.judge()
    assert (await vault.task(task))["status"] == "failed"
