"""Seed 000 §3.2: two different solvers, by reputation, within what they offer; slots that fill later."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from protocol.errors import Code, MessageError
from protocol.vault import AcceptAssignment, ReportProgress, TaskProgress, UpdateStatus
from tests.vault_server.people import client, solver
from tests.vault_server.storage.rows import committed, sql
from tests.vault_server.systems.vault.conftest import MakeVault
from tests.vault_server.systems.vault.harness import AGREED, BITS, COMPUTED, HOUR_MS, Vault
from vault_server.core.operation import SERVER, Caller, Endpoint, Relay, Transaction
from vault_server.exchange import standing
from vault_server.exchange.standing import Standing
from vault_server.systems.vault.assigning import CANDIDATES_MAX
from vault_server.systems.vault.orders import JoinSolver, StartServing

ANN = client("ann")
A, B, C, D = (solver(name) for name in "abcd")


async def holders(vault: Vault, task: str) -> list[str]:
    """The names of those who hold the slots, first slot first."""
    names = {one.fingerprint: name for one, name in zip((A, B, C, D), "abcd", strict=True)}
    rows = await vault.assignments(task)
    return [names[row["solver_id"]] for row in sorted(rows, key=lambda row: row["slot"]) if row["ended_at"] is None]


async def rank_at(vault: Vault, one: Caller, *, reputation: float, band: int) -> None:
    """Give a solver a reputation that it would have to earn."""
    change = sql("UPDATE solvers SET band = :band, valid_answers = 9 WHERE solver_id = :id")

    def work(tx: Transaction) -> None:
        standing.move(
            tx,
            Standing.SOLVER,
            one.fingerprint,
            old=50.0,
            new=reputation,
            reason="test",
            task=None,
            now_ms=vault.now_ms,
        )
        tx.run(change, band=band, id=one.fingerprint)

    await committed(vault.database, work)


async def test_two_different_solvers_are_asked(vault: Vault) -> None:
    await vault.join(A)
    await vault.join(B)
    reply = await vault.submit(ANN)
    row = await vault.task(reply.task)
    one, two = await vault.assignments(reply.task)
    assert reply.assigned == 2
    assert (row["status"], row["open_slots"], row["num_assignments"]) == ("assigned", 0, 2)
    assert (row["first_assignment_id"], row["second_assignment_id"]) == (one["db_key"], two["db_key"])
    assert {one["solver_id"], two["solver_id"]} == {A.fingerprint, B.fingerprint}
    assert (one["slot"], two["slot"]) == (1, 2)
    for name, rows in (("a", await vault.solver(A)), ("b", await vault.solver(B))):
        assert (rows["tasks_taken"], rows["in_hand"], rows["last_assigned_at"]) == (1, 1, vault.now_ms), name
    assert reply.promised_by == row["promised_by"] == max(one["deadline"], two["deadline"])
    assert one["complaint_deadline"] - one["deadline"] == 16 * HOUR_MS


async def test_a_request_has_the_puzzle_and_names_no_client(vault: Vault) -> None:
    await vault.join(A)
    task = (await vault.submit(ANN)).task
    [offer] = await vault.offers(A)
    assert (offer.task, offer.t, offer.baseg, offer.product) == (task, COMPUTED.t, COMPUTED.baseg, COMPUTED.product)
    assert offer.assignment == await vault.key(task, A)
    assert ANN.fingerprint not in repr(offer)


async def test_one_solver_gets_one_slot_and_the_next_to_come_the_other(vault: Vault) -> None:
    await vault.join(A, capacity=5)
    task = (await vault.submit(ANN)).task
    assert (await vault.task(task))["open_slots"] == 1
    assert await holders(vault, task) == ["a"]
    await vault.update(A, 5)
    assert await holders(vault, task) == ["a"]
    await vault.join(B)
    assert await holders(vault, task) == ["a", "b"]
    assert (await vault.task(task))["open_slots"] == 0
    assert [offer.task for offer in await vault.offers(B)] == [task]
    await vault.join(C)
    assert await vault.offers(C) == []


async def test_a_solver_that_frees_a_slot_gets_the_task_that_has_waited_longest(vault: Vault) -> None:
    await vault.join(A, capacity=1)
    tasks = [(await vault.submit(ANN)).task for _ in range(3)]
    assert [await holders(vault, task) for task in tasks] == [["a"], [], []]
    await vault.answer(A, await vault.key(tasks[0], A), 5)  # wrong, and done with it
    assert [await holders(vault, task) for task in tasks] == [[], ["a"], []]
    await vault.hand_back(A, await vault.key(tasks[1], A))
    assert [await holders(vault, task) for task in tasks] == [[], [], ["a"]]


async def test_the_oldest_task_comes_first_also_when_it_waits_for_its_second_solver(vault: Vault) -> None:
    """Else whoever keeps submitting would keep it waiting for ever."""
    await vault.join(A, capacity=1)
    half, empty = [(await vault.submit(ANN)).task for _ in range(2)]
    await vault.join(B, capacity=1)
    assert await holders(vault, half) == ["a", "b"]
    await vault.update(B, 2)
    assert await holders(vault, empty) == ["b"]


async def test_a_crowd_of_one_address_does_not_get_both_slots(vault: Vault) -> None:
    for number in range(CANDIDATES_MAX + 1):
        one = solver(f"crowd {number}", "203.0.113.6")
        await vault.join(one)
    await vault.join(A)
    task = (await vault.submit(ANN)).task
    assert A.fingerprint in {row["solver_id"] for row in await vault.assignments(task)}


@pytest.mark.parametrize("capacity", [0, 1, 3])
async def test_capacity_is_respected(vault: Vault, capacity: int) -> None:
    await vault.join(A, capacity=capacity)
    for _ in range(5):
        await vault.submit(ANN)
    assert len(await vault.offers(A)) == capacity
    reply = await vault.update(A, capacity + 1)
    assert (reply.capacity, reply.holding) == (capacity + 1, capacity + 1)
    assert len(await vault.offers(A)) == capacity + 1


async def test_less_capacity_than_in_hand_takes_nothing_away(vault: Vault) -> None:
    await vault.join(A, capacity=3)
    for _ in range(5):
        await vault.submit(ANN)
    assert await vault.update(A, 1) == replace(await vault.update(A, 1), capacity=1, holding=3)
    first = (await vault.offers(A))[0]
    await vault.hand_back(A, first.assignment)
    assert len(await vault.offers(A)) == 2


@pytest.mark.parametrize(("announced", "counted"), [(2, 2), (3, 3), (4, 3), (1024, 3)])
async def test_the_servers_own_limit_of_capacity(make_vault: MakeVault, announced: int, counted: int) -> None:
    vault = await make_vault(capacity_max=3)
    for _ in range(5):
        await vault.submit(ANN)
    reply = await vault.join(A, capacity=announced)
    assert (reply.capacity, reply.holding) == (counted, counted)


@pytest.mark.parametrize(("bits", "takes"), [(BITS - 1, False), (BITS, True), (BITS + 1, True), (1, False)])
async def test_the_size_of_the_modulus_is_respected(vault: Vault, bits: int, takes: bool) -> None:
    await vault.join(A, bits=bits)
    first = (await vault.submit(ANN)).task
    assert await holders(vault, first) == (["a"] if takes else [])
    await vault.join(B, bits=bits)
    assert await holders(vault, first) == (["a", "b"] if takes else [])


async def test_without_sizes_nothing_is_offered(vault: Vault) -> None:
    await vault.give(A, JoinSolver())
    await vault.give(A, UpdateStatus(state="ready", capacity=5, speeds={}))
    await vault.submit(ANN)
    assert await vault.offers(A) == []


@pytest.mark.parametrize("state", ["paused", "draining"])
async def test_only_who_is_ready_is_offered_work(vault: Vault, state: str) -> None:
    await vault.join(A, state=state)
    task = (await vault.submit(ANN)).task
    assert await vault.offers(A) == []
    await vault.update(A)
    assert await holders(vault, task) == ["a"]


@pytest.mark.parametrize("state", ["paused", "draining"])
async def test_what_waits_is_not_given_to_who_is_not_ready(vault: Vault, state: str) -> None:
    first, second = [(await vault.submit(ANN)).task for _ in range(2)]
    await vault.join(A, state=state)
    assert await vault.offers(A) == []
    await vault.update(A)
    await vault.update(A, state=state)
    await vault.hand_back(A, await vault.key(first, A))
    assert await holders(vault, second) == []


async def test_the_promise_is_the_later_deadline(vault: Vault) -> None:
    await vault.join(A, speed=1)
    slow = await vault.submit(ANN, AGREED)
    await vault.join(B, speed=10**9)
    row = await vault.task(slow.task)
    deadlines = [row["deadline"] for row in await vault.assignments(slow.task)]
    assert deadlines[1] < deadlines[0] == row["promised_by"] == slow.promised_by


async def test_nobody_is_offered_work_before_it_says_so_nor_after_it_is_gone(vault: Vault) -> None:
    await vault.give(A, JoinSolver())
    task = (await vault.submit(ANN)).task
    assert await holders(vault, task) == []
    await vault.join(B)
    await vault.leave(B)
    other = (await vault.submit(ANN)).task
    assert await holders(vault, task) == ["b"]
    assert await holders(vault, other) == []


async def test_a_solver_that_returns_keeps_what_it_has_and_is_not_ready_until_it_says_so(vault: Vault) -> None:
    await vault.join(A, capacity=2)
    first = (await vault.submit(ANN)).task
    await vault.leave(A)
    await vault.give(A, JoinSolver())
    second = (await vault.submit(ANN)).task
    assert await holders(vault, first) == ["a"]
    assert await holders(vault, second) == []
    assert (await vault.update(A, 2)).holding == 2
    assert len(await vault.offers(A)) == 2


async def test_never_the_clients_own_key(vault: Vault) -> None:
    own = replace(ANN, endpoint=Endpoint.SOLVER)
    await vault.join(own, capacity=5)
    task = (await vault.submit(ANN)).task
    await vault.update(own, 5)
    assert await vault.assignments(task) == []
    other = (await vault.submit(client("bob"))).task
    assert [offer.task for offer in await vault.offers(own)] == [other]


async def test_the_best_band_is_asked_first_and_the_ranking_is_kept(vault: Vault) -> None:
    for one in (A, B, C):
        await vault.join(one, capacity=3)
    await rank_at(vault, C, reputation=85.5, band=8)
    await rank_at(vault, B, reputation=61.0, band=6)
    task = (await vault.submit(ANN)).task
    assert await holders(vault, task) == ["c", "b"]
    expected = [
        [C.fingerprint, 8, 85.5, 0, 0],
        [B.fingerprint, 6, 61.0, 0, 0],
        [A.fingerprint, 2, 50.0, 0, 0],
    ]
    assert [json.loads(row["ranking"]) for row in await vault.assignments(task)] == [expected, expected]
    lines = vault.logged("task.assigned")
    assert [(line["slot"], line["rank"], line["candidates"]) for line in lines] == [(1, 1, 3), (2, 2, 3)]


async def test_among_equals_the_idle_and_then_the_longest_unserved_are_asked(vault: Vault) -> None:
    for one in (A, B, C, D):
        await vault.join(one, capacity=5)
    first = await holders(vault, (await vault.submit(ANN)).task)
    vault.now_ms += 1
    second = await holders(vault, (await vault.submit(ANN)).task)
    assert sorted(first + second) == ["a", "b", "c", "d"]
    vault.now_ms += 1
    assert sorted(await holders(vault, (await vault.submit(ANN)).task)) == sorted(first)


async def test_the_second_solver_comes_from_another_address_where_possible(vault: Vault) -> None:
    near = [solver(name, "203.0.113.7") for name in ("a", "b")]
    for one in near:
        await vault.join(one, capacity=5)
    together = (await vault.submit(ANN)).task
    assert len(await holders(vault, together)) == 2
    await vault.join(C, capacity=5)
    await rank_at(vault, near[0], reputation=90, band=9)
    await rank_at(vault, near[1], reputation=80, band=8)
    apart = (await vault.submit(ANN)).task
    assert await holders(vault, apart) == ["a", "c"]


async def test_one_second_slot_in_ten_goes_to_a_newcomer(vault: Vault) -> None:
    for one in (A, B, C):
        await vault.join(one, capacity=64)
    await rank_at(vault, A, reputation=90, band=9)
    await rank_at(vault, B, reputation=80, band=8)
    asked = [await holders(vault, (await vault.submit(ANN)).task) for _ in range(20)]
    assert asked.count(["a", "c"]) == 2
    assert asked[9] == asked[19] == ["a", "c"]


async def test_deadlines_follow_the_announced_speed(make_vault: MakeVault) -> None:
    vault = await make_vault(deadline_ms_min=1)
    await vault.join(A, bits=BITS, speed=100)
    task = (await vault.submit(ANN)).task
    [row] = await vault.assignments(task)
    assert row["deadline"] - vault.now_ms == 3 * 1000 * COMPUTED.t // 100


async def test_an_unknown_speed_has_eight_hours(vault: Vault) -> None:
    await vault.join(A, speed=0)
    [row] = await vault.assignments((await vault.submit(ANN)).task)
    assert row["deadline"] - vault.now_ms == 8 * HOUR_MS


BAD_SIZES = ["", "0", "02048", "-1", "2048 ", "1e3", "٢٠٤٨", "²", "big", "1_0"]


@pytest.mark.parametrize("size", BAD_SIZES)
async def test_a_size_that_is_no_number_is_refused(vault: Vault, size: str) -> None:
    await vault.join(A)
    with pytest.raises(MessageError) as caught:
        await vault.give(A, UpdateStatus(state="paused", capacity=9, speeds={"2048": 1, size: 1}))
    assert caught.value.code is Code.BAD_FIELD
    row = await vault.solver(A)
    assert (row["state"], row["capacity"]) == ("ready", 1)


# taking


async def test_accepting_may_be_repeated(vault: Vault) -> None:
    await vault.join(A)
    key = await vault.key((await vault.submit(ANN)).task, A)
    first = await vault.accept(A, key)
    vault.now_ms += 5
    assert await vault.accept(A, key) == first
    [row] = await vault.rows("SELECT * FROM task_assignments")
    assert (row["status"], row["accepted_at"], row["deadline"]) == ("accepted", vault.now_ms - 5, first.deadline)
    assert len(vault.logged("assignment.accepted")) == 1
    assert len(await vault.offers(A)) == 1


async def test_only_ones_own_can_be_accepted(vault: Vault) -> None:
    await vault.join(A)
    key = await vault.key((await vault.submit(ANN)).task, A)
    for who, number in ((B, key), (A, key + 1)):
        with pytest.raises(MessageError) as caught:
            await vault.give(who, AcceptAssignment(assignment=number))
        assert caught.value.code is Code.ASSIGNMENT_NOT_FOUND
    assert await vault.status(key) == "offered"


async def test_progress_goes_to_the_client_and_is_not_stored(vault: Vault) -> None:
    await vault.join(A)
    reply = await vault.submit(ANN)
    key = await vault.key(reply.task, A)
    before = await vault.rows("SELECT * FROM outbox")
    for done in (10, 10**9):
        await vault.give(A, ReportProgress(assignment=key, done=done))
    relays = [effect for effect in vault.effects if isinstance(effect, Relay)]
    assert [relay.message for relay in relays] == [
        TaskProgress(task=reply.task, done=10, total=1000),
        TaskProgress(task=reply.task, done=1000, total=1000),
    ]
    assert {(relay.receiver, relay.endpoint) for relay in relays} == {(ANN.subject, Endpoint.CLIENT)}
    assert await vault.rows("SELECT * FROM outbox") == before


async def test_progress_of_others_or_of_what_has_ended_goes_nowhere(vault: Vault) -> None:
    await vault.join(A)
    key = await vault.key((await vault.submit(ANN)).task, A)
    await vault.give(B, ReportProgress(assignment=key, done=1))
    await vault.hand_back(A, key)
    await vault.give(A, ReportProgress(assignment=key, done=1))
    assert not [effect for effect in vault.effects if isinstance(effect, Relay)]


async def test_after_a_restart_nobody_is_online(vault: Vault) -> None:
    await vault.join(A, capacity=5)
    first = (await vault.submit(ANN)).task
    await vault.give(SERVER, StartServing())
    second = (await vault.submit(ANN)).task
    assert await holders(vault, first) == ["a"]
    assert await holders(vault, second) == []
