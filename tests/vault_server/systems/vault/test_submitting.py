"""Seed 000 §3.1: what a submission leaves behind, and what it is refused for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from protocol.errors import Code, MessageError
from protocol.puzzle import difficulty, effort_seconds
from protocol.vault import AskStatus, CancelTask, PuzzleAccepted, SubmitPuzzle, UpdateStatus
from tests.vault_server.people import client, solver
from tests.vault_server.systems.vault.conftest import MakeVault
from tests.vault_server.systems.vault.harness import (
    AGREED,
    BITS,
    COMMITTED,
    COMPUTED,
    HOUR_MS,
    MODULUS,
    OTHER_MODULUS,
    Vault,
    answer_to,
)
from vault_server.core.operation import Caller, Endpoint
from vault_server.systems.vault.records import open_puzzle

ANN, BOB = client("ann"), client("bob")
A, B, C = solver("a"), solver("b"), solver("c")


async def refused(vault: Vault, who: Caller, order: object) -> Code:
    with pytest.raises(MessageError) as caught:
        await vault.give(who, order)
    assert caught.value.message
    assert caught.value.suggestion
    return caught.value.code


async def test_without_solvers_a_task_is_stored_and_waits(vault: Vault) -> None:
    reply = await vault.submit(ANN)
    row = await vault.task(reply.task)
    assert reply.assigned == 0
    assert reply.promised_by == row["promised_by"] == vault.now_ms + 8 * HOUR_MS
    assert (row["status"], row["open_slots"], row["num_assignments"]) == ("waiting", 2, 0)
    assert (row["client_id"], row["modulus_bits"], row["created_at"]) == (ANN.fingerprint, BITS, vault.now_ms)
    assert row["difficulty"] == reply.difficulty == difficulty(COMPUTED.t, MODULUS) == 0.128
    assert row["effort"] == reply.effort_seconds == effort_seconds(COMPUTED.t, BITS)
    assert len(vault.logged("task.submitted")) == 1


async def test_parameters_are_encrypted_for_their_client(vault: Vault) -> None:
    reply = await vault.submit(ANN, COMMITTED)
    row = await vault.task(reply.task)
    assert row["commitment"] == COMMITTED.commitment
    puzzle = open_puzzle(vault.parts.cipher, row)
    assert (puzzle.squarings, puzzle.base, puzzle.modulus) == (COMMITTED.t, COMMITTED.baseg, COMMITTED.product)
    stored = b"".join(row[name] for name in ("parameter_t", "parameter_baseg", "parameter_product"))
    assert MODULUS.to_bytes(16, "big") not in stored


async def test_requests_are_counted(vault: Vault) -> None:
    for _ in range(3):
        await vault.submit(ANN)
    await vault.submit(BOB)
    rows = await vault.rows("SELECT client_id, tasks_requested, open_tasks FROM clients")
    assert {row["client_id"]: (row["tasks_requested"], row["open_tasks"]) for row in rows} == {
        ANN.fingerprint: (3, 3),
        BOB.fingerprint: (1, 1),
    }
    assert len(await vault.rows("SELECT * FROM participants")) == 2


async def test_no_log_line_has_a_parameter_an_answer_or_a_commitment(vault: Vault) -> None:
    await vault.join(A)
    await vault.join(B)
    task = (await vault.submit(ANN, COMMITTED)).task
    await vault.answer(A, await vault.key(task, A), answer_to(AGREED))
    secrets = (str(answer_to(AGREED)), f"{answer_to(AGREED):x}", str(MODULUS), f"{MODULUS:x}", str(AGREED.t))
    text = repr(list(vault.effects))
    assert len(vault.effects) > 5
    assert not any(secret in text for secret in secrets)


# repetition


async def test_the_same_request_again_is_the_same_task(vault: Vault) -> None:
    order = replace(COMPUTED, idempotency_key="k1")
    first = await vault.submit(ANN, order)
    assert await vault.submit(ANN, order) == first
    assert len(await vault.rows("SELECT * FROM tasks")) == 1
    assert await vault.open_tasks(ANN) == 1


async def test_the_repeated_reply_tells_how_it_stands_now(vault: Vault) -> None:
    order = replace(COMPUTED, idempotency_key="k1")
    first = await vault.submit(ANN, order)
    await vault.join(A)
    again = await vault.submit(ANN, order)
    assert again == replace(first, assigned=1, promised_by=again.promised_by)
    assert again.promised_by is not None
    await vault.answer(A, await vault.key(first.task, A), answer_to(COMPUTED))
    assert (await vault.submit(ANN, order)).task == first.task


OTHER_REQUESTS = [
    replace(COMPUTED, t=1001),
    replace(COMPUTED, baseg=4),
    replace(COMPUTED, product=OTHER_MODULUS),
    replace(COMPUTED, commitment=b"c" * 32),
]


@pytest.mark.parametrize("other", OTHER_REQUESTS)
async def test_another_request_with_the_same_key_is_refused(vault: Vault, other: SubmitPuzzle) -> None:
    await vault.submit(ANN, replace(COMPUTED, idempotency_key="k1"))
    assert await refused(vault, ANN, replace(other, idempotency_key="k1")) is Code.IDEMPOTENCY_CONFLICT
    assert await vault.open_tasks(ANN) == 1
    await vault.submit(ANN, replace(other, idempotency_key="k2"))
    await vault.submit(BOB, replace(other, idempotency_key="k1"))


async def test_without_a_key_every_request_is_a_new_task(vault: Vault) -> None:
    assert (await vault.submit(ANN)).task != (await vault.submit(ANN)).task


# limits and refusals


async def test_open_tasks_at_the_limit_and_one_more(make_vault: MakeVault) -> None:
    vault = await make_vault(open_tasks_max=2)
    first = await vault.submit(ANN)
    await vault.submit(ANN, replace(COMPUTED, idempotency_key="k"))
    assert await refused(vault, ANN, COMPUTED) is Code.TOO_MANY_OPEN_TASKS
    assert await vault.open_tasks(ANN) == 2
    assert len(await vault.rows("SELECT * FROM tasks")) == 2
    await vault.submit(ANN, replace(COMPUTED, idempotency_key="k"))  # a repetition is no new task
    await vault.submit(BOB)
    await vault.give(ANN, CancelTask(task=first.task))
    await vault.submit(ANN)
    assert await refused(vault, ANN, COMPUTED) is Code.TOO_MANY_OPEN_TASKS


async def test_a_limit_of_one(make_vault: MakeVault) -> None:
    vault = await make_vault(open_tasks_max=1)
    await vault.submit(ANN)
    assert await refused(vault, ANN, COMPUTED) is Code.TOO_MANY_OPEN_TASKS


async def test_a_refused_puzzle_leaves_nothing(vault: Vault) -> None:
    assert await refused(vault, ANN, replace(COMPUTED, t=0)) is Code.SQUARINGS_OUT_OF_RANGE
    assert await refused(vault, ANN, replace(COMPUTED, product=MODULUS + 1)) is Code.PRODUCT_EVEN
    for table in ("participants", "clients", "tasks", "idempotency", "outbox"):
        assert await vault.rows(f"SELECT * FROM {table}") == []


async def test_each_order_has_its_endpoint(vault: Vault) -> None:
    assert await refused(vault, solver("ann"), COMPUTED) is Code.WRONG_ENDPOINT
    order = UpdateStatus(state="ready", capacity=1, speeds={})
    assert await refused(vault, ANN, order) is Code.WRONG_ENDPOINT


# asking and cancelling


async def test_a_task_is_its_clients_own(vault: Vault) -> None:
    task = (await vault.submit(ANN)).task
    for order in (AskStatus(task=task), CancelTask(task=task)):
        assert await refused(vault, BOB, order) is Code.TASK_NOT_FOUND
    for order in (AskStatus(task="0" * 32), CancelTask(task="0" * 32)):
        assert await refused(vault, ANN, order) is Code.TASK_NOT_FOUND
    assert (await vault.task(task))["status"] == "waiting"


async def test_the_status_of_a_task_through_its_life(vault: Vault) -> None:
    task = (await vault.submit(ANN)).task

    async def state() -> tuple[object, ...]:
        told = await vault.give(ANN, AskStatus(task=task))
        return (told.status, told.assigned, told.num_assignments, told.answer, told.judged_by, told.reason)

    assert await state() == ("waiting", 0, 0, None, None, None)
    await vault.join(A)
    assert await state() == ("assigned", 1, 1, None, None, None)
    await vault.join(B)
    assert await state() == ("assigned", 2, 2, None, None, None)
    await vault.answer(A, await vault.key(task, A), answer_to(COMPUTED))
    assert await state() == ("answered", 2, 2, answer_to(COMPUTED), "computed", None)
    await vault.wait(10**9)
    assert await state() == ("settled", 2, 2, answer_to(COMPUTED), "computed", None)


async def test_cancelling_a_task_that_waits(vault: Vault) -> None:
    task = (await vault.submit(ANN)).task
    await vault.give(ANN, CancelTask(task=task))
    assert (await vault.task(task))["status"] == "cancelled"
    assert await vault.open_tasks(ANN) == 0
    assert await refused(vault, ANN, CancelTask(task=task)) is Code.TASK_ENDED
    await vault.join(A)
    assert await vault.offers(A) == []


async def test_cancelling_releases_and_tells_the_solvers_who_get_other_work(vault: Vault) -> None:
    await vault.join(A)
    await vault.join(B)
    task = (await vault.submit(ANN)).task
    waiting = (await vault.submit(BOB)).task
    a = await vault.key(task, A)
    await vault.accept(A, a)
    await vault.give(ANN, CancelTask(task=task))
    assert [row["status"] for row in await vault.assignments(task)] == ["released", "released"]
    pushes = await vault.pushes(A)
    assert [type(push).__name__ for push in pushes] == ["AssignmentEnded", "PuzzleOffered"]
    assert [offer.task for offer in await vault.offers(B)] == [waiting]
    assert await vault.rows("SELECT * FROM deadlines WHERE subject = :key", key=str(a)) == []


async def test_cancelling_between_two_answers_that_have_to_agree(vault: Vault) -> None:
    await vault.join(A)
    await vault.join(B)
    task = (await vault.submit(ANN, AGREED)).task
    assert await vault.answer(A, await vault.key(task, A), 5) == "pending"
    await vault.give(ANN, CancelTask(task=task))
    assert await vault.status(await vault.key(task, A)) == "unproved"
    assert await vault.status(await vault.key(task, B)) == "released"
    assert [type(push).__name__ for push in await vault.pushes(A)] == ["AssignmentEnded"]


@pytest.mark.parametrize("later_ms", [0, 10**9])
async def test_an_answered_or_settled_task_cannot_be_cancelled(vault: Vault, later_ms: int) -> None:
    await vault.join(A)
    task = (await vault.submit(ANN)).task
    await vault.answer(A, await vault.key(task, A), answer_to(COMPUTED))
    await vault.wait(later_ms)
    assert await refused(vault, ANN, CancelTask(task=task)) is Code.TASK_ENDED
    assert (await vault.give(ANN, AskStatus(task=task))).answer == answer_to(COMPUTED)


async def test_a_failed_task_cannot_be_cancelled(make_vault: MakeVault) -> None:
    vault = await make_vault(assignments_max=2)
    task = await failed_task(vault)
    assert await refused(vault, ANN, CancelTask(task=task)) is Code.TASK_ENDED


async def failed_task(vault: Vault) -> str:
    for one in (A, B):
        await vault.join(one)
    task = (await vault.submit(ANN)).task
    await vault.wait(10**9)
    assert (await vault.task(task))["status"] == "failed"
    return task


async def test_a_client_may_ask_about_its_task_from_its_solver_key_only_on_the_clients_endpoint(vault: Vault) -> None:
    reply = await vault.submit(ANN)
    assert isinstance(reply, PuzzleAccepted)
    as_solver = replace(ANN, endpoint=Endpoint.SOLVER)
    assert await refused(vault, as_solver, AskStatus(task=reply.task)) is Code.WRONG_ENDPOINT
