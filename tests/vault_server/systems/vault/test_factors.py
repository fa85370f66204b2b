"""Design §7: a client may reveal a factor of its product; arithmetic then convicts, or rejects for good."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from protocol.errors import Code
from protocol.puzzle import Puzzle, commit, is_prime, square_repeatedly
from protocol.vault import SubmitPuzzle
from tests.vault_server.people import client
from tests.vault_server.systems.vault.conftest import MakeVault
from tests.vault_server.systems.vault.grievances import (
    agreed,
    complain,
    complaint,
    moved,
    raised,
    refusal,
    respond,
    ruled,
    score,
)
from tests.vault_server.systems.vault.harness import AGREED, COMMITTED, HOUR_MS, MODULUS, P, Q, R, Vault, answer_to
from tests.vault_server.systems.vault.stories import ANN, WRONG, A, B, C, start
from vault_server.core.operation import SERVER
from vault_server.systems.vault.arithmetic import Answers, Comparison, compare
from vault_server.systems.vault.orders import RecordComparison
from vault_server.systems.vault.records import open_factor

RIGHT = answer_to(AGREED)
BOTH_RIGHT, BOTH_WRONG = (RIGHT, RIGHT), (WRONG, WRONG)
THREE_PRIMES = SubmitPuzzle(t=50_000, baseg=3, product=P * Q * R, proof="none")
REFUTED = (round(100 / 22 - 50, 6), "answer proved wrong")
VALID = (16.666667, "valid answer")
PROVED_WRONG = ("upheld", "the factor proves the answer wrong")
PROVED_RIGHT = ("rejected", "the factor shows the answer to be right")


def right_at(prime: int, order: SubmitPuzzle) -> int:
    """An answer that is right modulo this prime of three, and wrong modulo the two others."""
    rest = order.product // prime
    return (answer_to(order) + prime * pow(prime, -1, rest)) % order.product


# what is no factor


@pytest.mark.parametrize(
    "factor",
    [
        pytest.param(0, id="0"),
        pytest.param(1, id="1"),
        pytest.param(2, id="2"),
        pytest.param(MODULUS, id="N"),
        pytest.param(R, id="another prime"),
        pytest.param(P * R, id="composite"),
        pytest.param(P + 2, id="a neighbour"),
        pytest.param(2**4253 - 1, id="a prime longer than any product"),
        pytest.param(MODULUS * P, id="a multiple"),
    ],
)
async def test_what_is_no_prime_factor_is_refused(vault: Vault, factor: int) -> None:
    task, _ = await agreed(vault)
    assert (await refusal(vault, task, factor=factor)).code is Code.NOT_A_FACTOR
    taken = await complain(vault, task)
    assert (await refusal(vault, task, factor=factor)).code is Code.NOT_A_FACTOR
    assert (await complaint(vault, taken.complaint))["status"] == "asked"


async def test_a_product_of_two_of_three_primes_is_no_prime_factor(vault: Vault) -> None:
    task, _ = await agreed(vault, order=THREE_PRIMES)
    assert (await refusal(vault, task, factor=P * Q)).code is Code.NOT_A_FACTOR


async def test_somebody_elses_task_is_not_factored(vault: Vault) -> None:
    task, _ = await agreed(vault)
    assert (await refusal(vault, task, factor=P, by=client("bob"))).code is Code.TASK_NOT_FOUND


async def test_what_only_seems_to_be_prime_convicts_nobody(vault: Vault) -> None:
    """A client can make a product of pseudoprimes, modulo which Fermat's reduction of 2^t is wrong."""
    k = next(k for k in range(11_000, 10**6) if all(is_prime(c * k + 1) for c in (6, 12, 18)))
    pseudoprime = math.prod(c * k + 1 for c in (6, 12, 18))
    order = SubmitPuzzle(t=50_000, baseg=3, product=pseudoprime * Q, proof="none")
    task, _ = await agreed(vault, (answer_to(order),) * 2, order)
    await complain(vault, task, factor=pseudoprime)
    await vault.judge()
    assert await ruled(vault, ANN) == [
        ("rejected", "the factor only seemed to be prime, and says nothing of the answer")
    ]
    assert [await score(vault, who) for who in (A, B, ANN)] == [50.0, 50.0, 25.0]


# conviction


@pytest.mark.parametrize("factor", [P, Q])
async def test_two_that_agreed_on_a_wrong_answer_are_convicted(vault: Vault, factor: int) -> None:
    task, [a, b] = await agreed(vault, BOTH_WRONG)
    taken = await complain(vault, task, factor=factor)
    assert (taken.status, taken.ruling_by) == ("open", None)
    assert (await vault.task(task))["status"] == "answered"
    await vault.judge()
    row = await vault.task(task)
    assert (row["status"], row["answer"]) == ("failed", None)
    assert row["reason"] == f"complaint {taken.complaint} was upheld: the factor proves the answer wrong"
    for who, key in ((A, a), (B, b)):
        assert await vault.status(key) == "invalid"
        assert await ruled(vault, who) == [PROVED_WRONG]
        assert await moved(vault, who) == [REFUTED]
        assert (await vault.solver(who))["trusted"] == 512
    assert await ruled(vault, ANN) == [PROVED_WRONG]
    assert await score(vault, ANN) == 50.0
    for again in (factor, None):
        assert (await refusal(vault, task, factor=again)).code is Code.COMPLAINT_EXISTS


async def test_liars_that_used_up_a_task_are_convicted_by_a_factor(make_vault: MakeVault) -> None:
    vault = await make_vault(assignments_max=2)
    task, keys = await start(vault, COMMITTED)
    for who, key in zip((A, B), keys, strict=True):
        await vault.answer(who, key, WRONG)
    assert (await vault.task(task))["status"] == "failed"
    assert (await refusal(vault, task)).code is Code.NOTHING_TO_COMPLAIN
    await complain(vault, task, factor=P)
    await vault.judge()
    assert await ruled(vault, ANN) == [PROVED_WRONG]
    assert [await vault.status(key) for key in keys] == ["invalid", "invalid"]
    assert [await moved(vault, who) for who in (A, B)] == [[REFUTED], [REFUTED]]
    assert (await vault.task(task))["status"] == "failed"


async def test_solvers_that_were_right_against_a_wrong_commitment_are_confirmed(make_vault: MakeVault) -> None:
    vault = await make_vault(assignments_max=2)
    task, keys = await start(vault, replace(COMMITTED, commitment=b"\0" * 32))
    for who, key in zip((A, B), keys, strict=True):
        await vault.answer(who, key, answer_to(COMMITTED))
    assert (await vault.task(task))["status"] == "failed"
    await complain(vault, task, factor=Q)
    await vault.judge()
    assert await ruled(vault, ANN) == [("rejected", "the factor shows the answer to be right")]
    assert [await vault.status(key) for key in keys] == ["valid", "valid"]
    assert await score(vault, ANN) == 25.0


async def test_a_factor_says_nothing_of_a_task_that_nobody_answered(make_vault: MakeVault) -> None:
    vault = await make_vault(assignments_max=2)
    task, _ = await start(vault, COMMITTED)
    await vault.wait(30 * 24 * 3_600_000)
    row = await vault.task(task)
    assert row["status"] == "failed"
    vault.now_ms = row["complaint_deadline"]
    assert (await refusal(vault, task, factor=P)).code is Code.NOTHING_TO_COMPLAIN


async def test_an_answer_that_was_not_fetched_is_not_given_any_more_once_it_is_proved_wrong(vault: Vault) -> None:
    task, _ = await agreed(vault, BOTH_WRONG)
    await complain(vault, task, factor=P)
    await vault.judge()
    assert [type(push).__name__ for push in await vault.pushes(ANN)] == ["ComplaintRuled", "TaskFailed"]
    await vault.acknowledge(ANN)
    assert await vault.rows("SELECT * FROM outbox WHERE endpoint = 'client'") == []


async def test_right_modulo_one_prime_only_is_wrong(vault: Vault) -> None:
    """The cofactor is prime too, and is looked at."""
    half_right = (RIGHT + P * pow(P, -1, Q)) % MODULUS
    assert (half_right - RIGHT) % P == 0 != (half_right - RIGHT) % Q
    task, [a, _] = await agreed(vault, (half_right, half_right))
    await complain(vault, task, factor=P)
    await vault.judge()
    assert await ruled(vault, ANN) == [PROVED_WRONG]
    assert await vault.status(a) == "invalid"


async def test_the_one_that_was_right_beside_two_that_agreed_is_confirmed(vault: Vault) -> None:
    task, [a, b] = await start(vault, AGREED)
    await vault.join(C)
    await vault.answer(A, a, WRONG)
    await vault.answer(B, b, RIGHT)
    c = await vault.key(task, C)
    await vault.answer(C, c, WRONG)
    await complain(vault, task, factor=P)
    await vault.judge()
    assert [await vault.status(key) for key in (a, b, c)] == ["invalid", "valid", "invalid"]
    assert await moved(vault, B) == [VALID]
    assert (await vault.solver(B))["valid_answers"] == 1
    assert await score(vault, A) == await score(vault, C) == pytest.approx(100 / 22, abs=1e-6)
    assert (await vault.task(task))["status"] == "failed"


# rejection


async def test_two_that_were_right_are_confirmed_and_earn_what_they_had_not(vault: Vault) -> None:
    task, [a, b] = await agreed(vault, BOTH_RIGHT)
    await complain(vault, task, factor=P)
    await vault.judge()
    for who, key in ((A, a), (B, b)):
        assert await vault.status(key) == "valid"
        assert await ruled(vault, who) == [PROVED_RIGHT]
        assert await moved(vault, who) == [VALID]
        assert (await vault.solver(who))["valid_answers"] == 1
    assert await ruled(vault, ANN) == [PROVED_RIGHT]
    assert await moved(vault, ANN) == [(-25.0, "complaint rejected")]
    row = await vault.task(task)
    assert (row["status"], row["judged_by"]) == ("answered", "agreed")
    assert (await refusal(vault, task, factor=Q)).code is Code.COMPLAINT_EXISTS  # this is final


async def test_who_answered_something_else_is_convicted_even_when_the_complaint_is_rejected(vault: Vault) -> None:
    task, [a, b] = await start(vault, AGREED)
    await vault.join(C)
    await vault.answer(A, a, RIGHT)
    await vault.answer(B, b, WRONG)
    c = await vault.key(task, C)
    await vault.answer(C, c, RIGHT)
    await complain(vault, task, factor=Q)
    await vault.judge()
    assert [await vault.status(key) for key in (a, b, c)] == ["valid", "invalid", "valid"]
    assert await ruled(vault, ANN) == [PROVED_RIGHT]
    assert (await vault.task(task))["status"] == "answered"


# three primes: half of the truth


async def test_a_factor_of_three_confirms_nothing(vault: Vault) -> None:
    task, [a, b] = await agreed(vault, (answer_to(THREE_PRIMES),) * 2, THREE_PRIMES)
    await complain(vault, task, factor=P)
    await vault.judge()
    assert await ruled(vault, ANN) == [("rejected", "the factor shows the answer to be right, as far as it reaches")]
    assert await vault.status(a) == await vault.status(b) == "unproved"
    assert await moved(vault, A) == await moved(vault, B) == []
    assert await score(vault, ANN) == 25.0


@pytest.mark.parametrize(("factor", "convicts"), [(P, False), (Q, True), (R, True)])
async def test_a_factor_of_three_convicts_what_it_reaches(vault: Vault, factor: int, convicts: bool) -> None:
    task, [a, _] = await agreed(vault, (right_at(P, THREE_PRIMES),) * 2, THREE_PRIMES)
    await complain(vault, task, factor=factor)
    await vault.judge()
    assert await vault.status(a) == ("invalid" if convicts else "unproved")
    assert (await vault.task(task))["status"] == ("failed" if convicts else "answered")


# when


async def test_a_factor_ends_the_hearing(vault: Vault) -> None:
    task, [a, _] = await agreed(vault, BOTH_WRONG)
    asked = await complain(vault, task)
    taken = await complain(vault, task, factor=P)
    assert (taken.complaint, taken.status) == (asked.complaint, "open")
    assert await raised(vault, A) == []
    assert (await refusal(vault, task, factor=Q)).code is Code.COMPLAINT_EXISTS
    with pytest.raises(Exception, match="can no longer change"):
        await respond(vault, A, asked.complaint, a, "stands_by")
    await vault.judge()
    assert await ruled(vault, ANN) == [PROVED_WRONG]
    assert len(await vault.rows("SELECT * FROM complaints")) == 1


async def test_a_factor_settles_what_was_undecided(vault: Vault) -> None:
    task, _ = await agreed(vault, BOTH_RIGHT)
    first = await complain(vault, task)
    await vault.wait(HOUR_MS)
    second = await complain(vault, task, factor=P)
    assert second.complaint != first.complaint
    await vault.judge()
    assert [ruling for ruling, _ in await ruled(vault, ANN)] == ["undecided", "rejected"]
    assert (await refusal(vault, task, factor=P)).code is Code.COMPLAINT_EXISTS


async def test_a_task_settles_only_after_its_factor_has_spoken(vault: Vault) -> None:
    task, _ = await agreed(vault, BOTH_WRONG)
    vault.now_ms = (await vault.task(task))["complaint_deadline"]
    await complain(vault, task, factor=P)
    await vault.wait(HOUR_MS)
    assert (await vault.task(task))["status"] == "answered"
    await vault.judge()
    assert (await vault.task(task))["status"] == "failed"
    await vault.wait(1)  # both have been convicted: whoever waited for them is seen to
    assert await vault.rows("SELECT * FROM deadlines") == []


@pytest.mark.parametrize("asked_before", [False, True])
async def test_a_comparison_that_a_killed_server_left_undone_is_found(vault: Vault, asked_before: bool) -> None:
    task, _ = await agreed(vault, BOTH_WRONG)
    if asked_before:
        await complain(vault, task)
    await complain(vault, task, factor=P)
    vault.jobs.clear()
    await vault.restart()
    assert len(vault.jobs) == 1
    [due] = vault.jobs
    await vault.judge()
    await vault.judge_one(due)  # found twice: nothing is left to do
    assert await ruled(vault, ANN) == [PROVED_WRONG]
    await vault.restart()
    assert vault.jobs == []


async def test_a_ruling_is_not_made_twice(vault: Vault) -> None:
    task, [a, b] = await agreed(vault, BOTH_WRONG)
    taken = await complain(vault, task, factor=P)
    await vault.judge()
    for key in (taken.complaint, 999_999):
        await vault.give(SERVER, RecordComparison(key, Comparison((), (a, b), is_whole=True)))
    assert await vault.status(a) == "invalid"
    assert len(await ruled(vault, ANN)) == 1


async def test_a_commitment_to_a_wrong_answer_is_overturned_by_its_maker(vault: Vault) -> None:
    """The client gave the commitment; whoever matched it stays as it was judged."""
    order = SubmitPuzzle(t=50_000, baseg=3, product=MODULUS, commitment=commit(WRONG, MODULUS), proof="none")
    task, [a, _] = await start(vault, order)
    assert await vault.answer(A, a, WRONG) == "valid"
    await complain(vault, task, factor=P)
    await vault.judge()
    assert await ruled(vault, ANN) == [PROVED_WRONG]
    assert (await vault.task(task))["status"] == "failed"
    assert await vault.status(a) == "valid"


# secrets


async def test_a_factor_is_sealed_and_is_nowhere_else(vault: Vault) -> None:
    task, _ = await agreed(vault, BOTH_WRONG)
    taken = await complain(vault, task, factor=P)
    row = await complaint(vault, taken.complaint)
    assert P.to_bytes(8, "big") not in row["factor"]
    assert open_factor(vault.parts.cipher, row) == P
    await vault.judge()
    said = [await vault.pushes(who) for who in (ANN, A, B)]
    rest = [await vault.rows(f"SELECT * FROM {name}") for name in ("outbox", "score_history", "tasks", "deadlines")]
    text = repr((taken, vault.effects, said, rest, list(vault.system.jobs)))
    for secret in (str(P), f"{P:x}", str(Q), f"{Q:x}"):
        assert secret not in text.lower()
    assert str(P) not in repr(Answers(Puzzle(1, 3, MODULUS), P, {1: WRONG}))


async def test_factors_follow_a_new_master_key(vault: Vault) -> None:
    places = {(place.table, place.column) for place in vault.system.sealed}
    assert ("complaints", "factor") in places


# the arithmetic itself


@pytest.mark.parametrize("squarings", [1, 2, 63, 1000])
@pytest.mark.parametrize("base", [2, 3, MODULUS - 2])
def test_comparing_is_computing(squarings: int, base: int) -> None:
    right = square_repeatedly(base, squarings, MODULUS)
    found = compare(Answers(Puzzle(squarings, base, MODULUS), P, {1: right, 2: right ^ 2, 3: MODULUS - right}))
    assert found == Comparison(wrong=(2, 3), right=(1,), is_whole=True)


def test_where_the_factor_divides_the_base_the_answer_is_0() -> None:
    """Submission refuses such a base; the comparison would be right all the same."""
    right = square_repeatedly(P, 10, MODULUS)
    assert right % P == 0
    found = compare(Answers(Puzzle(10, P, MODULUS), P, {1: right, 2: right + 1}))
    assert found == Comparison(wrong=(2,), right=(1,), is_whole=True)


async def test_the_check_before_the_transaction_knows_no_row(make_vault: MakeVault) -> None:
    vault = await make_vault()
    task, _ = await start(vault, AGREED)
    assert (await refusal(vault, task, factor=P)).code is Code.NOTHING_TO_COMPLAIN
