"""Design §7, complaints: when they are heard, and `late` and `no_answer`, which the record settles."""

from __future__ import annotations

import pytest

from protocol.errors import Code
from protocol.vault import CancelTask, ComplaintRuled, SubmitPuzzle
from tests.vault_server.people import client
from tests.vault_server.systems.vault.conftest import MakeVault
from tests.vault_server.systems.vault.grievances import (
    DAY_MS,
    agreed,
    complain,
    complaint,
    moved,
    refusal,
    ruled,
    score,
)
from tests.vault_server.systems.vault.harness import AGREED, COMMITTED, COMPUTED, HOUR_MS, MODULUS, P, Vault, answer_to
from tests.vault_server.systems.vault.stories import ANN, WRONG, A, B, C, start

KINDS = ["late", "no_answer", "wrong_answer"]


# when


@pytest.mark.parametrize("kind", KINDS)
async def test_somebody_elses_task_does_not_exist(vault: Vault, kind: str) -> None:
    task, _ = await agreed(vault)
    assert (await refusal(vault, task, kind, by=client("bob"))).code is Code.TASK_NOT_FOUND
    assert (await refusal(vault, "0" * 32, kind)).code is Code.TASK_NOT_FOUND


@pytest.mark.parametrize("kind", ["late", "no_answer"])
async def test_before_the_promised_time_it_is_too_early(vault: Vault, kind: str) -> None:
    task, _ = await start(vault, COMPUTED)
    promised = (await vault.task(task))["promised_by"]
    vault.now_ms = promised
    refused = await refusal(vault, task, kind)
    assert (refused.code, refused.retry_after_ms) == (Code.COMPLAINT_EARLY, 1)
    vault.now_ms += 1
    assert (await complain(vault, task, kind)).status == "upheld"


async def test_a_task_that_failed_early_is_not_late_before_its_promised_time(make_vault: MakeVault) -> None:
    vault = await make_vault(assignments_max=2)
    task, keys = await start(vault, COMPUTED)
    for who, key in zip((A, B), keys, strict=True):
        await vault.answer(who, key, WRONG)
    row = await vault.task(task)
    assert row["status"] == "failed"
    refused = await refusal(vault, task, "late")
    assert (refused.code, refused.retry_after_ms) == (Code.COMPLAINT_EARLY, row["promised_by"] + 1 - vault.now_ms)
    vault.now_ms = row["promised_by"] + 1
    assert (await complain(vault, task, "late")).status == "upheld"


@pytest.mark.parametrize("wait", [False, True])
async def test_of_what_has_no_answer_nothing_can_be_wrong(vault: Vault, wait: bool) -> None:
    task, _ = await start(vault, COMPUTED)
    if wait:
        vault.now_ms = (await vault.task(task))["promised_by"] + 1
    assert (await refusal(vault, task)).code is Code.NOTHING_TO_COMPLAIN


@pytest.mark.parametrize("kind", KINDS)
async def test_a_cancelled_task_takes_no_complaint(vault: Vault, kind: str) -> None:
    task, _ = await start(vault, COMPUTED)
    await vault.give(ANN, CancelTask(task=task))
    await vault.wait(DAY_MS)
    assert (await refusal(vault, task, kind)).code is Code.COMPLAINT_LATE


@pytest.mark.parametrize("kind", KINDS)
async def test_until_the_complaint_deadline_and_no_longer(vault: Vault, kind: str) -> None:
    first, _ = await agreed(vault)
    second = (await vault.submit(ANN, AGREED)).task
    for who in (A, B):
        await vault.answer(who, await vault.key(second, who), WRONG)
    until = (await vault.task(first))["complaint_deadline"]
    assert (await vault.task(second))["complaint_deadline"] == until
    await vault.wait(until - vault.now_ms)
    assert (await complain(vault, first, kind)).status in ("asked", "rejected")
    vault.now_ms += 1  # the alarm may be late
    assert (await refusal(vault, second, kind)).code is Code.COMPLAINT_LATE
    await vault.wait(0)
    assert (await vault.task(second))["status"] == "settled"
    assert (await refusal(vault, second, kind)).code is Code.COMPLAINT_LATE


@pytest.mark.parametrize("kind", KINDS)
async def test_a_failed_task_takes_complaints_until_its_last_deadline_too(make_vault: MakeVault, kind: str) -> None:
    vault = await make_vault(assignments_max=2)
    task, _ = await start(vault, COMPUTED)
    await vault.wait(HOUR_MS)
    row = await vault.task(task)
    assert row["status"] == "failed"
    vault.now_ms = row["complaint_deadline"] + 1
    assert (await refusal(vault, task, kind)).code is Code.COMPLAINT_LATE
    vault.now_ms -= 1
    if kind == "wrong_answer":
        assert (await refusal(vault, task, kind)).code is Code.NOTHING_TO_COMPLAIN
    else:
        assert (await complain(vault, task, kind)).status == "upheld"


@pytest.mark.parametrize("kind", ["late", "no_answer"])
async def test_one_complaint_of_each_kind(vault: Vault, kind: str) -> None:
    task, _ = await start(vault, COMPUTED)
    vault.now_ms = (await vault.task(task))["promised_by"] + 1
    await complain(vault, task, kind)
    again = await refusal(vault, task, kind)
    assert again.code is Code.COMPLAINT_EXISTS
    assert f"({kind}) about task {task} before, and it was ruled: upheld, since " in again.message
    other = "late" if kind == "no_answer" else "no_answer"
    assert (await complain(vault, task, other)).status == "upheld"


@pytest.mark.parametrize("kind", ["late", "no_answer"])
async def test_a_factor_belongs_to_a_wrong_answer_alone(vault: Vault, kind: str) -> None:
    task, _ = await agreed(vault)
    assert (await refusal(vault, task, kind, factor=7)).code is Code.BAD_FIELD


# too many


async def reject(vault: Vault, number: int) -> None:
    """So many complaints of Ann's that are rejected, each an hour after the one before."""
    for _ in range(number):
        task = (await vault.submit(ANN)).task
        await vault.answer(A, await vault.key(task, A), answer_to(COMPUTED))
        assert (await complain(vault, task)).status == "rejected"
        vault.now_ms += HOUR_MS


async def test_too_many_rejected_complaints_limit_a_client(make_vault: MakeVault) -> None:
    vault = await make_vault(complaints_rejected_max=3, complaints_rejected_window_ms=7 * DAY_MS)
    await vault.join(A, capacity=9, state="ready")
    began = vault.now_ms
    await reject(vault, 3)
    task = (await vault.submit(ANN)).task
    await vault.answer(A, await vault.key(task, A), answer_to(COMPUTED))
    for kind in KINDS:
        refused = await refusal(vault, task, kind)
        assert (refused.code, refused.retry_after_ms) == (
            Code.TOO_MANY_COMPLAINTS,
            began + 7 * DAY_MS - vault.now_ms,
        )
        assert "3" in str(refused)
    bob = client("bob")
    his = (await vault.submit(bob)).task
    await vault.answer(A, await vault.key(his, A), answer_to(COMPUTED))
    assert (await complain(vault, his, by=bob)).status == "rejected"


async def test_the_limit_is_counted_in_a_window(make_vault: MakeVault) -> None:
    vault = await make_vault(complaints_rejected_max=3, complaints_rejected_window_ms=6 * HOUR_MS)
    await vault.join(A, capacity=9)
    began = vault.now_ms
    await reject(vault, 3)
    task = (await vault.submit(ANN)).task
    await vault.answer(A, await vault.key(task, A), answer_to(COMPUTED))
    vault.now_ms = began + 6 * HOUR_MS - 1
    assert (await refusal(vault, task)).retry_after_ms == 1
    vault.now_ms += 1
    assert (await complain(vault, task)).status == "rejected"


async def test_complaints_that_wait_for_their_ruling_count_as_if_they_were_rejected(make_vault: MakeVault) -> None:
    vault = await make_vault(complaints_rejected_max=2, complaints_rejected_window_ms=6 * HOUR_MS)
    tasks = [(await agreed(vault, (answer_to(AGREED),) * 2))[0] for _ in range(4)]
    await complain(vault, tasks[0], factor=0xF00000000000002B)
    await complain(vault, tasks[1], factor=0xF00000000000002B)
    waiting = await refusal(vault, tasks[2], factor=0xF00000000000002B)
    assert (waiting.code, waiting.retry_after_ms) == (Code.TOO_MANY_COMPLAINTS, 1000)
    await vault.judge_one(vault.jobs.pop(0))
    rejected = await refusal(vault, tasks[2])
    assert (rejected.code, rejected.retry_after_ms) == (Code.TOO_MANY_COMPLAINTS, 6 * HOUR_MS)
    vault.now_ms += HOUR_MS
    await vault.judge()
    assert (await refusal(vault, tasks[2])).retry_after_ms == 5 * HOUR_MS
    vault.now_ms += 5 * HOUR_MS
    await complain(vault, tasks[2])


# what the record says


async def test_an_answer_in_time_was_not_late(vault: Vault) -> None:
    task, [a, _] = await start(vault, COMPUTED)
    vault.now_ms = (await vault.task(task))["promised_by"]
    await vault.answer(A, a, answer_to(COMPUTED))
    vault.now_ms += 1
    taken = await complain(vault, task, "late")
    assert (taken.status, taken.ruling_by) == ("rejected", None)
    assert await ruled(vault, ANN) == [("rejected", "the answer came before the promised time")]
    assert await moved(vault, ANN) == [(-25.0, "complaint rejected")]
    assert await score(vault, ANN) == 25.0
    assert await score(vault, B) == 50.0
    assert await ruled(vault, A) == await ruled(vault, B) == []


async def test_a_late_answer_was_late_and_who_missed_the_deadline_is_blamed(vault: Vault) -> None:
    task, [a, b] = await start(vault, COMPUTED)
    await vault.join(C, speed=1)
    await vault.wait((await vault.task(task))["promised_by"] - vault.now_ms + 5000)
    assert await vault.status(a) == await vault.status(b) == "expired"
    missed = await score(vault, A)
    assert missed == 25.0  # 100 · 1 / (0 + 2 + 2)
    await vault.answer(C, await vault.key(task, C), answer_to(COMPUTED))
    assert (await complain(vault, task, "late")).status == "upheld"
    assert await ruled(vault, ANN) == [("upheld", "the promised time was missed by 5 s")]
    for who, key in ((A, a), (B, b)):
        assert await ruled(vault, who) == [("upheld", "the promised time was missed by 5 s")]
        [told] = [push for push in await vault.pushes(who) if isinstance(push, ComplaintRuled)]
        assert (told.assignment, told.task, told.kind) == (key, task, "late")
        assert await moved(vault, who) == [(-25.0, "deadline missed"), (-5.0, "complaint upheld")]
        assert await score(vault, who) == 20.0
    assert await ruled(vault, C) == []
    assert (await score(vault, ANN), await moved(vault, ANN)) == (50.0, [])
    assert (await vault.task(task))["status"] == "answered"  # late is not wrong


async def test_no_answer_is_upheld_and_both_kinds_weigh_once(make_vault: MakeVault) -> None:
    vault = await make_vault(assignments_max=2)
    task, _ = await start(vault, COMPUTED)
    await vault.wait(HOUR_MS)
    assert (await complain(vault, task, "no_answer")).status == "upheld"
    assert await score(vault, A) == 20.0
    assert (await complain(vault, task, "late")).status == "upheld"
    assert await score(vault, A) == 20.0
    assert [ruling for ruling, _ in await ruled(vault, A)] == ["upheld", "upheld"]
    assert (await vault.task(task))["status"] == "failed"


async def test_where_nobody_missed_a_deadline_nobody_is_blamed(vault: Vault) -> None:
    task = (await vault.submit(ANN, COMPUTED)).task  # nobody is online
    vault.now_ms = (await vault.task(task))["promised_by"] + 1
    for kind in ("late", "no_answer"):
        assert (await complain(vault, task, kind)).status == "upheld"
    assert await vault.rows("SELECT * FROM complaint_parties") == await vault.rows("SELECT * FROM score_history") == []
    assert (await vault.task(task))["status"] == "waiting"


async def test_an_answer_is_an_answer_however_late(vault: Vault) -> None:
    task, [a, _] = await start(vault, COMPUTED)
    await vault.answer(A, a, answer_to(COMPUTED))
    assert (await complain(vault, task, "no_answer")).status == "rejected"
    assert await ruled(vault, ANN) == [("rejected", "the task has an answer")]


async def test_solvers_that_answered_in_time_owe_nothing(make_vault: MakeVault) -> None:
    vault = await make_vault(assignments_max=2)
    task, keys = await start(vault, COMMITTED)
    for who, key in zip((A, B), keys, strict=True):
        await vault.answer(who, key, WRONG)
    assert (await refusal(vault, task, "no_answer")).code is Code.NOTHING_TO_COMPLAIN
    assert await vault.rows("SELECT * FROM score_history") == []


async def test_who_was_not_blamed_for_its_deadline_is_not_blamed_by_a_complaint(make_vault: MakeVault) -> None:
    """Neither when the server was down, nor when the deadline was shorter than the arithmetic allows."""
    vault = await make_vault(assignments_max=2, deadline_ms_min=1, deadline_ms_max=1)
    task, _ = await start(vault, SubmitPuzzle(t=20_000_000, baseg=3, product=MODULUS, proof="none"))
    await vault.wait(1)
    assert (await vault.task(task))["status"] == "failed"
    assert [line["blamed"] for line in vault.logged("assignment.expired")] == [False, False]
    vault.now_ms += 1
    for kind in ("late", "no_answer"):
        assert (await complain(vault, task, kind)).status == "upheld"
    assert await vault.rows("SELECT * FROM score_history") == []


async def test_after_a_restart_late_is_late_and_nobody_is_to_blame(make_vault: MakeVault) -> None:
    vault = await make_vault(assignments_max=2)
    task, _ = await start(vault, COMPUTED)
    await vault.restart(down_ms=HOUR_MS)
    await vault.wait(HOUR_MS)
    assert (await vault.task(task))["status"] == "failed"
    taken = await complain(vault, task, "late")
    assert (await complaint(vault, taken.complaint))["status"] == "upheld"
    assert len(await ruled(vault, A)) == len(await ruled(vault, B)) == 1
    assert await vault.rows("SELECT * FROM score_history") == []


async def test_what_is_told_is_acknowledged(vault: Vault) -> None:
    task, [a, _] = await start(vault, COMPUTED)
    await vault.answer(A, a, answer_to(COMPUTED))
    await complain(vault, task, "late")
    assert len(await vault.pushes(ANN)) == 3  # the answer, the ruling, the standing
    await vault.acknowledge(ANN)
    assert await vault.pushes(ANN) == []
    assert await vault.rows("SELECT * FROM outbox WHERE endpoint = 'client'") == []


async def test_complaints_that_are_being_heard_count_too(make_vault: MakeVault) -> None:
    vault = await make_vault(complaints_rejected_max=1)
    task, _ = await agreed(vault)
    other = (await vault.submit(ANN, AGREED)).task
    for who in (A, B):
        await vault.answer(who, await vault.key(other, who), WRONG)
    first = await complain(vault, task)
    refused = await refusal(vault, other)
    assert refused.code is Code.TOO_MANY_COMPLAINTS
    assert first.ruling_by is not None
    assert refused.retry_after_ms == first.ruling_by + 1 - vault.now_ms
    await complain(vault, task, factor=P)  # the one that is heard may still be settled by a factor
