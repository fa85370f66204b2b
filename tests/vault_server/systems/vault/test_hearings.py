"""Design §7: a wrong answer without a factor. Arithmetic that was done stands; else its solvers are heard, and counting
answers convicts nobody."""

from __future__ import annotations

import pytest

from protocol.errors import Code, MessageError
from protocol.proof import Proof
from protocol.vault import (
    AskStatus,
    ComplaintHeard,
    ComplaintRaised,
    RespondToComplaint,
    SubmitPuzzle,
    TaskFailed,
    TaskState,
)
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
from tests.vault_server.systems.vault.harness import (
    AGREED,
    BY_JOB,
    COMMITTED,
    COMPUTED,
    HOUR_MS,
    PROVED,
    P,
    Vault,
    answer_to,
    proof_of,
)
from tests.vault_server.systems.vault.stories import ANN, WRONG, A, B, C, start
from vault_server.core.operation import SERVER, Caller
from vault_server.systems.vault.orders import RuleComplaint

WITHDREW = ("upheld", "a solver withdrew its answer, so two no longer agree")
NOBODY_WITHDREW = (
    "undecided",
    "nobody withdrew, and counting answers convicts nobody; a proof or a factor would settle it",
)


async def refused(vault: Vault, who: Caller, complaint_id: int, key: int, response: str = "stands_by") -> Code:
    with pytest.raises(MessageError) as caught:
        await respond(vault, who, complaint_id, key, response)
    return caught.value.code


# what arithmetic has settled


@pytest.mark.parametrize(
    ("order", "factor", "reason"),
    [
        (COMPUTED, None, "the server computed this answer itself"),
        (COMPUTED, P, "the server computed this answer itself"),
        (BY_JOB, P, "the server computed this answer itself"),
        (COMMITTED, None, "the answer matches the commitment given at submission"),
    ],
)
async def test_what_is_known_to_be_right_is_not_wrong(
    vault: Vault, order: SubmitPuzzle, factor: int | None, reason: str
) -> None:
    task, [a, b] = await start(vault, order)
    await vault.answer(A, a, answer_to(order))
    if order is BY_JOB:
        await vault.answer(B, b, WRONG)  # it waits for its judge while the ruling is made
        await vault.judge_one(vault.jobs.pop(0))
    taken = await complain(vault, task, factor=factor)
    assert (taken.status, taken.ruling_by) == ("rejected", None)
    assert await ruled(vault, ANN) == await ruled(vault, A) == [("rejected", reason)]
    assert await ruled(vault, B) == []
    assert await score(vault, ANN) == 25.0
    assert await score(vault, A) == 66.666667
    assert (await vault.task(task))["status"] == "answered"
    await vault.judge()
    assert await vault.status(a) == "valid"
    assert await vault.status(b) == ("invalid" if order is BY_JOB else "released")


# hearing


async def test_the_solvers_are_asked_and_the_client_is_told_until_when(vault: Vault) -> None:
    task, [a, b] = await agreed(vault)
    taken = await complain(vault, task)
    assert (taken.status, taken.ruling_by) == ("asked", vault.now_ms + HOUR_MS)
    for who, key in ((A, a), (B, b)):
        assert await raised(vault, who) == [
            ComplaintRaised(
                complaint=taken.complaint, assignment=key, kind="wrong_answer", respond_by=vault.now_ms + HOUR_MS
            )
        ]
    assert await ruled(vault, ANN) == []
    again = await refusal(vault, task)
    assert (again.code, "no ruling yet" in again.message) == (Code.COMPLAINT_EXISTS, True)


async def test_when_all_stand_by_their_answers_nobody_is_convicted(vault: Vault) -> None:
    task, [a, b] = await agreed(vault)
    taken = await complain(vault, task)
    said = ComplaintHeard(complaint=taken.complaint, response="stands_by")
    assert await respond(vault, A, taken.complaint, a, "stands_by") == said
    assert (await complaint(vault, taken.complaint))["status"] == "asked"
    assert await respond(vault, B, taken.complaint, b, "stands_by") == said
    for who in (ANN, A, B):
        assert await ruled(vault, who) == [NOBODY_WITHDREW]
        assert await score(vault, who) == 50.0
    assert (await vault.task(task))["status"] == "answered"
    assert (await refusal(vault, task)).code is Code.COMPLAINT_EXISTS
    assert [row["name"] for row in await vault.rows("SELECT name FROM deadlines")] == ["settle_task"]


async def test_who_withdraws_is_convicted_by_its_own_word(vault: Vault) -> None:
    task, [a, b] = await agreed(vault)
    await vault.acknowledge(ANN)
    taken = await complain(vault, task)
    await respond(vault, A, taken.complaint, a, "withdraws")
    assert (await complaint(vault, taken.complaint))["status"] == "asked"
    await respond(vault, B, taken.complaint, b, "stands_by")
    row = await vault.task(task)
    assert (row["status"], row["answer"], row["judged_by"]) == ("failed", None, None)
    assert WITHDREW[1] in row["reason"]
    for who in (ANN, A, B):
        assert await ruled(vault, who) == [WITHDREW]
    assert [push for push in await vault.pushes(ANN) if isinstance(push, TaskFailed)] == [
        TaskFailed(task=task, reason=row["reason"])
    ]
    assert await moved(vault, A) == [(round(100 / 7 - 50, 6), "answer withdrawn after a complaint")]
    assert (await vault.solver(A))["trusted"] == 512  # half of what it was
    assert await score(vault, B) == await score(vault, ANN) == 50.0
    assert await vault.rows("SELECT * FROM deadlines") == []


async def test_silence_is_no_confession(vault: Vault) -> None:
    task, [a, _b] = await agreed(vault)
    taken = await complain(vault, task)
    await respond(vault, A, taken.complaint, a, "stands_by")
    await vault.wait(HOUR_MS - 1)
    assert (await complaint(vault, taken.complaint))["status"] == "asked"
    await vault.wait(1)
    row = await complaint(vault, taken.complaint)
    assert (row["status"], row["ruled_at"]) == ("undecided", vault.now_ms)
    for who in (ANN, A, B):
        assert await ruled(vault, who) == [NOBODY_WITHDREW]
        assert await score(vault, who) == 50.0


async def test_one_that_withdrew_convicts_itself_also_when_the_other_is_silent(vault: Vault) -> None:
    task, [a, _b] = await agreed(vault)
    taken = await complain(vault, task)
    await respond(vault, A, taken.complaint, a, "withdraws")
    await vault.wait(HOUR_MS)
    assert await ruled(vault, ANN) == [WITHDREW]
    assert (await vault.task(task))["status"] == "failed"


async def test_only_those_whose_answer_was_given_are_heard(vault: Vault) -> None:
    """Who answered something else has nothing to withdraw: its word must not undo what two others agree on."""
    task, [a, b] = await start(vault, AGREED)
    await vault.join(C)
    await vault.answer(A, a, 1001)
    await vault.answer(B, b, 1002)
    c = await vault.key(task, C)
    await vault.answer(C, c, 1001)
    taken = await complain(vault, task)
    assert (len(await raised(vault, A)), await raised(vault, B), len(await raised(vault, C))) == (1, [], 1)
    assert await refused(vault, B, taken.complaint, b, "withdraws") is Code.COMPLAINT_NOT_FOUND
    for who, key in ((A, a), (C, c)):
        await respond(vault, who, taken.complaint, key, "stands_by")
    assert (await complaint(vault, taken.complaint))["status"] == "undecided"


# a solver's word


async def test_a_word_is_ones_own(vault: Vault) -> None:
    task, [a, b] = await agreed(vault)
    taken = await complain(vault, task)
    for who, complaint_id, key in (
        (C, taken.complaint, a),
        (A, taken.complaint, b),
        (A, taken.complaint, 999_999),
        (A, taken.complaint + 1, a),
        (A, 2**53 - 1, a),
    ):
        assert await refused(vault, who, complaint_id, key) is Code.COMPLAINT_NOT_FOUND
    assert [row["response"] for row in await vault.rows("SELECT response FROM complaint_parties")] == [None, None]


async def test_a_word_may_be_repeated_and_not_changed(vault: Vault) -> None:
    task, [a, b] = await agreed(vault)
    taken = await complain(vault, task)
    for _ in range(2):
        await respond(vault, A, taken.complaint, a, "stands_by")
    assert await refused(vault, A, taken.complaint, a, "withdraws") is Code.COMPLAINT_ENDED
    await respond(vault, B, taken.complaint, b, "stands_by")
    assert len(vault.logged("complaint.heard")) == 2
    assert await respond(vault, B, taken.complaint, b, "stands_by")  # the reply was lost, the ruling is made
    assert await refused(vault, B, taken.complaint, b, "withdraws") is Code.COMPLAINT_ENDED
    assert len(vault.logged("complaint.ruled")) == 1


async def test_after_the_ruling_no_word_is_heard(vault: Vault) -> None:
    task, [a, _] = await agreed(vault)
    taken = await complain(vault, task)
    await vault.wait(HOUR_MS)
    assert await refused(vault, A, taken.complaint, a, "withdraws") is Code.COMPLAINT_ENDED
    assert (await vault.task(task))["status"] == "answered"


async def test_who_was_away_is_told_the_ruling_and_asked_nothing(vault: Vault) -> None:
    task, _ = await agreed(vault)
    await complain(vault, task)
    await vault.wait(HOUR_MS)
    assert (await raised(vault, A), await ruled(vault, A)) == ([], [NOBODY_WITHDREW])
    for who in (A, B, ANN):
        await vault.acknowledge(who)
    assert await vault.rows("SELECT * FROM outbox") == []


# time and restarts


async def test_a_ruling_is_made_once(vault: Vault) -> None:
    task, _ = await agreed(vault)
    taken = await complain(vault, task)
    await vault.wait(HOUR_MS)
    for key in (taken.complaint, 999_999):
        await vault.give(SERVER, RuleComplaint(key))
    assert len(await ruled(vault, ANN)) == 1


async def test_a_task_settles_only_after_the_ruling(vault: Vault) -> None:
    task, _ = await agreed(vault)
    until = (await vault.task(task))["complaint_deadline"]
    vault.now_ms = until
    taken = await complain(vault, task)
    await vault.wait(HOUR_MS - 1)
    assert (await vault.task(task))["status"] == "answered"
    await vault.wait(1)
    assert (await complaint(vault, taken.complaint))["status"] == "undecided"
    await vault.wait(60_000)
    assert (await vault.task(task))["status"] == "settled"
    assert await vault.rows("SELECT * FROM deadlines") == []


async def test_a_restart_loses_no_hearing(vault: Vault) -> None:
    task, [a, b] = await agreed(vault)
    taken = await complain(vault, task)
    await respond(vault, A, taken.complaint, a, "withdraws")
    await vault.restart()
    assert (len(await raised(vault, A)), len(await raised(vault, B))) == (1, 1)
    await respond(vault, B, taken.complaint, b, "stands_by")
    assert await ruled(vault, ANN) == [WITHDREW]


async def test_a_hearing_that_ended_while_the_server_was_down_is_ruled_after_the_grace(vault: Vault) -> None:
    task, _ = await agreed(vault)
    taken = await complain(vault, task)
    await vault.restart(down_ms=2 * HOUR_MS)
    assert (await complaint(vault, taken.complaint))["status"] == "asked"
    await vault.wait(vault.settings.restart_grace_ms)
    assert (await complaint(vault, taken.complaint))["status"] == "undecided"


# a proof goes with the word


async def respond_with_proof(vault: Vault, who: Caller, complaint_id: int, key: int, proof: bytes) -> None:
    order = RespondToComplaint(complaint=complaint_id, assignment=key, response="stands_by", proof=proof)
    await vault.give(who, order)


async def forged(vault: Vault, key: int) -> bytes:
    statement = await vault.statement(key)
    right = Proof.decode(proof_of(statement), statement.puzzle)
    return Proof(right.z - 1, right.midpoints).encode(statement.puzzle.modulus)


BOTH_RIGHT = (answer_to(AGREED), answer_to(AGREED))


async def test_a_proof_settles_a_complaint_without_a_factor(vault: Vault) -> None:
    task, [a, b] = await agreed(vault, BOTH_RIGHT)
    taken = await complain(vault, task)
    await respond_with_proof(vault, A, taken.complaint, a, proof_of(await vault.statement(a)))
    assert (await complaint(vault, taken.complaint))["status"] == "asked"
    await vault.judge()
    shown = ("rejected", "a proof shows the answer to be right")
    for who in (ANN, A, B):
        assert await ruled(vault, who) == [shown]
    assert await vault.status(a) == "valid"
    assert await vault.status(b) == "unproved"
    state: TaskState = await vault.give(ANN, AskStatus(task=task))
    assert (state.judged_by, state.solver) == ("proof", A.fingerprint)
    assert state.proof == proof_of(await vault.statement(a))
    assert await score(vault, ANN) < 50 < await score(vault, A)


async def test_a_proof_that_fails_upholds_the_complaint_and_convicts(vault: Vault) -> None:
    task, [a, b] = await agreed(vault)
    taken = await complain(vault, task)
    await respond_with_proof(vault, A, taken.complaint, a, await forged(vault, a))
    await vault.judge()
    assert (await complaint(vault, taken.complaint))["status"] == "asked"  # B has not spoken
    await respond(vault, B, taken.complaint, b, "stands_by")
    assert (await complaint(vault, taken.complaint))["status"] == "upheld"
    assert (await vault.status(a), await vault.status(b)) == ("invalid", "unproved")
    assert await score(vault, A) < 50
    assert await score(vault, B) == await score(vault, ANN) == 50.0
    assert (await vault.task(task))["status"] == "failed"


async def test_one_proof_that_holds_outweighs_one_that_fails(vault: Vault) -> None:
    task, [a, b] = await agreed(vault, BOTH_RIGHT)
    taken = await complain(vault, task)
    await respond_with_proof(vault, A, taken.complaint, a, await forged(vault, a))
    await respond_with_proof(vault, B, taken.complaint, b, proof_of(await vault.statement(b)))
    await vault.judge()
    assert (await complaint(vault, taken.complaint))["status"] == "rejected"
    assert (await vault.status(a), await vault.status(b)) == ("invalid", "valid")
    assert (await vault.task(task))["proved_by"] == b


async def test_the_ruling_waits_for_a_proof_that_is_being_checked(vault: Vault) -> None:
    task, [a, _] = await agreed(vault, BOTH_RIGHT)
    taken = await complain(vault, task)
    await respond_with_proof(vault, A, taken.complaint, a, proof_of(await vault.statement(a)))
    await vault.wait(HOUR_MS)
    assert (await complaint(vault, taken.complaint))["status"] == "asked"
    await vault.judge()
    assert (await complaint(vault, taken.complaint))["status"] == "rejected"
    await vault.wait(HOUR_MS)
    assert len(await ruled(vault, ANN)) == 1


@pytest.mark.parametrize("response", ["withdraws", "stands_by"])
async def test_a_proof_has_its_form_and_its_place(vault: Vault, response: str) -> None:
    task, [a, _] = await agreed(vault, BOTH_RIGHT)
    taken = await complain(vault, task)
    right = proof_of(await vault.statement(a))
    proof = right if response == "withdraws" else right[:-1]
    order = RespondToComplaint(complaint=taken.complaint, assignment=a, response=response, proof=proof)
    with pytest.raises(MessageError) as caught:
        await vault.give(A, order)
    assert caught.value.code is (Code.BAD_FIELD if response == "withdraws" else Code.PROOF_MALFORMED)
    assert (await vault.rows("SELECT * FROM proofs")) == []
    await respond_with_proof(vault, A, taken.complaint, a, right)  # it can still be said rightly


async def test_a_proved_answer_was_checked_already(vault: Vault) -> None:
    task, [a, _] = await start(vault, PROVED)
    await vault.prove(A, a)
    await vault.judge()
    await complain(vault, task)
    assert await ruled(vault, ANN) == [
        ("rejected", "the server checked a proof of this answer, which was given to you with it")
    ]
    assert await raised(vault, A) == []


async def test_a_factor_speaks_before_a_proof_that_waits(vault: Vault) -> None:
    """The client reveals a factor while the proof it asked for is being checked: arithmetic ends it once."""
    task, [a, _] = await agreed(vault)
    taken = await complain(vault, task)
    await respond_with_proof(vault, A, taken.complaint, a, await forged(vault, a))
    [verify, *_] = vault.jobs
    await complain(vault, task, factor=P)
    [compare] = [due for due in vault.jobs if due.job != verify.job]
    await vault.judge_one(compare)
    assert await vault.status(a) == "invalid"
    before = await score(vault, A)
    await vault.judge_one(verify)
    assert await score(vault, A) == before
    assert len(await ruled(vault, ANN)) == 1
