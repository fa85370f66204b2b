"""What moves a solver's or client's score in the vault (design §7, seed 000 §3.4), and what follows from it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.puzzle import Trapdoor, commit
from protocol.vault import StandingChanged, SubmitPuzzle, UpdateStatus
from tests.vault_server.people import client
from tests.vault_server.systems.vault.conftest import MakeVault
from tests.vault_server.systems.vault.grievances import DAY_MS, moved, score
from tests.vault_server.systems.vault.harness import COMPUTED, HOUR_MS, MODULUS, P, Q, Vault, answer_to
from tests.vault_server.systems.vault.stories import ANN, WRONG, A, B, start
from vault_server.core.operation import Caller, Endpoint, Transaction
from vault_server.systems.vault.evidence import PENALTIES, forget_good_days
from vault_server.systems.vault.rules import (
    COSTS_TRUST,
    HALF_LIFE_MS,
    TRUSTED_MAX,
    WEIGHTS,
    Evidence,
    Record,
    Weight,
    trusted_less,
    trusted_more,
)

BOB, EVE = client("bob"), client("eve")


async def right(vault: Vault, by: Caller = ANN, order: SubmitPuzzle = COMPUTED, took_ms: int = 0) -> str:
    """One more right answer of A to somebody: the task."""
    task = (await vault.submit(by, order)).task
    vault.now_ms += took_ms
    await vault.answer(A, await vault.key(task, A), LONG_ANSWER if order is LONG else answer_to(order))
    return task


async def punish(vault: Vault, who: Caller) -> None:
    """As the rate limit does after repeated violations."""

    def work(tx: Transaction) -> None:
        PENALTIES[who.endpoint](tx, who.fingerprint, vault.now_ms)

    [outcome] = await vault.database.transact([work])
    assert outcome.error is None, outcome.error


# the table and the formula


def test_every_piece_of_evidence_has_a_weight_on_one_side() -> None:
    assert set(WEIGHTS) == set(Evidence)
    for weight in WEIGHTS.values():
        assert min(weight) == 0 < max(weight)
    assert WEIGHTS[Evidence.VALID_ANSWER].good == 1
    assert WEIGHTS[Evidence.ANSWER_REFUTED].bad == 20  # design §7: a failed proof weighs 20
    assert all(WEIGHTS[evidence].bad for evidence in COSTS_TRUST)


@pytest.mark.parametrize(
    ("good", "bad", "expected"), [(0, 0, 50), (1, 0, 200 / 3), (0, 2, 25), (0, 20, 100 / 22), (98, 0, 99), (3, 3, 50)]
)
def test_a_score_is_the_share_of_good(good: float, bad: float, expected: float) -> None:
    assert Record(good, bad, 0).score == pytest.approx(expected)


def test_evidence_weighs_half_after_its_half_life() -> None:
    later = Record(8, 4, 0).with_evidence(Weight(1, 0), HALF_LIFE_MS)
    assert (later.good, later.bad, later.at_ms) == (5, 2, HALF_LIFE_MS)
    again = Record(8, 4, 0).with_evidence(Weight(0, 2), 2 * HALF_LIFE_MS)
    assert (again.good, again.bad) == (2, 3)


def test_a_clock_that_goes_back_makes_nothing_weigh_more() -> None:
    assert Record(8, 4, 1000).with_evidence(Weight(1, 0), 0) == Record(9, 4, 0)


weights = st.sampled_from([*WEIGHTS.values()])


@given(st.lists(st.tuples(weights, st.integers(0, 10**11)), max_size=30))
def test_every_record_has_a_score_within_bounds(steps: list[tuple[Weight, int]]) -> None:
    record = Record(0, 0, 0)
    for weight, passed in steps:
        before = record.score
        record = record.with_evidence(weight, record.at_ms + passed)
        assert 0 < record.score < 100
        if passed == 0:
            assert (record.score > before) == (weight.good > 0)


@pytest.mark.parametrize(
    ("trusted", "more", "less"), [(1, 2, 1), (2, 4, 1), (3, 6, 1), (TRUSTED_MAX, TRUSTED_MAX, 512), (600, 1024, 300)]
)
def test_trust_doubles_and_halves(trusted: int, more: int, less: int) -> None:
    assert (trusted_more(trusted), trusted_less(trusted)) == (more, less)


# good


async def test_a_pair_counts_once_a_day(vault: Vault) -> None:
    await vault.join(A, capacity=9)
    vault.now_ms = (vault.now_ms // DAY_MS + 1) * DAY_MS  # midnight
    for _ in range(3):
        await right(vault)
    assert await score(vault, A) == 66.666667
    await right(vault, BOB)
    assert await score(vault, A) == pytest.approx(75, abs=0.01)
    vault.now_ms += DAY_MS - 1
    await right(vault)
    assert len(await moved(vault, A)) == 2
    vault.now_ms += 1
    task = await right(vault)
    assert await score(vault, A) == pytest.approx(80, abs=0.5)
    [*_, last] = [push for push in await vault.pushes(A) if isinstance(push, StandingChanged)]
    assert (last.standing, last.reason, last.task) == ("solver", "valid answer", task)
    assert last.reputation_score == await score(vault, A)
    assert (await vault.solver(A))["valid_answers"] == 6


async def test_yesterdays_pairs_are_forgotten_and_todays_are_not(vault: Vault) -> None:
    await vault.join(A, capacity=9)
    await right(vault)
    vault.now_ms += DAY_MS
    await right(vault, BOB)
    [outcome] = await vault.database.transact([lambda tx: forget_good_days(tx, vault.now_ms)])
    assert outcome.value == 1
    await right(vault, BOB)
    assert len(await moved(vault, A)) == 2


LONG_ANSWER = Trapdoor(P, Q).power(3, 20_000_000)
LONG = SubmitPuzzle(t=20_000_000, baseg=3, product=MODULUS, commitment=commit(LONG_ANSWER, MODULUS))
"""The fastest known kernel needs 4 ms for it."""


@pytest.mark.parametrize(("took_ms", "credible"), [(0, False), (3, False), (4, True), (10, True)])
async def test_an_answer_faster_than_any_kernel_earns_no_standing(vault: Vault, took_ms: int, credible: bool) -> None:
    await vault.join(A)
    await right(vault, order=LONG, took_ms=took_ms)
    row = await vault.solver(A)
    assert (row["valid_answers"], row["trusted"]) == (1, 2 if credible else 1)  # it is right, whoever knew it
    assert await score(vault, A) == (66.666667 if credible else 50.0)
    await right(vault)  # what counted for nothing has not used up the day
    assert await score(vault, A) == 66.666667


async def test_answers_earn_trust_up_to_what_is_announced(vault: Vault) -> None:
    await vault.join(A)
    await vault.update(A, 1)
    seen = []
    for _ in range(4):
        await right(vault)
        row = await vault.solver(A)
        seen.append((row["announced"], row["trusted"], row["capacity"]))
    assert seen == [(1, 2, 1), (1, 4, 1), (1, 8, 1), (1, 16, 1)]


async def test_capacity_is_the_lesser_of_trusted_and_announced(vault: Vault) -> None:
    await vault.join(A)
    order = UpdateStatus(state="ready", capacity=5, speeds={"2048": 1000})
    assert (await vault.give(A, order)).capacity == 1
    for expected in (2, 4, 5, 5):
        await right(vault)
        assert (await vault.solver(A))["capacity"] == expected
    assert (await vault.give(A, order)).capacity == 5


# bad


async def test_a_wrong_answer_costs_standing_and_half_of_the_trust(vault: Vault) -> None:
    task, [a, _] = await start(vault, COMPUTED)
    await vault.answer(A, a, WRONG)
    assert await moved(vault, A) == [(round(100 / 22 - 50, 6), "answer proved wrong")]
    row = await vault.solver(A)
    assert (row["trusted"], row["capacity"], row["valid_answers"]) == (512, 4, 0)
    assert [line["fingerprint"] for line in vault.logged("standing.changed")] == [A.fingerprint]
    assert (await vault.task(task))["status"] == "assigned"


async def test_less_trust_is_less_capacity_at_once(vault: Vault) -> None:
    await vault.join(A, capacity=8)
    await vault.trust(A, 8)
    for expected in (4, 2, 1, 1):
        task = (await vault.submit(ANN)).task
        await vault.answer(A, await vault.key(task, A), WRONG)
        row = await vault.solver(A)
        assert (row["trusted"], row["capacity"]) == (expected, expected)


async def test_a_missed_deadline_costs_both(vault: Vault) -> None:
    task, _ = await start(vault, COMPUTED)
    await vault.wait(HOUR_MS)
    for who in (A, B):
        assert await moved(vault, who) == [(-25.0, "deadline missed")]
        assert (await vault.solver(who))["trusted"] == 512
    assert [line["blamed"] for line in vault.logged("assignment.expired")] == [True, True]
    assert await score(vault, ANN) == 50
    assert (await vault.task(task))["status"] == "waiting"


async def test_who_hands_back_in_time_loses_nothing(vault: Vault) -> None:
    _, [a, _] = await start(vault, COMPUTED)
    await vault.hand_back(A, a)
    assert (await moved(vault, A), (await vault.solver(A))["trusted"]) == ([], 1024)


async def test_a_deadline_below_the_arithmetic_is_nobodys_fault(make_vault: MakeVault) -> None:
    vault = await make_vault(deadline_ms_min=1, deadline_ms_max=3)
    await start(vault, SubmitPuzzle(t=20_000_000, baseg=3, product=MODULUS, proof="none"))
    await vault.wait(3)
    assert [line["blamed"] for line in vault.logged("assignment.expired")] == [False, False]
    assert await moved(vault, A) == []
    assert (await vault.solver(A))["trusted"] == 1024


async def test_bands_follow_scores(vault: Vault) -> None:
    await vault.join(A, capacity=9)
    for number, who in enumerate((ANN, BOB, EVE, client("dan"), client("fay"))):
        await right(vault, who)
        assert (await vault.solver(A))["band"] == (2 if number < 4 else 8)  # 100 · 6 / 7
    task = (await vault.submit(ANN)).task
    await vault.answer(A, await vault.key(task, A), WRONG)
    assert (await vault.solver(A))["band"] == 2  # 100 · 6 / 27


async def test_forgetting_comes_with_the_next_evidence(vault: Vault) -> None:
    _, [a, _] = await start(vault, COMPUTED)
    await vault.answer(A, a, WRONG)
    vault.now_ms += 2 * HALF_LIFE_MS
    assert await score(vault, A) == round(100 / 22, 6)  # nothing moves by itself
    await right(vault)
    assert await score(vault, A) == round(100 * 2 / (1 + 5 + 2), 6)
    assert [reason for _, reason in await moved(vault, A)] == ["answer proved wrong", "valid answer"]


# violations


async def test_repeated_violations_cost_either_side_its_own_standing(vault: Vault) -> None:
    await vault.join(A)
    await vault.submit(ANN)
    await punish(vault, A)
    await punish(vault, ANN)
    for who in (A, ANN):
        assert await moved(vault, who) == [(-30.0, "repeated violations of the rate limit")]
        assert await score(vault, who) == 20.0
    assert (await vault.solver(A))["trusted"] == 1
    await punish(vault, A)
    assert await score(vault, A) == 12.5


async def test_one_key_has_two_standings(vault: Vault) -> None:
    both = Caller(A.fingerprint, A.hotkey, Endpoint.CLIENT, A.address)
    await vault.join(A)
    await vault.submit(both)
    await punish(vault, both)
    assert (await score(vault, both), await score(vault, A)) == (20.0, 50.0)
    assert [push.standing for push in await vault.pushes(both) if isinstance(push, StandingChanged)] == ["client"]
    assert await moved(vault, A) == []


async def test_who_never_took_part_has_no_standing_to_lose(vault: Vault) -> None:
    await punish(vault, A)
    await punish(vault, ANN)
    assert await vault.rows("SELECT * FROM score_history") == []


async def test_what_moves_is_told_once_and_acknowledged(vault: Vault) -> None:
    await vault.join(A)
    await right(vault)
    assert len(await moved(vault, A)) == 1
    await vault.acknowledge(A)
    assert await vault.pushes(A) == []
