"""Relayed checkpoints are checked: whom that blames and whom not, when it is done, and what operators see."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from protocol import relay
from protocol.errors import Code
from protocol.relay import encode
from protocol.vault import CancelTask
from tests.protocol.forging import joined
from tests.vault_server.systems.vault.conftest import MakeVault
from tests.vault_server.systems.vault.harness import (
    AGREED,
    COMPUTED,
    MODULUS,
    PROVED,
    P,
    Vault,
    answer_to,
)
from tests.vault_server.systems.vault.relaying import (
    DEPTH,
    INTERVAL_MS,
    PLACES,
    RIGHT,
    TRAPDOOR,
    WIDTH,
    alone,
    offered,
    part,
    refused,
    relay_of,
    relayed,
    squared_on,
    succeed,
)
from tests.vault_server.systems.vault.stories import ANN, WRONG, A, B, C, D, ended, start
from vault_server.core.operation import SERVER, JobDue
from vault_server.operator.explain_page import explain_page
from vault_server.systems.vault import assigning, orders
from vault_server.systems.vault.explanation import explain
from vault_server.systems.vault.gauges import relays_by_status
from vault_server.systems.vault.records import open_residues


@pytest.fixture
async def vault(make_vault: MakeVault) -> Vault:
    return await make_vault(relay_interval_ms=INTERVAL_MS)


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
