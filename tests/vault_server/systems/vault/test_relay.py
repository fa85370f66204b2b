"""Checkpoints that solvers relay: what is taken, within which bounds, and what is refused."""

from __future__ import annotations

import pytest

from protocol.errors import Code
from protocol.relay import encode
from protocol.vault import RelayCheckpoint, SubmitPuzzle
from tests.vault_server.systems.vault.conftest import MakeVault
from tests.vault_server.systems.vault.harness import (
    AGREED,
    BY_JOB,
    COMMITTED,
    COMPUTED,
    MODULUS,
    Vault,
)
from tests.vault_server.systems.vault.relaying import (
    DEPTH,
    INTERVAL_MS,
    PLACES,
    RIGHT,
    WIDTH,
    alone,
    part,
    refused,
    relay_of,
    relayed,
    succeed,
)
from tests.vault_server.systems.vault.stories import A, B, start
from vault_server.systems.vault.records import open_residues


@pytest.fixture
async def vault(make_vault: MakeVault) -> Vault:
    return await make_vault(relay_interval_ms=INTERVAL_MS)


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
