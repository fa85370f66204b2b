"""Answers judged by their proofs: what holds answers the task, what fails convicts, and nobody else is blamed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import gmpy2
import pytest

from protocol.errors import Code, MessageError
from protocol.proof import BadProof, Proof, Statement, verify
from protocol.puzzle import Puzzle, Trapdoor, commit
from protocol.vault import (
    AskStatus,
    AssignmentEnded,
    CancelTask,
    Complain,
    PuzzleAnswered,
    SubmitAnswer,
    SubmitPuzzle,
    TaskFailed,
    TaskState,
)
from tests.protocol.forging import Forger
from tests.vault_server.systems.vault.conftest import MakeVault
from tests.vault_server.systems.vault.grievances import moved, score
from tests.vault_server.systems.vault.harness import (
    AGREED,
    COMMITTED,
    COMPUTED,
    MODULUS,
    PROVED,
    Vault,
    answer_to,
    proof_of,
)
from tests.vault_server.systems.vault.stories import ANN, WRONG, A, B, C, D, ended, refused, start
from vault_server.core.operation import SERVER, JobDue, Query
from vault_server.systems.vault.orders import RecordProof

RIGHT = answer_to(PROVED)
LONG_MS = 60_000


async def proofs(vault: Vault) -> list[tuple[int, str]]:
    """All that were kept: assignment and status."""
    rows = await vault.rows("SELECT assignment_id, status FROM proofs ORDER BY assignment_id")
    return [(row["assignment_id"], row["status"]) for row in rows]


async def forged(vault: Vault, key: int) -> bytes:
    """A well-formed proof of a wrong answer, as good as one gets who does not know product's factors."""
    statement = await vault.statement(key)
    right = Proof.decode(proof_of(statement), statement.puzzle)
    return Proof(right.z - 1, right.midpoints).encode(MODULUS)


# who is asked for a proof


@pytest.mark.parametrize(
    ("order", "wish"),
    [(PROVED, "required"), (AGREED, "none"), (COMMITTED, "none"), (COMPUTED, "none")],
    ids=["proved", "agreed", "committed", "computed"],
)
async def test_a_solver_is_told_whether_a_proof_is_required(vault: Vault, order: SubmitPuzzle, wish: str) -> None:
    await start(vault, order)
    assert [offer.proof for offer in await vault.offers(A)] == [wish]


async def test_a_proof_is_required_unless_the_client_says_otherwise(vault: Vault) -> None:
    asked = [None, "required", "none"]
    tasks = [
        (await vault.submit(ANN, SubmitPuzzle(t=50_000, baseg=3, product=MODULUS, proof=wish))).task for wish in asked
    ]
    rows = [await vault.task(task) for task in tasks]
    assert [(row["proof"], row["judging"]) for row in rows] == [
        ("required", "proof"),
        ("required", "proof"),
        ("none", "agreed"),
    ]


async def test_another_wish_is_another_request(vault: Vault) -> None:
    first = SubmitPuzzle(t=50_000, baseg=3, product=MODULUS, idempotency_key="k")
    same = SubmitPuzzle(t=50_000, baseg=3, product=MODULUS, idempotency_key="k", proof="required")
    other = SubmitPuzzle(t=50_000, baseg=3, product=MODULUS, idempotency_key="k", proof="none")
    assert (await vault.submit(ANN, first)).task == (await vault.submit(ANN, same)).task
    with pytest.raises(MessageError) as caught:
        await vault.submit(ANN, other)
    assert caught.value.code is Code.IDEMPOTENCY_CONFLICT


# a proof that holds


async def test_the_first_proved_answer_is_given_at_once_with_its_proof(vault: Vault) -> None:
    task, [a, b] = await start(vault, PROVED)
    assert await vault.prove(A, a) == "pending"
    assert await vault.pushes(ANN) == []
    assert vault.jobs == [JobDue("verify_proof", str(a), A.fingerprint)]
    assert (await vault.solver(A))["in_hand"] == 0
    await vault.judge()
    proof = proof_of(await vault.statement(a))
    answered = PuzzleAnswered(task=task, answer=RIGHT, judged_by="proof", proof=proof, solver=A.fingerprint)
    assert await vault.pushes(ANN) == [answered]
    assert await ended(vault, A) == [(a, "valid")]
    assert await ended(vault, B) == [(b, "released")]
    assert (await vault.solver(B))["reputation_score"] == 50.0
    assert await proofs(vault) == [(a, "holding")]
    assert (await vault.task(task))["proved_by"] == a


async def test_a_client_can_check_what_it_is_given(vault: Vault) -> None:
    task, [a, _] = await start(vault, PROVED)
    await vault.prove(A, a)
    await vault.judge()
    state: TaskState = await vault.give(ANN, AskStatus(task=task))
    assert (state.answer, state.judged_by) == (RIGHT, "proof")
    assert state.proof is not None
    assert state.solver is not None
    puzzle = Puzzle(PROVED.t, PROVED.baseg, MODULUS)
    assert verify(Statement(puzzle, task, state.solver), Proof.decode(state.proof, puzzle)) == RIGHT


async def test_what_a_killed_server_left_unchecked_is_found(vault: Vault) -> None:
    task, [a, _] = await start(vault, PROVED)
    await vault.prove(A, a)
    await vault.restart()
    assert JobDue("verify_proof", str(a)) in vault.jobs
    await vault.judge()
    await vault.judge_one(JobDue("verify_proof", str(a)))  # found twice: nothing is left to do
    await vault.give(SERVER, RecordProof(a, False))
    assert await vault.status(a) == "valid"
    assert (await vault.task(task))["status"] == "answered"


async def test_two_proofs_before_the_judge_gets_to_either_both_count(vault: Vault) -> None:
    task, [a, b] = await start(vault, PROVED)
    await vault.prove(A, a)
    await vault.prove(B, b)
    await vault.judge()
    assert await vault.status(a) == await vault.status(b) == "valid"
    assert len([push for push in await vault.pushes(ANN) if isinstance(push, PuzzleAnswered)]) == 1
    assert (await vault.task(task))["proved_by"] == a
    assert (await vault.solver(B))["valid_answers"] == 1


async def test_a_proof_beside_a_wrong_commitment_shows_the_right_answer(vault: Vault) -> None:
    order = SubmitPuzzle(t=50_000, baseg=3, product=MODULUS, commitment=commit(WRONG, MODULUS))
    task, [a, _] = await start(vault, order)
    assert await vault.prove(A, a) == "pending"
    await vault.judge()
    row = await vault.task(task)
    assert (row["status"], row["judged_by"]) == ("answered", "proof")


async def test_an_answer_that_the_commitment_knows_needs_no_check(vault: Vault) -> None:
    order = SubmitPuzzle(t=50_000, baseg=3, product=MODULUS, commitment=commit(RIGHT, MODULUS))
    task, [a, _] = await start(vault, order)
    assert await vault.prove(A, a, proof=await forged(vault, a)) == "valid"
    assert vault.jobs == []
    assert (await vault.task(task))["judged_by"] == "commitment"


async def test_a_proof_that_nobody_asked_for_is_worth_more_than_agreement(vault: Vault) -> None:
    task, [a, b] = await start(vault, AGREED)
    assert await vault.answer(A, a, WRONG) == "pending"
    assert await vault.prove(B, b) == "pending"
    await vault.judge()
    row = await vault.task(task)
    assert (row["status"], row["judged_by"]) == ("answered", "proof")
    assert await vault.status(a) == "unproved"  # no proof of its own has failed: nobody is convicted by another's
    assert await score(vault, A) == 50.0


# a proof that fails, or is missing


async def test_a_proof_that_fails_convicts_and_another_is_asked(vault: Vault) -> None:
    task, [a, b] = await start(vault, PROVED)
    await vault.join(C)
    await vault.prove(A, a, answer=WRONG, proof=await forged(vault, a))
    await vault.judge()
    assert await vault.status(a) == "invalid"
    assert await ended(vault, A) == [(a, "invalid")]
    assert await score(vault, A) < 10
    assert [offer.task for offer in await vault.offers(C)] == [task]
    assert await vault.pushes(ANN) == []
    await vault.prove(B, b)
    await vault.judge()
    assert (await vault.task(task))["judged_by"] == "proof"


@pytest.mark.parametrize("answer", [MODULUS - RIGHT, 1, RIGHT - 1], ids=["-y", "1", "y-1"])
async def test_a_right_proof_beside_another_answer_convicts(vault: Vault, answer: int) -> None:
    _, [a, _] = await start(vault, PROVED)
    await vault.prove(A, a, answer=answer)
    await vault.judge()
    assert await vault.status(a) == "invalid"
    assert await vault.pushes(ANN) == []


async def test_a_right_answer_with_a_broken_proof_convicts(vault: Vault) -> None:
    _, [a, _] = await start(vault, PROVED)
    await vault.prove(A, a, proof=await forged(vault, a))
    await vault.judge()
    assert await vault.status(a) == "invalid"


async def test_another_solvers_proof_proves_nothing(vault: Vault) -> None:
    _, [a, b] = await start(vault, PROVED)
    await vault.prove(A, a, proof=proof_of(await vault.statement(b)))
    await vault.judge()
    assert await vault.status(a) == "invalid"


async def test_a_required_proof_that_is_missing_convicts(vault: Vault) -> None:
    task, [a, b] = await start(vault, PROVED)
    await vault.join(C)
    assert await vault.answer(A, a, RIGHT) == "unproved"
    assert [reason for _, reason in await moved(vault, A)] == ["required proof not supplied"]
    assert (await vault.solver(A))["trusted"] < 1024
    assert [offer.task for offer in await vault.offers(C)] == [task]
    assert await vault.pushes(ANN) == []
    assert await vault.status(b) == "offered"


async def test_without_a_proof_a_commitment_still_settles_a_right_answer(vault: Vault) -> None:
    order = SubmitPuzzle(t=50_000, baseg=3, product=MODULUS, commitment=commit(RIGHT, MODULUS))
    _, [a, _] = await start(vault, order)
    assert await vault.answer(A, a, RIGHT) == "valid"


async def test_two_that_agree_on_a_lie_are_both_convicted(vault: Vault) -> None:
    task, [a, b] = await start(vault, PROVED)
    for who, key in ((A, a), (B, b)):
        await vault.prove(who, key, answer=WRONG, proof=await forged(vault, key))
    await vault.judge()
    assert await vault.status(a) == await vault.status(b) == "invalid"
    assert await vault.pushes(ANN) == []
    assert (await vault.task(task))["status"] == "waiting"


async def test_when_nobody_proves_anything_the_task_fails_and_says_so(vault: Vault) -> None:
    task, keys = await start(vault, PROVED)
    for one in (C, D):
        await vault.join(one)
    for who in (A, B, C, D):
        key = await vault.key(task, who)
        await vault.prove(who, key, answer=WRONG, proof=await forged(vault, key))
        await vault.judge()
    assert keys
    [failed] = await vault.pushes(ANN)
    assert isinstance(failed, TaskFailed)
    assert failed.reason == "no answer could be judged right after 4 assignments"


# what is no proof at all


@pytest.mark.parametrize(
    "change",
    [lambda raw: raw[:-1], lambda raw: raw + b"\0", lambda raw: b"\x02" + raw[1:], lambda raw: raw[:1]],
    ids=["truncated", "too long", "another version", "version alone"],
)
async def test_what_cannot_be_a_proof_is_refused_and_costs_nothing(vault: Vault, change: object) -> None:
    assert callable(change)
    _, [a, _] = await start(vault, PROVED)
    raw = change(proof_of(await vault.statement(a)))
    with pytest.raises(MessageError) as caught:
        await vault.give(A, SubmitAnswer(assignment=a, answer=RIGHT, proof=raw))
    assert caught.value.code is Code.PROOF_MALFORMED
    assert raw.hex() not in str(caught.value)
    assert await vault.status(a) == "offered"
    assert await score(vault, A) == 50.0
    assert await vault.prove(A, a) == "pending"


async def test_so_many_proofs_of_one_solver_wait_and_no_more(make_vault: MakeVault) -> None:
    vault = await make_vault(proofs_waiting_max=2)
    await vault.join(A, capacity=4)
    await vault.join(B, capacity=4)
    tasks = [(await vault.submit(ANN, PROVED)).task for _ in range(3)]
    keys = [await vault.key(task, A) for task in tasks]
    for key in keys[:2]:
        assert await vault.prove(A, key) == "pending"
    with pytest.raises(MessageError) as caught:
        await vault.prove(A, keys[2])
    assert caught.value.code is Code.TOO_MANY_PROOFS
    assert caught.value.retry_after_ms is not None
    assert await vault.status(keys[2]) == "offered"
    assert await vault.prove(B, await vault.key(tasks[2], B)) == "pending"  # another solver's queue is its own
    await vault.judge()
    assert await vault.prove(A, await _late(vault, keys[2])) == "pending"


async def _late(vault: Vault, key: int) -> int:
    """Make room in time for an assignment that was released a moment ago."""
    allow = Query("allow", "UPDATE task_assignments SET late_until = :until WHERE db_key = :key")
    await vault.database.transact([lambda tx: tx.run(allow, key=key, until=vault.now_ms + LONG_MS)])
    return key


# a tenth too late


async def released(vault: Vault, first_ms: int = LONG_MS) -> tuple[str, int]:
    """B is released because A was first, after `first_ms`: the task and B's assignment."""
    task, [a, b] = await start(vault, PROVED)
    await vault.accept(B, b)
    vault.now_ms += first_ms
    await vault.prove(A, a)
    await vault.judge()
    [told] = [push for push in await vault.pushes(B) if isinstance(push, AssignmentEnded)]
    assert (told.outcome, told.late_until) == ("released", vault.now_ms + first_ms // 10)
    return task, b


async def test_a_proved_answer_within_a_tenth_of_the_time_counts_as_good(vault: Vault) -> None:
    task, b = await released(vault)
    vault.now_ms += LONG_MS // 10
    assert await vault.prove(B, b) == "pending"
    await vault.judge()
    assert await vault.status(b) == "valid"
    assert (await vault.solver(B))["valid_answers"] == 1
    assert len([push for push in await vault.pushes(ANN) if isinstance(push, PuzzleAnswered)]) == 1
    assert (await vault.task(task))["status"] == "answered"


async def test_one_millisecond_later_it_is_too_late(vault: Vault) -> None:
    _, b = await released(vault)
    vault.now_ms += LONG_MS // 10 + 1
    with pytest.raises(MessageError) as caught:
        await vault.prove(B, b)
    assert caught.value.code is Code.ASSIGNMENT_ENDED


async def test_a_late_answer_needs_its_proof(vault: Vault) -> None:
    _, b = await released(vault)
    assert await refused(vault, B, b, RIGHT) is Code.ASSIGNMENT_ENDED
    assert await score(vault, B) == 50.0


async def test_a_late_answer_is_sent_once(vault: Vault) -> None:
    _, b = await released(vault)
    await vault.prove(B, b)
    with pytest.raises(MessageError) as caught:
        await vault.prove(B, b)
    assert caught.value.code is Code.ALREADY_ANSWERED


async def test_a_late_proof_that_fails_convicts(vault: Vault) -> None:
    _, b = await released(vault)
    await vault.prove(B, b, answer=WRONG, proof=await forged(vault, b))
    await vault.judge()
    assert await vault.status(b) == "invalid"
    assert await score(vault, B) < 50


async def test_who_handed_back_or_was_cancelled_has_nothing_more_to_prove(vault: Vault) -> None:
    _, [a, _] = await start(vault, PROVED)
    await vault.hand_back(A, a)
    task = (await vault.submit(ANN, PROVED)).task
    key = await vault.key(task, A)
    await vault.give(ANN, CancelTask(task=task))
    for one in (a, key):
        with pytest.raises(MessageError) as caught:
            await vault.prove(A, one)
        assert caught.value.code is Code.ASSIGNMENT_ENDED


async def test_a_proof_that_waits_when_its_task_is_cancelled_still_counts(vault: Vault) -> None:
    task, [a, _] = await start(vault, PROVED)
    await vault.prove(A, a)
    await vault.give(ANN, CancelTask(task=task))
    await vault.judge()
    assert await vault.status(a) == "valid"
    assert (await vault.task(task))["status"] == "cancelled"


# a modulus whose factors somebody knows


async def test_two_proofs_that_hold_for_two_answers_show_the_modulus_to_be_unsound(make_vault: MakeVault) -> None:
    """Only N's maker can bring this about: he knows an element of small odd order, to which proofs are blind."""
    trapdoor, error = _with_an_element_of_order_three()
    vault = await make_vault()
    order = SubmitPuzzle(t=1_000_000, baseg=3, product=trapdoor.p * trapdoor.q)
    task, [a, b] = await start(vault, order)
    await vault.prove(A, a)
    lie, forged_proof = _forged_by_the_maker(await vault.statement(b), trapdoor, error)
    await vault.prove(B, b, answer=lie, proof=forged_proof.encode(order.product))
    await vault.judge()
    row = await vault.task(task)
    assert lie != answer_to(order)
    assert row["status"] == "failed"
    assert row["reason"].startswith("modulus_unsound")
    pushes: Sequence[object] = await vault.pushes(ANN)
    assert [type(push) for push in pushes] == [TaskFailed]
    for who in (A, B):
        assert await score(vault, who) >= 50.0


def _with_an_element_of_order_three() -> tuple[Trapdoor, int]:
    """Primes p with 3 dividing p - 1, and an element of order 3 modulo the product."""
    p = next(c for c in range(2**63 + 1, 2**63 + 10_000, 2) if c % 3 == 1 and gmpy2.is_prime(c))
    q = next(c for c in range(p + 2, p + 10_000, 2) if c % 3 == 1 and gmpy2.is_prime(c))
    root = next(r for r in (pow(x, (p - 1) // 3, p) for x in range(2, 50)) if r != 1)
    # 1 modulo q and `root` modulo p
    return Trapdoor(p, q), (1 + q * ((root - 1) * pow(q, -1, p) % p)) % (p * q)


def _forged_by_the_maker(statement: Statement, trapdoor: Trapdoor, error: int) -> tuple[int, Proof]:
    """A wrong answer and its proof that holds. `error` has order 3.

    Only two midpoints of a round differ and are wrong, each suits its challenge once in three: a round leaves the
    error with chance 4/9, so the ten rounds of t = 10^6, for both claims, with chance (4/9)^20, below 10^-7.
    """
    for wrong_by in (error, error * error):
        proof = Forger(statement, trapdoor, wrong_by, prime=3).forge(tries=3)
        with suppress(BadProof):
            return verify(statement, proof), proof
    raise AssertionError("the challenges suited none of the midpoints")


# who learns what


async def test_a_proof_is_sealed_and_is_in_no_log(vault: Vault) -> None:
    _, [a, _] = await start(vault, PROVED)
    raw = proof_of(await vault.statement(a))
    await vault.prove(A, a)
    [row] = await vault.rows("SELECT * FROM proofs")
    assert raw[1:] not in row["proof"]
    await vault.judge()
    text = repr((vault.effects, vault.jobs, await vault.rows("SELECT * FROM outbox"), list(vault.system.jobs)))
    assert raw[1:17].hex() not in text
    assert str(raw[1:17])[2:-1] not in text


async def test_a_solver_learns_nothing_of_the_others_proof(vault: Vault) -> None:
    _, [a, b] = await start(vault, PROVED)
    await vault.prove(A, a)
    await vault.judge()
    assert [type(push) for push in await vault.pushes(B)] == [AssignmentEnded]
    assert await ended(vault, B) == [(b, "released")]


@pytest.mark.parametrize("head_start", [0.0, 0.9])
async def test_a_factor_refutes_a_forged_proof_but_not_of_who_was_handed_a_checkpoint(
    make_vault: MakeVault, head_start: float
) -> None:
    """Who went on from what the server had checked may have been led astray by whoever made that."""
    trapdoor, error = _with_an_element_of_order_three()
    vault = await make_vault()
    task, [a, _] = await start(vault, SubmitPuzzle(t=1_000_000, baseg=3, product=trapdoor.p * trapdoor.q))
    statement = await vault.statement(a)
    lie, proof = _forged_by_the_maker(statement, trapdoor, error)
    await vault.prove(A, a, answer=lie, proof=proof.encode(statement.puzzle.modulus))
    await vault.judge()
    given = Query("given", "UPDATE task_assignments SET head_start = :share WHERE db_key = :key")
    await vault.database.transact([lambda tx: tx.run(given, share=head_start, key=a)])
    before = await score(vault, A)
    await vault.give(ANN, Complain(task=task, kind="wrong_answer", factor=trapdoor.p))
    await vault.judge()
    assert (await vault.task(task))["status"] == "failed"
    assert await vault.status(a) == ("valid" if head_start else "invalid")
    assert (await score(vault, A) < before) is not bool(head_start)


async def test_nothing_comes_late_where_nothing_is_proved(vault: Vault) -> None:
    _, [a, b] = await start(vault, COMPUTED)
    vault.now_ms += LONG_MS
    await vault.answer(A, a, answer_to(COMPUTED))
    [told] = [push for push in await vault.pushes(B) if isinstance(push, AssignmentEnded)]
    assert told.late_until is None
    with pytest.raises(MessageError) as caught:
        await vault.prove(B, b, answer=answer_to(COMPUTED), proof=b"\x07rubbish")
    assert caught.value.code is Code.ASSIGNMENT_ENDED


async def test_a_late_proof_has_its_form_too(vault: Vault) -> None:
    _, b = await released(vault)
    with pytest.raises(MessageError) as caught:
        await vault.prove(B, b, answer=RIGHT, proof=b"\x07rubbish")
    assert caught.value.code is Code.PROOF_MALFORMED
    assert await vault.prove(B, b) == "pending"
