"""Without arithmetic two solvers have to agree; and how often a task is given at most."""

from __future__ import annotations

import pytest

from protocol.vault import (
    AskStatus,
    PuzzleAnswered,
    SubmitPuzzle,
    TaskFailed,
)
from tests.vault_server.systems.vault.conftest import MakeVault
from tests.vault_server.systems.vault.harness import (
    AGREED,
    COMMITTED,
    COMPUTED,
    Vault,
    answer_to,
)
from tests.vault_server.systems.vault.stories import ANN, SOLVERS, WRONG, A, B, C, D, ended, start

# by agreement


async def test_two_that_agree_answer_the_task_and_move_no_score(vault: Vault) -> None:
    task, [a, b] = await start(vault, AGREED)
    assert await vault.answer(A, a, WRONG) == "pending"
    assert await vault.pushes(ANN) == []
    assert await vault.answer(B, b, WRONG) == "unproved"
    assert await vault.pushes(ANN) == [PuzzleAnswered(task=task, answer=WRONG, judged_by="agreed")]
    assert await vault.status(a) == await vault.status(b) == "unproved"
    assert await ended(vault, A) == [(a, "unproved")]
    assert await ended(vault, B) == []
    for one in (A, B):
        row = await vault.solver(one)
        assert (row["valid_answers"], row["reputation_score"], row["in_hand"]) == (0, 50.0, 0)


async def test_two_that_differ_blame_nobody_and_two_further_solvers_are_asked(vault: Vault) -> None:
    task, [a, b] = await start(vault, AGREED)
    for one in (C, D):
        await vault.join(one)
    await vault.answer(A, a, 1001)
    assert await vault.offers(C) == await vault.offers(D) == []
    assert await vault.answer(B, b, 1002) == "unproved"
    assert await vault.status(a) == await vault.status(b) == "unproved"
    assert await ended(vault, A) == [(a, "unproved")]
    row = await vault.task(task)
    assert (row["status"], row["num_assignments"], row["open_slots"]) == ("assigned", 4, 0)
    assert len(await vault.offers(C)) == len(await vault.offers(D)) == 1


@pytest.mark.parametrize("earlier", [1001, 1002])
async def test_a_third_that_agrees_with_an_earlier_one_settles_it(vault: Vault, earlier: int) -> None:
    task, [a, b] = await start(vault, AGREED)
    for one in (C, D):
        await vault.join(one)
    await vault.answer(A, a, 1001)
    await vault.answer(B, b, 1002)
    c, d = await vault.key(task, C), await vault.key(task, D)
    assert await vault.answer(C, c, earlier) == "unproved"
    assert await vault.pushes(ANN) == [PuzzleAnswered(task=task, answer=earlier, judged_by="agreed")]
    assert await vault.status(d) == "released"
    assert await ended(vault, D) == [(d, "released")]


async def test_a_third_that_differs_too_waits_for_a_fourth(vault: Vault) -> None:
    task, [a, b] = await start(vault, AGREED)
    await vault.join(C)
    await vault.answer(A, a, 1001)
    await vault.answer(B, b, 1002)
    c = await vault.key(task, C)
    assert await vault.answer(C, c, 1003) == "pending"
    assert (await vault.task(task))["open_slots"] == 1
    await vault.join(D)
    assert await vault.answer(D, await vault.key(task, D), 1003) == "unproved"
    assert (await vault.task(task))["judged_by"] == "agreed"
    assert await ended(vault, C) == [(c, "unproved")]


async def test_four_that_all_differ_fail_at_the_bound(vault: Vault) -> None:
    task, [_a, _b] = await start(vault, AGREED)
    for one in (C, D):
        await vault.join(one)
    for number, one in enumerate((A, B, C, D)):
        await vault.answer(one, await vault.key(task, one), 1000 + number)
    assert (await vault.task(task))["status"] == "failed"
    [failed] = await vault.pushes(ANN)
    assert isinstance(failed, TaskFailed)
    assert "4 assignments" in failed.reason


async def test_handing_back_costs_the_client_nothing(make_vault: MakeVault) -> None:
    vault = await make_vault(assignments_max=2)
    task, [a, b] = await start(vault, AGREED)
    await vault.hand_back(B, b)
    row = await vault.task(task)
    assert (row["status"], row["num_assignments"], row["num_returned"], row["open_slots"]) == ("assigned", 2, 1, 1)
    assert await vault.answer(A, a, answer_to(AGREED)) == "pending"
    await vault.join(C)
    c = await vault.key(task, C)
    assert await vault.answer(C, c, answer_to(AGREED)) == "unproved"
    assert (await vault.task(task))["judged_by"] == "agreed"


async def test_everybody_handing_back_leaves_the_task_waiting(make_vault: MakeVault) -> None:
    vault = await make_vault(assignments_max=2)
    task, keys = await start(vault, COMPUTED, SOLVERS)
    for _ in SOLVERS:
        live = [row for row in await vault.assignments(task) if row["ended_at"] is None]
        for row in live:
            [who] = [one for one in SOLVERS if one.fingerprint == row["solver_id"]]
            await vault.hand_back(who, row["db_key"])
    row = await vault.task(task)
    assert (row["status"], row["num_assignments"], row["open_slots"]) == ("waiting", len(SOLVERS), 2)
    assert row["num_returned"] == len(SOLVERS) >= len(keys)


async def test_a_waiting_answer_ends_when_the_last_other_one_expires(make_vault: MakeVault) -> None:
    vault = await make_vault(assignments_max=2)
    task, [a, _] = await start(vault, AGREED)
    assert await vault.answer(A, a, answer_to(AGREED)) == "pending"
    await vault.wait(10**9)
    assert (await vault.task(task))["status"] == "failed"
    assert await vault.status(a) == "unproved"
    assert await ended(vault, A) == [(a, "unproved")]


# the bound


@pytest.mark.parametrize("order", [COMPUTED, COMMITTED])
@pytest.mark.parametrize("bound", [2, 3, 4])
async def test_a_task_fails_at_the_bound_and_not_before(make_vault: MakeVault, order: SubmitPuzzle, bound: int) -> None:
    vault = await make_vault(assignments_max=bound)
    task, _ = await start(vault, order, SOLVERS)
    for number in range(bound):
        row = await vault.task(task)
        assert row["status"] == "assigned", number
        live = [row for row in await vault.assignments(task) if row["ended_at"] is None]
        [who] = [one for one in SOLVERS if one.fingerprint == live[0]["solver_id"]]
        await vault.answer(who, live[0]["db_key"], WRONG)
    row = await vault.task(task)
    assert (row["status"], row["num_assignments"], row["open_slots"]) == ("failed", bound, 0)
    assert await vault.pushes(ANN) == [TaskFailed(task=task, reason=row["reason"])]
    assert str(bound) in row["reason"]
    assert await vault.open_tasks(ANN) == 0
    told = await vault.give(ANN, AskStatus(task=task))
    assert (told.status, told.reason, told.answer) == ("failed", row["reason"], None)


async def test_a_right_answer_at_the_bound_still_counts(make_vault: MakeVault) -> None:
    vault = await make_vault(assignments_max=2)
    task, [a, b] = await start(vault, COMPUTED)
    await vault.answer(A, a, WRONG)
    assert await vault.answer(B, b, answer_to(COMPUTED)) == "valid"
    assert (await vault.task(task))["status"] == "answered"
