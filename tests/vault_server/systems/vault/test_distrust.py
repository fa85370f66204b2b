"""Who stands in band 0 is given a client's task only when nobody better is left to wait for."""

from __future__ import annotations

import pytest

from tests.vault_server.people import client, solver
from tests.vault_server.storage.rows import committed
from tests.vault_server.systems.vault.harness import AGREED, PROVED, Vault
from vault_server.core.operation import SERVER, Caller, Transaction
from vault_server.systems.vault.evidence import against_solver
from vault_server.systems.vault.orders import RecordProof
from vault_server.systems.vault.rules import Evidence

ANN = client("ann")
GOOD, OTHER, LIAR, SECOND_LIAR = (solver(name) for name in ("good", "other", "liar", "second liar"))


async def convict(vault: Vault, *liars: Caller) -> None:
    """As a failed proof would: a new key stands at 4.5 then, in band 0."""

    def work(tx: Transaction) -> None:
        for liar in liars:
            against_solver(tx, liar.fingerprint, Evidence.ANSWER_REFUTED, None, vault.now_ms)

    await committed(vault.database, work)


async def asked(vault: Vault, task: str) -> set[str]:
    """All who were ever asked."""
    return {row["solver_id"] for row in await vault.assignments(task)}


async def test_a_task_waits_for_the_better_one_however_busy_it_is(vault: Vault) -> None:
    await vault.join(GOOD, capacity=1)
    await vault.join(LIAR, capacity=5)
    await convict(vault, LIAR)
    first, second = [(await vault.submit(ANN)).task for _ in range(2)]
    assert await asked(vault, second) == set()
    await vault.update(LIAR, 5)
    assert await asked(vault, second) == set()
    await vault.hand_back(GOOD, await vault.key(first, GOOD))
    assert GOOD.fingerprint in await asked(vault, second)


async def test_the_second_slot_is_not_kept_for_somebody_who_has_the_first(vault: Vault) -> None:
    await vault.join(GOOD, capacity=5)
    await vault.join(LIAR, capacity=5)
    await convict(vault, LIAR)
    task = (await vault.submit(ANN)).task
    assert await asked(vault, task) == {GOOD.fingerprint, LIAR.fingerprint}


async def test_the_second_slot_waits_for_another_better_one(vault: Vault) -> None:
    for one in (GOOD, LIAR):
        await vault.join(one, capacity=5)
    await vault.join(OTHER, capacity=1)
    await convict(vault, LIAR)
    tasks = [(await vault.submit(ANN)).task for _ in range(2)]
    assert LIAR.fingerprint not in await asked(vault, tasks[0]) | await asked(vault, tasks[1])
    assert await asked(vault, tasks[1]) == {GOOD.fingerprint}


async def test_among_themselves_the_distrusted_are_given_work(vault: Vault) -> None:
    for one in (LIAR, SECOND_LIAR):
        await vault.join(one, capacity=5)
    await convict(vault, LIAR, SECOND_LIAR)
    task = (await vault.submit(ANN)).task
    assert await asked(vault, task) == {LIAR.fingerprint, SECOND_LIAR.fingerprint}


@pytest.mark.parametrize("leaves", ["leaves", "pauses", "takes nothing"])
async def test_what_waits_goes_to_the_distrusted_when_the_last_better_one_goes(vault: Vault, leaves: str) -> None:
    await vault.join(GOOD, capacity=1)
    await vault.join(LIAR, capacity=5)
    await convict(vault, LIAR)
    _, second = [(await vault.submit(ANN)).task for _ in range(2)]
    assert await asked(vault, second) == set()
    if leaves == "leaves":
        await vault.leave(GOOD)
    else:
        await vault.update(GOOD, 1 if leaves == "pauses" else 0, state="paused" if leaves == "pauses" else "ready")
    assert await asked(vault, second) == {LIAR.fingerprint}


async def test_a_better_one_that_cannot_take_the_task_is_not_waited_for(vault: Vault) -> None:
    await vault.join(GOOD, bits=64)
    own = solver("ann")
    await vault.join(own, capacity=5)
    await vault.join(LIAR, capacity=5)
    await convict(vault, LIAR)
    assert await asked(vault, (await vault.submit(ANN)).task) == {LIAR.fingerprint}


async def test_a_liar_does_not_use_up_a_task_while_the_good_one_works(vault: Vault) -> None:
    """Without this every task of a busy hour went to those who are done at once."""
    liars = [solver(f"liar {number}") for number in range(6)]
    await vault.join(GOOD, capacity=1)
    for liar in liars:
        await vault.join(liar, capacity=1)
    await convict(vault, *liars)
    _, second = [(await vault.submit(ANN, AGREED)).task for _ in range(2)]
    assert (await vault.task(second))["num_assignments"] == 0


async def test_a_convicted_newcomer_has_had_its_turn(vault: Vault) -> None:
    for one in (GOOD, OTHER, LIAR):
        await vault.join(one, capacity=64)
    await convict(vault, LIAR)
    for _ in range(20):
        assert LIAR.fingerprint not in await asked(vault, (await vault.submit(ANN)).task)


async def test_two_have_to_agree_also_when_only_one_of_them_is_trusted(vault: Vault) -> None:
    await vault.join(LIAR)
    await convict(vault, LIAR)
    await vault.join(GOOD, capacity=1)
    first, second = [(await vault.submit(ANN, AGREED)).task for _ in range(2)]
    await vault.update(LIAR, 5)
    assert await asked(vault, second) == set()
    await vault.hand_back(GOOD, await vault.key(first, GOOD))
    assert await asked(vault, second) == {GOOD.fingerprint, LIAR.fingerprint}


@pytest.mark.parametrize("is_right", [True, False])
async def test_a_newcomer_gets_nothing_more_before_its_proof_is_checked(vault: Vault, is_right: bool) -> None:
    """Else one that lies at once went through all that waits before its first proof has failed."""
    await vault.join(LIAR, capacity=1)
    first, second = [(await vault.submit(ANN, PROVED)).task for _ in range(2)]
    key = await vault.key(first, LIAR)
    await vault.prove(LIAR, key, answer=None if is_right else 2)
    await vault.update(LIAR, 5)
    assert await asked(vault, second) == set()
    await vault.give(SERVER, RecordProof(key, holds=is_right))
    assert await asked(vault, second) == {LIAR.fingerprint}


async def test_neither_the_first_choice_nor_a_newcomers_turn_goes_past_that(vault: Vault) -> None:
    await vault.join(LIAR, capacity=64)
    await vault.prove(LIAR, await vault.key((await vault.submit(ANN, PROVED)).task, LIAR))
    tasks = [(await vault.submit(ANN, PROVED)).task for _ in range(20)]
    assert not any([await asked(vault, task) for task in tasks])
