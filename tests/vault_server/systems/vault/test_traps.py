"""The server's own puzzles: nobody can tell them from a client's, they cost what they may, and they show what solvers
are worth."""

from __future__ import annotations

import pytest

from protocol.puzzle import commit
from protocol.vault import CancelTask, PuzzleOffered, SubmitPuzzle
from tests.vault_server.systems.vault.conftest import MakeVault
from tests.vault_server.systems.vault.grievances import score
from tests.vault_server.systems.vault.harness import AGREED, COMPUTED, OTHER_MODULUS, OWN, PROVED, Vault, answer_to
from tests.vault_server.systems.vault.stories import ANN, WRONG, A, B, C, start
from vault_server.core.operation import SERVER, JobDue
from vault_server.systems.vault.arithmetic import Model, make
from vault_server.systems.vault.orders import IssueTrap, LookForTraps
from vault_server.systems.vault.records import open_puzzle, open_squarings
from vault_server.systems.vault.records import q as records_q
from vault_server.systems.vault.rules import trap_budget
from vault_server.systems.vault.traps import LOOK_MS, MAKING_MS_MAX, OPEN_TRAPS_MAX


async def traps(vault: Vault) -> list[dict[str, object]]:
    return await vault.rows("SELECT * FROM tasks WHERE is_trap = 1 ORDER BY db_key")


async def set_a_trap(vault: Vault, model: SubmitPuzzle) -> dict[str, object]:
    """A client's task, and a trap that resembles it: the trap's row."""
    task = (await vault.submit(ANN, model)).task
    vault.jobs.clear()
    await vault.judge_one(JobDue("make_trap", task))
    return (await traps(vault))[-1]


async def answer_of(vault: Vault, task: object) -> int:
    """By squaring; the server has thrown the factors away."""
    row = await vault.database.read(lambda reader: reader.one(records_q.task, fingerprint=task))
    assert row is not None
    puzzle = open_puzzle(vault.parts.cipher, row)
    return pow(puzzle.base, 1 << puzzle.squarings, puzzle.modulus)


# what a trap is


@pytest.mark.parametrize("wants_proof", [True, False])
def test_a_trap_has_a_fresh_product_and_a_known_answer(wants_proof: bool) -> None:
    one, other = (make(Model(3000, 128, wants_proof)) for _ in range(2))
    assert one.puzzle.modulus != other.puzzle.modulus
    assert (one.puzzle.squarings, one.puzzle.modulus.bit_length()) == (3000, 128)
    right = pow(one.puzzle.base, 1 << 3000, one.puzzle.modulus)
    assert one.commitment == commit(right, one.puzzle.modulus)
    assert one.wants_proof is wants_proof
    assert str(one.puzzle.modulus) not in repr(one)


@pytest.mark.parametrize(
    ("model", "judging"),
    [(PROVED, "proof"), (AGREED, "known"), (COMPUTED, "computed")],
    ids=["proved", "agreed", "small"],
)
async def test_a_trap_resembles_a_clients_task(vault: Vault, model: SubmitPuzzle, judging: str) -> None:
    await vault.join(A, capacity=4)
    await vault.join(B, capacity=4)
    trap = await set_a_trap(vault, model)
    assert (trap["judging"], trap["client_id"], trap["status"]) == (judging, OWN.fingerprint, "assigned")
    for who in (A, B):
        real, own = await vault.offers(who)
        assert (real.proof, real.product.bit_length()) == (own.proof, own.product.bit_length())
        assert abs(real.t - own.t) <= real.t // 10
        assert real.product != own.product
        assert type(own) is PuzzleOffered


async def test_the_server_is_told_nothing_by_itself(vault: Vault) -> None:
    await vault.join(A, capacity=4)
    trap = await set_a_trap(vault, AGREED)
    key = await vault.key(str(trap["fingerprint"]), A)
    assert await vault.answer(A, key, await answer_of(vault, trap["fingerprint"])) == "valid"
    assert await vault.rows("SELECT * FROM outbox WHERE receiver = :own", own=OWN.subject) == []


# what it shows


async def test_who_lies_where_two_would_have_agreed_is_convicted(vault: Vault) -> None:
    await vault.join(A, capacity=4)
    await vault.join(B, capacity=4)
    trap = await set_a_trap(vault, AGREED)
    task = str(trap["fingerprint"])
    for who in (A, B):
        assert await vault.answer(who, await vault.key(task, who), WRONG) == "invalid"
        assert await score(vault, who) < 10
    assert (await vault.task(task))["status"] == "failed"
    assert await vault.rows("SELECT * FROM outbox WHERE receiver = :own", own=OWN.subject) == []


async def test_a_trap_is_for_one_pair(vault: Vault) -> None:
    for who in (A, B, C):
        await vault.join(who, capacity=4)
    trap = await set_a_trap(vault, AGREED)
    task = str(trap["fingerprint"])
    [first, second] = [row["solver_id"] for row in await vault.assignments(task)]
    assert first != second
    who = next(one for one in (A, B, C) if one.fingerprint == first)
    await vault.answer(who, await vault.key(task, who), WRONG)
    assert len(await vault.assignments(task)) == 2


async def test_a_proof_is_asked_for_in_a_trap_as_in_a_task(vault: Vault) -> None:
    await vault.join(A, capacity=4)
    trap = await set_a_trap(vault, PROVED)
    assert trap["commitment"] is None
    key = await vault.key(str(trap["fingerprint"]), A)
    assert await vault.prove(A, key) == "pending"
    await vault.judge()
    assert await vault.status(key) == "valid"
    assert await score(vault, A) > 50  # it may earn its way back
    assert (await vault.solver(A))["valid_answers"] == 1


async def test_who_had_none_for_longest_is_asked_first_and_then_who_stands_worst(vault: Vault) -> None:
    for who in (A, B, C):
        await vault.join(who, capacity=8)
    convicted = (await vault.submit(ANN, COMPUTED)).task
    held = {row["solver_id"] for row in await vault.assignments(convicted)}
    liar = next(who for who in (A, B, C) if who.fingerprint in held)
    await vault.answer(liar, await vault.key(convicted, liar), WRONG)
    first = str((await set_a_trap(vault, AGREED))["fingerprint"])
    asked = {row["solver_id"] for row in await vault.assignments(first)}
    assert liar.fingerprint in asked
    vault.now_ms += 1
    second = str((await set_a_trap(vault, AGREED))["fingerprint"])
    third = {who.fingerprint for who in (A, B, C)} - asked
    assert third < {row["solver_id"] for row in await vault.assignments(second)}


# what it costs


def test_the_budget_is_a_share_of_what_clients_asked_for() -> None:
    assert trap_budget(1000.0, 0.0, 0.01) == 10.0
    assert trap_budget(1000.0, 10.0, 0.01) == 0.0
    assert trap_budget(0.0, 0.0, 1.0) == 0.0


async def looked(vault: Vault) -> int:
    """How many traps a look has made."""
    before = len(await traps(vault))
    vault.jobs.clear()
    await vault.give(SERVER, LookForTraps())
    await vault.judge()
    return len(await traps(vault)) - before


async def answered(vault: Vault, count: int) -> None:
    """So many tasks of a client that A, who is online, has answered."""
    for _ in range(count):
        task = (await vault.submit(ANN, COMPUTED)).task
        await vault.answer(A, await vault.key(task, A), answer_to(COMPUTED))


async def test_a_trap_is_made_when_the_clients_effort_affords_it(make_vault: MakeVault) -> None:
    vault = await make_vault(trap_share=0.3)
    await vault.join(A, capacity=64)
    await answered(vault, 3)
    assert await looked(vault) == 0  # nine tenths of one
    await answered(vault, 1)
    assert await looked(vault) == 1  # a tenth more or less of t
    assert await looked(vault) == 0
    row = await vault.row("SELECT effort FROM clients WHERE client_id = :own", own=OWN.fingerprint)
    [effort] = {trap["effort"] for trap in await traps(vault)}
    assert row["effort"] == effort


async def test_what_was_asked_for_and_not_done_affords_nothing(make_vault: MakeVault) -> None:
    vault = await make_vault(trap_share=1.0)
    await vault.join(A, capacity=64)
    task = (await vault.submit(ANN, AGREED)).task
    assert await looked(vault) == 0
    await vault.give(ANN, CancelTask(task=task))
    assert await looked(vault) == 0
    row = await vault.row("SELECT effort FROM clients WHERE client_id = :ann", ann=ANN.fingerprint)
    assert row["effort"] == 0


async def test_nothing_is_made_for_nobody_and_of_nothing(make_vault: MakeVault) -> None:
    vault = await make_vault(trap_share=1.0)
    assert await looked(vault) == 0
    await vault.join(A, capacity=64)
    await answered(vault, 2)
    await vault.leave(A)
    assert await looked(vault) == 0
    await vault.join(A, capacity=64)
    assert await looked(vault) == 1


async def test_a_t_that_one_puzzle_has_is_moved_and_one_that_many_have_is_kept(vault: Vault) -> None:
    await vault.join(A, capacity=64)
    own = [open_squarings_of(vault, await set_a_trap(vault, AGREED)) for _ in range(4)]
    assert all(abs(t - AGREED.t) <= AGREED.t // 10 for t in own)
    assert len(set(own)) > 1
    other = SubmitPuzzle(t=AGREED.t, baseg=3, product=OTHER_MODULUS, proof="none")
    assert [open_squarings_of(vault, await set_a_trap(vault, other)) for _ in range(2)] == [AGREED.t] * 2


def open_squarings_of(vault: Vault, row: dict[str, object]) -> int:
    return open_squarings(vault.parts.cipher, row)


async def test_no_more_traps_are_open_than_may_be(make_vault: MakeVault) -> None:
    vault = await make_vault(trap_share=1.0)
    await start(vault, AGREED)
    made = make(Model(AGREED.t, 128, wants_proof=False))
    for _ in range(OPEN_TRAPS_MAX + 1):
        await vault.give(SERVER, IssueTrap(made.puzzle, made.commitment, wants_proof=False))
    assert len(await traps(vault)) == OPEN_TRAPS_MAX
    await vault.give(SERVER, LookForTraps())
    assert vault.jobs == []


async def test_the_server_looks_again_and_again_and_after_a_restart(make_vault: MakeVault) -> None:
    vault = await make_vault(trap_share=1.0)
    await vault.restart()
    await vault.join(A, capacity=64)
    await answered(vault, 8)
    for number in (1, 2):
        before = len(await traps(vault))
        await vault.wait(3 * LOOK_MS // 2)
        await vault.judge()
        assert len(await traps(vault)) > before, number


async def test_without_a_share_the_server_never_looks(make_vault: MakeVault) -> None:
    vault = await make_vault(trap_share=0.0)
    await vault.restart()
    assert await vault.rows("SELECT * FROM deadlines") == []


# a new key solves one first


async def test_a_new_key_gets_a_clients_task_after_its_first_valid_answer(make_vault: MakeVault) -> None:
    vault = await make_vault(trap_first=True)
    task = (await vault.submit(ANN, AGREED)).task
    await vault.join(A, capacity=4)
    assert await vault.offers(A) == []
    assert [due.job for due in vault.jobs] == ["make_trap"]
    await vault.judge()
    [trap] = await traps(vault)
    [offer] = await vault.offers(A)
    assert offer.task == trap["fingerprint"]
    right = await answer_of(vault, trap["fingerprint"])
    assert await vault.answer(A, offer.assignment, right) == "valid"
    assert [each.task for each in await vault.offers(A)] == [task]


async def test_one_first_trap_is_made_at_a_time(make_vault: MakeVault) -> None:
    vault = await make_vault(trap_first=True)
    await vault.submit(ANN, AGREED)
    await vault.join(A)
    for _ in range(3):
        await vault.update(A)
    assert len(vault.jobs) == 1
    vault.now_ms += MAKING_MS_MAX  # it never came
    await vault.update(A)
    assert len(vault.jobs) == 2


async def test_one_open_trap_serves_the_next_new_key(make_vault: MakeVault) -> None:
    vault = await make_vault(trap_first=True)
    await vault.submit(ANN, AGREED)
    await vault.join(A)
    await vault.judge()
    await vault.join(B)
    assert vault.jobs == []
    assert [offer.task for offer in await vault.offers(B)] == [(await traps(vault))[0]["fingerprint"]]


async def test_traps_are_not_asked_of_new_keys_unless_the_operator_says_so(vault: Vault) -> None:
    _, [a] = await start(vault, AGREED, [A])
    assert await vault.status(a) == "offered"
    assert vault.jobs == []
