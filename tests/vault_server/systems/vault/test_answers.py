"""Seed 000 §3.3: an answer judged where it arrives, by computing it or by the commitment, and answers refused."""

from __future__ import annotations

import pytest

from protocol.errors import Code, MessageError
from protocol.puzzle import Puzzle, answer_bytes, square_repeatedly
from protocol.vault import (
    PuzzleAnswered,
    SubmitPuzzle,
)
from tests.vault_server.systems.vault.harness import (
    AGREED,
    BY_JOB,
    COMMITTED,
    COMPUTED,
    MODULUS,
    Vault,
    answer_to,
)
from tests.vault_server.systems.vault.stories import ANN, WRONG, A, B, C, ended, refused, start
from vault_server.core.operation import Query
from vault_server.systems.vault.arithmetic import FEW_SQUARINGS, Given, is_right
from vault_server.systems.vault.records import open_assignment_answer
from vault_server.systems.vault.records import q as records_q

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


async def test_who_is_released_by_the_answer_gets_the_task_that_waits(vault: Vault) -> None:
    for one in (A, B):
        await vault.join(one, capacity=1)
    first, second = [(await vault.submit(ANN)).task for _ in range(2)]
    assert await vault.answer(A, await vault.key(first, A), answer_to(COMPUTED)) == "valid"
    assert {row["solver_id"] for row in await vault.assignments(second)} == {A.fingerprint, B.fingerprint}
    assert (await vault.task(second))["open_slots"] == 0


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
        assert (row["valid_answers"], row["band"]) == (number, 6 if number >= 5 else 2)
        assert row["reputation_score"] == 66.666667  # one client, one day: one good answer


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


# what judging stands on


@pytest.mark.parametrize("squarings", [1, 2, FEW_SQUARINGS, FEW_SQUARINGS + 1, 100])
def test_few_squarings_and_many_come_to_the_same(squarings: int) -> None:
    puzzle = Puzzle(squarings, 3, MODULUS)
    answer = pow(3, 2**squarings, MODULUS)
    assert answer == square_repeatedly(3, squarings, MODULUS)
    assert is_right(Given(puzzle, answer_bytes(answer, MODULUS)))
    assert not is_right(Given(puzzle, answer_bytes(answer + 1, MODULUS)))


async def test_what_a_trigger_refuses_is_undone_and_nothing_beside_it(vault: Vault) -> None:
    _, [a, b] = await start(vault, COMPUTED)
    hold = Query("hold", "UPDATE solvers SET in_hand = :hands WHERE solver_id = :solver_id")
    outcomes = await vault.database.transact(
        [
            lambda tx: tx.run(hold, solver_id=A.fingerprint, hands=0),  # which is not so
            lambda tx: tx.run(records_q.accept_assignment, db_key=b, solver_id=B.fingerprint, accepted_at=5),
            lambda tx: tx.run(records_q.end_assignment, db_key=a, status="released", ended_at=5, expected="offered"),
            lambda tx: tx.run(records_q.trapped, solver_id=A.fingerprint, now=5),
        ]
    )
    assert [outcome.error is None for outcome in outcomes] == [True, True, False, True]
    assert (await vault.status(a), await vault.status(b)) == ("offered", "accepted")
    solver = await vault.solver(A)
    assert (solver["in_hand"], solver["last_trap_at"]) == (0, 5)
    assert await vault.offers(A) != []
    await vault.database.transact([lambda tx: tx.run(hold, solver_id=A.fingerprint, hands=1)])


async def test_an_assignment_of_nobody_is_refused_and_nothing_beside_it(vault: Vault) -> None:
    task, [a, b] = await start(vault, COMPUTED)
    insert = Query(
        "insert_nobodys",
        "INSERT INTO task_assignments (task_id, task_key, solver_id, slot, status, deadline, complaint_deadline,"
        " ranking, assigned_at, ended_at) SELECT fingerprint, db_key, :nobody, 2, 'released', 9, 9, '[]', 5, 5"
        " FROM tasks WHERE fingerprint = :task",
    )
    outcomes = await vault.database.transact(
        [
            lambda tx: tx.run(records_q.accept_assignment, db_key=a, solver_id=A.fingerprint, accepted_at=5),
            lambda tx: tx.run(insert, nobody="9" * 32, task=task),
            lambda tx: tx.run(records_q.accept_assignment, db_key=b, solver_id=B.fingerprint, accepted_at=5),
        ]
    )
    assert [outcome.error is None for outcome in outcomes] == [True, False, True]
    assert (await vault.status(a), await vault.status(b)) == ("accepted", "accepted")
    assert len(await vault.rows("SELECT db_key FROM task_assignments")) == 2
