"""Checkpoints that solvers relay: taken within bounds, checked for a successor alone, handed on; whom they blame."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from protocol import relay
from protocol.errors import Code, MessageError
from protocol.prover import kept_indices
from protocol.puzzle import Trapdoor
from protocol.relay import encode
from protocol.vault import CancelTask, CheckpointOffered, CheckpointTaken, RelayCheckpoint, SubmitPuzzle
from tests.protocol.forging import joined
from tests.vault_server.systems.vault.conftest import MakeVault
from tests.vault_server.systems.vault.harness import (
    AGREED,
    BITS,
    BY_JOB,
    COMMITTED,
    COMPUTED,
    HOUR_MS,
    MODULUS,
    PROVED,
    P,
    Q,
    Vault,
    answer_to,
)
from tests.vault_server.systems.vault.stories import ANN, WRONG, A, B, C, D, ended, start
from vault_server.core.operation import SERVER, Caller, JobDue
from vault_server.operator.explain_page import explain_page
from vault_server.systems.vault import assigning, orders
from vault_server.systems.vault.explanation import explain
from vault_server.systems.vault.gauges import relays_by_status
from vault_server.systems.vault.records import open_residues
from vault_server.systems.vault.timing import observe

DEPTH = 4
PLACES = 1 << DEPTH
INTERVAL_MS = 1000
WIDTH = 16
TRAPDOOR = Trapdoor(P, Q)
RIGHT = [TRAPDOOR.power(3, place) for place in kept_indices(PROVED.t, DEPTH)]


@pytest.fixture
async def vault(make_vault: MakeVault) -> Vault:
    return await make_vault(relay_interval_ms=INTERVAL_MS)


def part(key: int, residues: Sequence[int], first: int = 0, depth: int = DEPTH) -> RelayCheckpoint:
    return RelayCheckpoint(assignment=key, depth=depth, first=first, residues=encode(residues, MODULUS))


async def relayed(vault: Vault, solver: Caller, key: int, residues: Sequence[int], first: int = 0) -> int:
    """Relay them when an interval has passed; how many are kept then."""
    await vault.wait(INTERVAL_MS)
    reply: CheckpointTaken = await vault.give(solver, part(key, residues, first))
    assert reply == CheckpointTaken(assignment=key, count=reply.count, next_at=vault.now_ms + INTERVAL_MS)
    return reply.count


async def refused(vault: Vault, solver: Caller, order: RelayCheckpoint) -> MessageError:
    before = await vault.rows("SELECT * FROM relays")
    with pytest.raises(MessageError) as caught:
        await vault.give(solver, order)
    assert await vault.rows("SELECT * FROM relays") == before
    return caught.value


async def alone(vault: Vault) -> tuple[str, int]:
    """A proved task that one solver works on; its other slot is open."""
    task, [a] = await start(vault, PROVED, [A])
    return task, a


async def succeed(vault: Vault, solver: Caller, task: str) -> int:
    """One more solver is there and gets the task."""
    await vault.wait(1)
    await vault.join(solver, capacity=4)
    return await vault.key(task, solver)


async def offered(vault: Vault, solver: Caller) -> list[CheckpointOffered]:
    return [push for push in await vault.pushes(solver) if isinstance(push, CheckpointOffered)]


async def relay_of(vault: Vault, key: int) -> dict[str, Any]:
    return await vault.row("SELECT * FROM relays WHERE assignment_id = :key", key=key)


def squared_on(residues: Sequence[int]) -> list[int]:
    """These, and what follows from the last of them."""
    places, followed = kept_indices(PROVED.t, DEPTH), [*residues]
    for before, after in zip(places[len(residues) - 1 :], places[len(residues) :], strict=False):
        followed.append(pow(followed[-1], 1 << (after - before), MODULUS))
    return followed


# what is taken


async def test_a_checkpoint_is_kept_sealed_and_nobody_looks_at_it(vault: Vault) -> None:
    task, a = await alone(vault)
    assert await relayed(vault, A, a, RIGHT[:3]) == 3
    row = await relay_of(vault, a)
    assert (row["task_id"], row["solver_id"], row["depth"]) == (task, A.fingerprint, DEPTH)
    assert (row["count"], row["checked"], row["status"]) == (3, 0, "open")
    assert open_residues(vault.parts.cipher, row) == encode(RIGHT[:3], MODULUS)
    assert encode(RIGHT[:1], MODULUS) not in row["residues"]
    assert vault.jobs == []


async def test_a_checkpoint_goes_on_where_it_ended_also_after_a_lost_reply(vault: Vault) -> None:
    _, a = await alone(vault)
    assert await relayed(vault, A, a, RIGHT[:3]) == 3
    assert await relayed(vault, A, a, RIGHT[3:5], first=3) == 5
    assert await relayed(vault, A, a, RIGHT[2:7], first=2) == 7  # two of them once more
    assert await relayed(vault, A, a, RIGHT[:2]) == 7  # it has forgotten how many it sent
    assert await relayed(vault, A, a, RIGHT[7:], first=7) == PLACES
    assert open_residues(vault.parts.cipher, await relay_of(vault, a)) == encode(RIGHT, MODULUS)


async def test_what_does_not_continue_what_is_kept_is_refused(vault: Vault) -> None:
    _, a = await alone(vault)
    await relayed(vault, A, a, RIGHT[:3])
    await vault.wait(INTERVAL_MS)
    for order in (
        part(a, RIGHT[4:5], first=4),  # a place is left out
        part(a, [RIGHT[1], 5, 6], first=1),  # another residue than before
        part(a, RIGHT[:5], depth=DEPTH - 1),
    ):
        error = await refused(vault, A, order)
        assert error.code is Code.CHECKPOINT_REFUSED
        assert str(a) in error.message
    assert await relayed(vault, A, a, RIGHT[3:4], first=3) == 4


async def test_the_first_part_begins_at_the_first_place(vault: Vault) -> None:
    _, a = await alone(vault)
    assert (await refused(vault, A, part(a, RIGHT[1:2], first=1))).code is Code.CHECKPOINT_REFUSED


async def test_one_checkpoint_an_interval(vault: Vault) -> None:
    _, a = await alone(vault)
    await relayed(vault, A, a, RIGHT[:1])
    await vault.wait(INTERVAL_MS - 1)
    error = await refused(vault, A, part(a, RIGHT[1:2], first=1))
    assert (error.code, error.retry_after_ms) == (Code.CHECKPOINT_EARLY, 1)
    await vault.wait(1)
    assert (await vault.give(A, part(a, RIGHT[1:2], first=1))).count == 2


async def test_the_bytes_of_one_assignment_are_bounded(make_vault: MakeVault) -> None:
    vault = await make_vault(relay_bytes_max=4 * WIDTH, relay_interval_ms=INTERVAL_MS)
    _, a = await alone(vault)
    assert (await refused(vault, A, part(a, RIGHT[:5]))).code is Code.CHECKPOINT_REFUSED
    assert await relayed(vault, A, a, RIGHT[:4]) == 4
    await vault.wait(INTERVAL_MS)
    error = await refused(vault, A, part(a, RIGHT[4:5], first=4))
    assert error.code is Code.CHECKPOINT_REFUSED
    assert "relay_bytes_max" in error.message


async def test_none_are_taken_where_a_setting_says_so(make_vault: MakeVault) -> None:
    vault = await make_vault(relay_bytes_max=0)
    _, a = await alone(vault)
    assert "relay_bytes_max" in (await refused(vault, A, part(a, RIGHT[:1]))).message


async def test_a_plan_has_so_many_places_and_no_more(vault: Vault) -> None:
    _, a = await alone(vault)
    assert (await refused(vault, A, part(a, [*RIGHT, 5]))).code is Code.CHECKPOINT_REFUSED
    assert await relayed(vault, A, a, RIGHT) == PLACES


@pytest.mark.parametrize(("depth", "is_taken"), [(6, True), (7, False)])
async def test_a_depth_has_to_be_one_of_the_tasks_plans(vault: Vault, depth: int, is_taken: bool) -> None:
    _, a = await alone(vault)
    order = part(a, RIGHT[:1], depth=depth)
    if is_taken:
        await vault.give(A, order)
    else:
        assert (await refused(vault, A, order)).code is Code.CHECKPOINT_REFUSED


@pytest.mark.parametrize("residue", [0, MODULUS, MODULUS + 1])
async def test_a_residue_out_of_range_is_refused_and_not_shown(vault: Vault, residue: int) -> None:
    _, a = await alone(vault)
    error = await refused(vault, A, part(a, [RIGHT[0], residue]))
    assert error.code is Code.CHECKPOINT_REFUSED
    assert str(MODULUS) not in str(error)


@pytest.mark.parametrize("size", [WIDTH - 1, WIDTH + 1])
async def test_residues_have_the_length_of_the_modulus(vault: Vault, size: int) -> None:
    _, a = await alone(vault)
    order = RelayCheckpoint(assignment=a, depth=DEPTH, first=0, residues=b"\x01" * size)
    assert (await refused(vault, A, order)).code is Code.CHECKPOINT_REFUSED


@pytest.mark.parametrize("order", [COMPUTED, BY_JOB, AGREED, COMMITTED], ids=["small", "job", "agreed", "committed"])
async def test_none_are_taken_where_no_proof_would_show_what_they_were_worth(vault: Vault, order: SubmitPuzzle) -> None:
    _, [a] = await start(vault, order, [A])
    error = await refused(vault, A, part(a, [5], depth=0))
    assert error.code is Code.CHECKPOINT_REFUSED
    assert "no proof is asked" in error.message


async def test_only_who_works_on_an_assignment_relays(vault: Vault) -> None:
    task, a = await alone(vault)
    b = await succeed(vault, B, task)
    assert (await refused(vault, B, part(a, RIGHT[:1]))).code is Code.ASSIGNMENT_NOT_FOUND
    await vault.hand_back(B, b)
    assert (await refused(vault, B, part(b, RIGHT[:1]))).code is Code.ASSIGNMENT_ENDED
    await vault.prove(A, a)
    assert (await refused(vault, A, part(a, RIGHT[:1]))).code is Code.ALREADY_ANSWERED


# who gets it


async def test_who_takes_the_open_slot_goes_on_from_the_checkpoint_once_it_is_checked(vault: Vault) -> None:
    task, a = await alone(vault)
    await relayed(vault, A, a, RIGHT[:5])
    b = await succeed(vault, B, task)
    assert vault.jobs == [JobDue("check_checkpoint", str(a), A.fingerprint)]
    assert await offered(vault, B) == []
    await vault.judge()
    assert await offered(vault, B) == [
        CheckpointOffered(assignment=b, depth=DEPTH, residues=encode(RIGHT[:5], MODULUS))
    ]
    assert await offered(vault, A) == []
    row = await relay_of(vault, a)
    assert (row["checked"], row["status"]) == (5, "open")
    assert vault.logged("checkpoint.offered") == [
        {"task": task, "assignment": b, "solver": B.fingerprint, "residues": 5}
    ]


async def test_who_takes_over_after_a_deadline_or_a_return_goes_on_too(vault: Vault) -> None:
    task, a = await alone(vault)
    await relayed(vault, A, a, RIGHT[:5])
    await vault.wait(9 * HOUR_MS)
    assert await vault.status(a) == "expired"
    b = await succeed(vault, B, task)
    await vault.judge()
    assert len(await offered(vault, B)) == 1
    await relayed(vault, B, b, RIGHT[5:9], first=5)
    await vault.join(C, capacity=4)
    c = await vault.key(task, C)
    await vault.judge()
    await vault.hand_back(B, b)
    assert [push.residues for push in await offered(vault, C)] == [encode(RIGHT[:9], MODULUS)]
    assert await vault.status(c) == "offered"


async def test_two_who_begin_together_are_not_each_others_successors(vault: Vault) -> None:
    task, [a, b] = await start(vault, PROVED)
    await relayed(vault, A, a, RIGHT[:5])
    await relayed(vault, B, b, RIGHT[:2])
    assert vault.jobs == []
    await vault.hand_back(B, b)
    c = await succeed(vault, C, task)
    assert vault.jobs == [JobDue("check_checkpoint", str(a), A.fingerprint)]
    await vault.judge()
    assert [push.assignment for push in await offered(vault, C)] == [c]
    assert await offered(vault, A) == await offered(vault, B) == []


async def test_what_is_checked_is_not_checked_again(vault: Vault) -> None:
    task, a = await alone(vault)
    await relayed(vault, A, a, RIGHT[:5])
    b = await succeed(vault, B, task)
    await vault.judge()
    await vault.hand_back(B, b)
    await succeed(vault, C, task)
    assert vault.jobs == []
    assert len(await offered(vault, C)) == 1


async def test_a_successor_that_comes_during_the_check_gets_it_as_well(vault: Vault) -> None:
    task, a = await alone(vault)
    await relayed(vault, A, a, RIGHT[:5])
    b = await succeed(vault, B, task)
    await vault.hand_back(B, b)
    await succeed(vault, C, task)
    assert len(vault.jobs) == 1
    await vault.judge()
    assert len(await offered(vault, C)) == 1
    assert await offered(vault, B) == []


@pytest.mark.parametrize("end", ["acknowledged", "returned"])
async def test_the_offer_stays_until_it_is_acknowledged_or_its_assignment_ends(vault: Vault, end: str) -> None:
    task, a = await alone(vault)
    await relayed(vault, A, a, RIGHT[:5])
    b = await succeed(vault, B, task)
    await vault.judge()
    await vault.restart()
    assert len(await offered(vault, B)) == 1
    if end == "acknowledged":
        await vault.acknowledge(B)
    else:
        await vault.hand_back(B, b)
    assert await vault.rows("SELECT seq FROM outbox WHERE kind = 'checkpoint_offered'") == []


async def test_what_was_handed_on_is_the_successors_own_and_is_continued(vault: Vault) -> None:
    task, a = await alone(vault)
    await relayed(vault, A, a, RIGHT[:5])
    b = await succeed(vault, B, task)
    await vault.judge()
    row = await relay_of(vault, b)
    assert (row["count"], row["checked"], row["depth"]) == (5, 5, DEPTH)
    assert await relayed(vault, B, b, RIGHT[:6]) == 6  # one that has begun at its start all the same


async def test_the_speed_of_a_successor_is_seen_by_what_it_squared_itself(vault: Vault) -> None:
    task, a = await alone(vault)
    await relayed(vault, A, a, RIGHT[:12])
    b = await succeed(vault, B, task)
    await vault.judge()
    [row] = await vault.rows("SELECT head_start FROM task_assignments WHERE db_key = :key", key=b)
    assert row["head_start"] == kept_indices(PROVED.t, DEPTH)[11] / PROVED.t
    await vault.wait(2000)
    await vault.prove(B, b)
    own = round(PROVED.t * (1 - row["head_start"]))
    assert (await vault.solver(B))["observed_speed"] == observe(0, taken_ms=2000, squarings=own, modulus_bits=BITS)
    await vault.judge()
    assert (await vault.solver(B))["good"] == 1


async def test_who_has_come_farther_is_offered_nothing(vault: Vault) -> None:
    task, a = await alone(vault)
    b = await succeed(vault, B, task)
    await relayed(vault, B, b, RIGHT[:6])
    await relayed(vault, A, a, RIGHT[:5])
    await vault.hand_back(A, a)
    await vault.wait(1)
    await vault.join(C, capacity=4)
    assert vault.jobs == [JobDue("check_checkpoint", str(b), B.fingerprint)]
    await vault.judge()
    assert await offered(vault, B) == []
    assert [push.residues for push in await offered(vault, C)] == [encode(RIGHT[:6], MODULUS)]


# who is blamed


async def test_a_wrong_checkpoint_blames_who_sent_it_and_is_handed_to_nobody(vault: Vault) -> None:
    task, a = await alone(vault)
    await relayed(vault, A, a, [*RIGHT[:4], WRONG])
    b = await succeed(vault, B, task)
    await vault.judge()
    assert await offered(vault, B) == []
    assert (await vault.solver(A))["reputation_score"] < 10
    assert (await vault.solver(B))["reputation_score"] == 50
    [history] = await vault.rows("SELECT * FROM score_history")
    assert (history["reason"], history["task_id"]) == ("relayed checkpoint proved wrong", task)
    row = await relay_of(vault, a)
    assert (row["status"], row["checked"]) == ("refuted", 0)
    assert open_residues(vault.parts.cipher, row) == b""
    assert vault.logged("checkpoint.refuted") == [{"task": task, "assignment": a, "solver": A.fingerprint}]
    await vault.wait(INTERVAL_MS)
    assert (await refused(vault, A, part(a, RIGHT[:5]))).code is Code.CHECKPOINT_REFUSED
    assert await vault.prove(B, b) == "pending"
    await vault.judge()
    assert (await vault.task(task))["status"] == "answered"


async def test_a_wrong_checkpoint_costs_its_solver_no_right_answer(vault: Vault) -> None:
    task, a = await alone(vault)
    await relayed(vault, A, a, [WRONG])
    await succeed(vault, B, task)
    await vault.judge()
    await vault.prove(A, a)
    await vault.judge()
    assert await vault.status(a) == "valid"


async def test_errors_that_cancel_are_found_too(vault: Vault) -> None:
    task, a = await alone(vault)
    second = squared_on([RIGHT[0] * 2 % MODULUS])[1]
    crafted = squared_on([RIGHT[0] * 2 % MODULUS, second * pow(2, -1, MODULUS) % MODULUS])
    await relayed(vault, A, a, crafted)
    await succeed(vault, B, task)
    await vault.judge()
    assert (await relay_of(vault, a))["status"] == "refuted"


async def test_when_the_farthest_is_wrong_the_next_is_looked_at(vault: Vault) -> None:
    task, [a, b] = await start(vault, PROVED)
    await relayed(vault, A, a, [WRONG] * 9)
    await relayed(vault, B, b, RIGHT[:4])
    await vault.hand_back(A, a)
    await succeed(vault, C, task)
    await vault.judge()
    assert (await vault.solver(A))["reputation_score"] < 10
    assert [push.residues for push in await offered(vault, C)] == [encode(RIGHT[:4], MODULUS)]


async def test_what_nobody_needed_is_never_checked_and_blames_nobody(vault: Vault) -> None:
    task, a = await alone(vault)
    await relayed(vault, A, a, [WRONG])
    await vault.prove(A, a)
    await vault.judge()
    assert (await vault.task(task))["status"] == "answered"
    assert (await vault.solver(A))["bad"] == 0


async def test_a_wrong_sign_is_no_wrong_checkpoint(vault: Vault) -> None:
    task, a = await alone(vault)
    signed = [*RIGHT[:2], MODULUS - RIGHT[2], RIGHT[3], MODULUS - RIGHT[4]]
    await relayed(vault, A, a, signed)
    await succeed(vault, B, task)
    await vault.judge()
    assert [push.residues for push in await offered(vault, B)] == [encode(signed, MODULUS)]


async def test_nobody_is_blamed_for_what_the_server_gave_him(vault: Vault) -> None:
    """A's error has order 2, which takes the factors to make; with even exponents it passes, and B goes on from it."""
    task, a = await alone(vault)
    root = joined(TRAPDOOR, P - 1, 1)
    crafted = [*RIGHT[:4], RIGHT[4] * root % MODULUS]
    await relayed(vault, A, a, crafted)
    b = await succeed(vault, B, task)
    object.__setattr__(vault.parts, "random_bytes", lambda count: b"\x02" * count)
    await vault.judge()
    assert [push.residues for push in await offered(vault, B)] == [encode(crafted, MODULUS)]
    await relayed(vault, B, b, squared_on(crafted)[5:], first=5)
    await vault.hand_back(A, a)
    object.__setattr__(vault.parts, "random_bytes", lambda count: b"\x01" * count)
    await vault.wait(1)
    await vault.join(C, capacity=4)
    await vault.judge()
    assert (await vault.solver(B))["bad"] == 0
    assert [len(push.residues) for push in await offered(vault, C)] == [PLACES * WIDTH]


# time, restarts, ends


async def test_a_check_takes_turns(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "TURN_SECONDS", 1e-6)
    task, a = await alone(vault)
    await relayed(vault, A, a, RIGHT[:5])
    await succeed(vault, B, task)
    due, turns = JobDue("check_checkpoint", str(a), A.fingerprint), 0
    while vault.jobs:
        assert vault.jobs == [due]
        await vault.judge_one(vault.jobs.pop())
        turns += 1
    assert turns > 5
    assert len(await offered(vault, B)) == 1


async def test_more_may_come_while_it_is_checked(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "TURN_SECONDS", 1e-6)
    task, a = await alone(vault)
    await relayed(vault, A, a, RIGHT[:5])
    await succeed(vault, B, task)
    await vault.judge_one(vault.jobs.pop())
    await relayed(vault, A, a, [WRONG], first=5)
    await vault.judge()
    assert [push.residues for push in await offered(vault, B)] == [encode(RIGHT[:5], MODULUS)]
    row = await relay_of(vault, a)
    assert (row["count"], row["checked"], row["status"]) == (6, 5, "open")


async def test_a_check_ends_with_its_task(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "TURN_SECONDS", 1e-6)
    task, a = await alone(vault)
    await relayed(vault, A, a, [WRONG])
    await succeed(vault, B, task)
    await vault.judge_one(vault.jobs.pop())
    await vault.give(ANN, CancelTask(task=task))
    await vault.judge()
    assert vault.jobs == []
    assert (await vault.solver(A))["bad"] == 0


async def test_a_check_may_be_due_twice(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a node has gone, and others take up all that it may have been checking."""
    monkeypatch.setattr(relay, "TURN_SECONDS", 1e-6)
    task, a = await alone(vault)
    await relayed(vault, A, a, RIGHT[:5])
    await succeed(vault, B, task)
    vault.jobs *= 3
    await vault.judge()
    assert len(await offered(vault, B)) == 1
    assert (await vault.solver(A))["bad"] == 0
    assert await vault.rows("SELECT assignment_id FROM relays WHERE status <> 'open'") == []


async def test_a_verdict_on_what_has_been_replaced_is_none(vault: Vault) -> None:
    task, a = await alone(vault)
    await relayed(vault, A, a, RIGHT[:5])
    await succeed(vault, B, task)
    due = vault.jobs.pop()
    await vault.give(SERVER, orders.RecordCheck(a, depth=DEPTH, first=1, end=5, holds=False))
    assert vault.jobs == [due]
    await vault.judge()
    assert len(await offered(vault, B)) == 1
    await vault.give(SERVER, orders.RecordCheck(a, depth=DEPTH, first=0, end=5, holds=False))
    assert (await vault.solver(A))["bad"] == 0


async def test_what_a_killed_server_was_checking_is_checked_after_its_start(vault: Vault) -> None:
    task, a = await alone(vault)
    await relayed(vault, A, a, RIGHT[:5])
    b = await succeed(vault, B, task)
    await vault.restart()
    assert vault.jobs == [JobDue("check_checkpoint", str(a))]
    await vault.judge()
    assert [push.assignment for push in await offered(vault, B)] == [b]
    await vault.restart()
    assert vault.jobs == []


@pytest.mark.parametrize("end", ["answered", "cancelled", "failed"])
async def test_checkpoints_go_with_their_task(make_vault: MakeVault, end: str) -> None:
    vault = await make_vault(assignments_max=2, relay_interval_ms=INTERVAL_MS)
    task, a = await alone(vault)
    await relayed(vault, A, a, RIGHT[:5])
    b = await succeed(vault, B, task)
    await vault.judge()
    assert len(await vault.rows("SELECT * FROM relays")) == 2
    if end == "answered":
        await vault.prove(B, b)
        await vault.judge()
    elif end == "cancelled":
        await vault.give(ANN, CancelTask(task=task))
    else:
        for one, key in ((A, a), (B, b)):
            await vault.answer(one, key, WRONG)
    assert (await vault.task(task))["status"] == end
    assert await vault.rows("SELECT * FROM relays") == []
    assert await vault.rows("SELECT seq FROM outbox WHERE kind = 'checkpoint_offered'") == []
    assert await ended(vault, A) == ([(a, "released")] if end != "failed" else [])


async def test_tasks_that_nobody_relays_pay_nothing_for_it(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose solvers are found at once, and whose answers are computed or not proved: nothing is looked up."""

    def never(*_: object) -> None:
        raise AssertionError("somebody looked for checkpoints")

    monkeypatch.setattr(assigning, "look_for_checkpoint", never)
    await vault.join(D, capacity=9)
    for order in (PROVED, COMPUTED, AGREED):
        task, [a, _] = await start(vault, order, [A, D])
        await vault.answer(A, a, answer_to(order)) if order is not PROVED else await vault.prove(A, a)
        await vault.judge()
        assert (await vault.task(task))["status"] == ("assigned" if order is AGREED else "answered")
    small = (await vault.submit(ANN, COMPUTED)).task
    await vault.hand_back(A, await vault.key(small, A))
    await vault.join(B)


# what operators see


async def test_operators_see_what_is_relayed(vault: Vault) -> None:
    task, a = await alone(vault)
    await relayed(vault, A, a, RIGHT[:5])
    shown = await vault.database.read(lambda reader: explain(reader, task, vault.now_ms))
    assert shown is not None
    assert shown["assignments"][0]["checkpoint"] == {
        "residues": 5,
        "checked": 0,
        "places": PLACES,
        "status": "open",
        "taken_at": vault.now_ms,
    }
    assert "5 of 16 places, 0 checked" in page(shown)
    gauge = await vault.database.read(lambda reader: relays_by_status(reader, vault.now_ms))
    assert gauge == {"checking": 0, "open": 1, "refuted": 0}


async def test_operators_see_what_was_refuted(vault: Vault) -> None:
    task, a = await alone(vault)
    await relayed(vault, A, a, [WRONG])
    await succeed(vault, B, task)
    await vault.judge()
    shown = await vault.database.read(lambda reader: explain(reader, task, vault.now_ms))
    assert shown is not None
    assert "proved wrong; relayed" in page(shown)


def page(shown: dict[str, Any]) -> str:
    console = Console(width=160, file=StringIO(), record=True)
    console.print(explain_page(shown, console))
    return console.export_text()
