"""Seed 000 §3.3 and design §7: what becomes of answers, of their tasks and of those who are still at work."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from protocol.errors import Code, MessageError
from protocol.vault import (
    AskStatus,
    AssignmentEnded,
    CancelTask,
    PuzzleAnswered,
    SubmitAnswer,
    SubmitPuzzle,
    TaskFailed,
)
from tests.vault_server.people import client, solver
from tests.vault_server.systems.vault.conftest import MakeVault
from tests.vault_server.systems.vault.harness import (
    AGREED,
    BY_JOB,
    COMMITTED,
    COMPUTED,
    HOUR_MS,
    MODULUS,
    Vault,
    answer_to,
)
from vault_server.core.operation import SERVER, Caller, JobDue
from vault_server.systems.vault.orders import ExpireAssignment, RecordJudgement, SettleTask
from vault_server.systems.vault.records import open_assignment_answer

ANN = client("ann")
A, B, C, D, E, F = SOLVERS = [solver(name) for name in "abcdef"]
WRONG = 12345


async def start(vault: Vault, order: SubmitPuzzle, solvers: Sequence[Caller] = (A, B)) -> tuple[str, list[int]]:
    """A task with these solvers online: its fingerprint, and the assignments of those who got it, in that order."""
    for one in solvers:
        await vault.join(one, capacity=4)
    task = (await vault.submit(ANN, order)).task
    held = {row["solver_id"]: row["db_key"] for row in await vault.assignments(task)}
    return task, [held[one.fingerprint] for one in solvers if one.fingerprint in held]


async def refused(vault: Vault, who: Caller, key: int, answer: int) -> Code:
    with pytest.raises(MessageError) as caught:
        await vault.give(who, SubmitAnswer(assignment=key, answer=answer))
    assert answer < 1000 or str(answer) not in str(caught.value)
    return caught.value.code


async def ended(vault: Vault, who: Caller) -> list[tuple[int, str]]:
    """What a solver is told of assignments that ended."""
    pushes = await vault.pushes(who)
    return [(push.assignment, push.outcome) for push in pushes if isinstance(push, AssignmentEnded)]


# computed where it arrives


async def test_a_right_answer_is_computed_at_once_and_goes_to_the_client(vault: Vault) -> None:
    task, [a, b] = await start(vault, COMPUTED)
    await vault.accept(A, a)
    assert await vault.answer(A, a, answer_to(COMPUTED)) == "valid"
    assert await vault.pushes(ANN) == [
        PuzzleAnswered(task=task, answer=answer_to(COMPUTED), judged_by="computed"),
    ]
    assert (await vault.task(task))["status"] == "answered"
    assert await vault.status(a) == "valid"
    assert await vault.open_tasks(ANN) == 0
    assert await vault.status(b) == "released"
    assert await ended(vault, B) == [(b, "released")]
    assert await ended(vault, A) == []
    for one in (A, B):
        assert (await vault.solver(one))["in_hand"] == 0
        assert await vault.offers(one) == []


async def test_the_answer_waits_until_it_is_acknowledged(vault: Vault) -> None:
    _, [a, _] = await start(vault, COMPUTED)
    await vault.answer(A, a, answer_to(COMPUTED))
    for _ in range(2):
        assert len(await vault.pushes(ANN)) == 1
    await vault.acknowledge(ANN)
    assert await vault.pushes(ANN) == []


async def test_an_answer_needs_no_acceptance_before(vault: Vault) -> None:
    _, [a, _] = await start(vault, COMPUTED)
    assert await vault.status(a) == "offered"
    assert await vault.answer(A, a, answer_to(COMPUTED)) == "valid"


async def test_what_a_solver_sent_is_stored_for_that_solver_alone(vault: Vault) -> None:
    task, [a, _] = await start(vault, COMPUTED)
    await vault.answer(A, a, answer_to(COMPUTED))
    [row] = [row for row in await vault.assignments(task) if row["db_key"] == a]
    raw = open_assignment_answer(vault.parts.cipher, row["answer"], a, A.fingerprint)
    assert int.from_bytes(raw, "big") == answer_to(COMPUTED)
    assert raw not in row["answer"]
    assert row["delivered_at"] == row["ended_at"] == vault.now_ms


async def test_a_wrong_answer_is_computed_too_and_another_solver_is_asked(vault: Vault) -> None:
    task, [a, b] = await start(vault, COMPUTED)
    await vault.join(C)
    assert await vault.offers(C) == []
    assert await vault.answer(A, a, WRONG) == "invalid"
    row = await vault.task(task)
    assert (row["status"], row["num_assignments"], row["open_slots"]) == ("assigned", 3, 0)
    assert [offer.task for offer in await vault.offers(C)] == [task]
    assert await vault.status(b) == "offered"
    assert await vault.pushes(ANN) == []
    assert await vault.answer(B, b, answer_to(COMPUTED)) == "valid"


async def test_y_and_its_negative_differ(vault: Vault) -> None:
    _, [a, b] = await start(vault, COMPUTED)
    assert await vault.answer(A, a, MODULUS - answer_to(COMPUTED)) == "invalid"
    assert await vault.answer(B, b, answer_to(COMPUTED)) == "valid"


async def test_five_valid_answers_make_a_solver_rank_by_its_score(vault: Vault) -> None:
    await vault.join(A, capacity=9)
    for number in range(1, 7):
        task = (await vault.submit(ANN)).task
        await vault.answer(A, await vault.key(task, A), answer_to(COMPUTED))
        row = await vault.solver(A)
        assert (row["valid_answers"], row["band"]) == (number, 5 if number >= 5 else 2)


# refusals


@pytest.mark.parametrize("order", [COMPUTED, BY_JOB, COMMITTED, AGREED])
@pytest.mark.parametrize("answer", [0, MODULUS, MODULUS + 5])
async def test_an_answer_out_of_range_is_refused_and_the_assignment_lives(
    vault: Vault, order: SubmitPuzzle, answer: int
) -> None:
    task, [a, _] = await start(vault, order)
    await vault.accept(A, a)
    assert await refused(vault, A, a, answer) is Code.ANSWER_OUT_OF_RANGE
    assert await vault.status(a) == "accepted"
    assert (await vault.task(task))["status"] == "assigned"
    await vault.answer(A, a, answer_to(order))


@pytest.mark.parametrize("answer", [1, MODULUS - 1])
async def test_the_edges_of_the_range_are_taken(vault: Vault, answer: int) -> None:
    _, [a, _] = await start(vault, COMPUTED)
    assert await vault.answer(A, a, answer) == "invalid"


async def test_somebody_elses_assignment_does_not_exist(vault: Vault) -> None:
    _, [a, b] = await start(vault, COMPUTED)
    assert await refused(vault, A, b, answer_to(COMPUTED)) is Code.ASSIGNMENT_NOT_FOUND
    assert await refused(vault, C, a, answer_to(COMPUTED)) is Code.ASSIGNMENT_NOT_FOUND
    assert await refused(vault, A, 999_999, answer_to(COMPUTED)) is Code.ASSIGNMENT_NOT_FOUND
    assert await vault.status(a) == await vault.status(b) == "offered"


@pytest.mark.parametrize("order", [COMPUTED, BY_JOB, COMMITTED, AGREED])
@pytest.mark.parametrize("second", [WRONG, None])
async def test_an_answer_is_taken_once(vault: Vault, order: SubmitPuzzle, second: int | None) -> None:
    _, [a, _] = await start(vault, order)
    right = answer_to(order)
    await vault.answer(A, a, right)
    before = await vault.rows("SELECT * FROM task_assignments")
    assert await refused(vault, A, a, right if second is None else second) is Code.ALREADY_ANSWERED
    assert await vault.rows("SELECT * FROM task_assignments") == before


async def test_an_answer_after_the_task_has_its_own_is_late(vault: Vault) -> None:
    _, [a, b] = await start(vault, COMPUTED)
    await vault.accept(B, b)
    await vault.answer(A, a, answer_to(COMPUTED))
    assert await refused(vault, B, b, answer_to(COMPUTED)) is Code.ASSIGNMENT_ENDED
    assert await vault.status(b) == "released"


async def test_what_has_ended_is_not_accepted_returned_or_answered(vault: Vault) -> None:
    _, [a, _] = await start(vault, COMPUTED)
    await vault.hand_back(A, a)
    for give in (vault.accept, vault.hand_back):
        with pytest.raises(MessageError) as caught:
            await give(A, a)
        assert caught.value.code is Code.ASSIGNMENT_ENDED
    assert await refused(vault, A, a, answer_to(COMPUTED)) is Code.ASSIGNMENT_ENDED


# computed by a judge's thread


async def test_a_judges_verdict_is_told_by_a_push(vault: Vault) -> None:
    task, [a, b] = await start(vault, BY_JOB)
    assert await vault.answer(A, a, answer_to(BY_JOB)) == "pending"
    assert vault.jobs == [JobDue("judge_answer", str(a))]
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


# by commitment


async def test_a_match_with_the_commitment_is_valid(vault: Vault) -> None:
    task, [a, b] = await start(vault, COMMITTED)
    assert await vault.answer(A, a, answer_to(COMMITTED)) == "valid"
    assert await vault.pushes(ANN) == [PuzzleAnswered(task=task, answer=answer_to(COMMITTED), judged_by="commitment")]
    assert await vault.status(b) == "released"


async def test_a_mismatch_blames_nobody_and_a_further_solver_is_asked(vault: Vault) -> None:
    task, [a, b] = await start(vault, COMMITTED)
    await vault.join(C)
    assert await vault.answer(A, a, WRONG) == "unproved"
    assert await vault.status(a) == "unproved"
    assert (await vault.solver(A))["valid_answers"] == 0
    assert [offer.task for offer in await vault.offers(C)] == [task]
    assert await vault.answer(C, await vault.key(task, C), answer_to(COMMITTED)) == "valid"
    assert await vault.status(b) == "released"


async def test_two_that_agree_on_something_else_do_not_outvote_the_commitment(vault: Vault) -> None:
    task, [a, b] = await start(vault, COMMITTED)
    assert await vault.answer(A, a, WRONG) == "unproved"
    assert await vault.answer(B, b, WRONG) == "unproved"
    row = await vault.task(task)
    assert (row["status"], row["open_slots"]) == ("waiting", 2)


async def test_a_small_puzzle_is_computed_whatever_its_commitment_says(vault: Vault) -> None:
    order = SubmitPuzzle(t=COMPUTED.t, baseg=3, product=MODULUS, commitment=b"\0" * 32)
    task, [a, _] = await start(vault, order)
    assert await vault.answer(A, a, answer_to(COMPUTED)) == "valid"
    assert (await vault.task(task))["judged_by"] == "computed"


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


async def test_an_answer_that_can_have_no_second_one_does_not_wait_for_ever(make_vault: MakeVault) -> None:
    vault = await make_vault(assignments_max=2)
    task, [a, b] = await start(vault, AGREED)
    await vault.hand_back(B, b)
    assert (await vault.task(task))["status"] == "assigned"
    assert await vault.answer(A, a, answer_to(AGREED)) == "unproved"
    assert (await vault.task(task))["status"] == "failed"


async def test_a_waiting_answer_ends_when_the_last_other_one_is_handed_back(make_vault: MakeVault) -> None:
    vault = await make_vault(assignments_max=2)
    task, [a, b] = await start(vault, AGREED)
    assert await vault.answer(A, a, answer_to(AGREED)) == "pending"
    await vault.hand_back(B, b)
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


# time


async def test_an_assignment_expires_and_another_solver_is_asked(vault: Vault) -> None:
    task, [a, b] = await start(vault, COMPUTED)
    await vault.accept(A, a)
    await vault.leave(A)
    await vault.leave(B)
    await vault.join(C, speed=1)  # slower: its deadline is later
    [row] = [row for row in await vault.assignments(task) if row["db_key"] == a]
    await vault.wait(row["deadline"] - vault.now_ms - 1)
    assert await vault.status(a) == "accepted"
    await vault.wait(1)
    assert await vault.status(a) == await vault.status(b) == "expired"
    assert await ended(vault, A) == [(a, "expired")]
    assert [offer.task for offer in await vault.offers(C)] == [task]
    assert (await vault.task(task))["open_slots"] == 1
    assert await refused(vault, A, a, answer_to(COMPUTED)) is Code.ASSIGNMENT_ENDED
    await vault.join(A, capacity=4)
    assert await vault.offers(A) == []  # never the same task again
    assert (await vault.solver(A))["in_hand"] == 0


async def test_a_solver_that_let_one_expire_is_given_other_work(vault: Vault) -> None:
    await vault.join(A, capacity=1)
    first, second = [(await vault.submit(ANN)).task for _ in range(2)]
    await vault.wait(24 * HOUR_MS)
    assert await vault.status(await vault.key(first, A)) == "expired"
    assert await vault.status(await vault.key(second, A)) == "offered"


async def test_expiry_at_the_bound_fails_the_task(make_vault: MakeVault) -> None:
    vault = await make_vault(assignments_max=2)
    task, _ = await start(vault, COMPUTED)
    await vault.wait(24 * HOUR_MS)
    assert (await vault.task(task))["status"] == "failed"
    assert len(await vault.pushes(ANN)) == 1


async def test_orders_of_time_are_harmless_when_repeated_or_late(vault: Vault) -> None:
    task, [a, b] = await start(vault, COMPUTED)
    await vault.give(SERVER, SettleTask(task))
    await vault.answer(A, a, answer_to(COMPUTED))
    for key in (a, b, 999_999):
        await vault.give(SERVER, ExpireAssignment(key))
    await vault.give(SERVER, SettleTask("0" * 32))
    assert (await vault.task(task))["status"] == "answered"
    for _ in range(2):
        await vault.give(SERVER, SettleTask(task))
    assert (await vault.task(task))["status"] == "settled"


async def test_a_task_settles_when_its_complaint_deadline_has_passed(vault: Vault) -> None:
    task, [a, _] = await start(vault, COMPUTED)
    [row] = [row for row in await vault.assignments(task) if row["db_key"] == a]
    await vault.answer(A, a, answer_to(COMPUTED))
    await vault.wait(row["complaint_deadline"] - vault.now_ms - 1)
    assert (await vault.task(task))["status"] == "answered"
    await vault.wait(1)
    assert (await vault.task(task))["status"] == "settled"
    assert await vault.rows("SELECT * FROM deadlines") == []
    assert len(await vault.pushes(ANN)) == 1


# handing back


async def test_handing_back_asks_another_and_never_the_same(vault: Vault) -> None:
    task, [a, _b] = await start(vault, COMPUTED)
    await vault.join(C)
    await vault.hand_back(A, a)
    assert await vault.status(a) == "released"
    assert [offer.task for offer in await vault.offers(C)] == [task]
    assert await vault.offers(A) == []
    assert await ended(vault, A) == []  # the reply has said it
    await vault.update(A, 4)
    assert await vault.offers(A) == []


async def test_handing_back_the_last_one_leaves_the_task_waiting(vault: Vault) -> None:
    task, [a, b] = await start(vault, COMPUTED)
    await vault.hand_back(A, a)
    await vault.hand_back(B, b)
    row = await vault.task(task)
    assert (row["status"], row["open_slots"]) == ("waiting", 2)
    assert (row["first_assignment_id"], row["second_assignment_id"]) == (None, None)
    await vault.join(C)
    assert (await vault.task(task))["status"] == "assigned"


async def test_only_ones_own_can_be_handed_back(vault: Vault) -> None:
    _, [_a, b] = await start(vault, COMPUTED)
    with pytest.raises(MessageError) as caught:
        await vault.hand_back(A, b)
    assert caught.value.code is Code.ASSIGNMENT_NOT_FOUND
    assert await vault.status(b) == "offered"
