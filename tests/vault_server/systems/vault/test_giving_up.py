"""Deadlines that pass, tasks that settle, work that is handed back."""

from __future__ import annotations

import pytest

from protocol.errors import Code, MessageError
from tests.vault_server.systems.vault.conftest import MakeVault
from tests.vault_server.systems.vault.harness import (
    COMPUTED,
    HOUR_MS,
    Vault,
    answer_to,
)
from tests.vault_server.systems.vault.stories import ANN, A, B, C, ended, refused, start
from vault_server.core.operation import SERVER
from vault_server.systems.vault.orders import ExpireAssignment, SettleTask

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


async def test_who_is_away_is_given_nothing_when_its_own_expires(vault: Vault) -> None:
    await vault.join(A, capacity=1)
    first, second = [(await vault.submit(ANN)).task for _ in range(2)]
    await vault.leave(A)
    await vault.wait(24 * HOUR_MS)
    assert await vault.status(await vault.key(first, A)) == "expired"
    assert await vault.assignments(second) == []


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
    await vault.wait(row["complaint_deadline"] - vault.now_ms)
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
