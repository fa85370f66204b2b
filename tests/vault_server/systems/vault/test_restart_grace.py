"""Deadlines that passed while the server was down are nobody's fault: they move, and what hangs on them moves along."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.errors import Code
from tests.vault_server.systems.vault.conftest import MakeVault
from tests.vault_server.systems.vault.grievances import agreed, complain, complaint, moved, raised, refusal, respond
from tests.vault_server.systems.vault.harness import BY_JOB, COMPUTED, HOUR_MS, P, Vault, answer_to
from tests.vault_server.systems.vault.stories import A, B, C, ended, start
from vault_server.core.operation import SERVER

GRACE_MS = 120_000


async def assignment(vault: Vault, key: int) -> dict[str, Any]:
    """One assignment's row."""
    return await vault.row("SELECT * FROM task_assignments WHERE db_key = :key", key=key)


async def test_a_deadline_that_passed_moves_and_takes_the_complaint_deadline_along(vault: Vault) -> None:
    task, [a, b] = await start(vault, COMPUTED)
    await vault.accept(A, a)
    before, promised = await assignment(vault, a), (await vault.task(task))["promised_by"]
    await vault.restart(down_ms=HOUR_MS)
    until = vault.now_ms + GRACE_MS
    for key in (a, b):
        row = await assignment(vault, key)
        assert (row["deadline"], row["excused"]) == (until, 1)
        assert row["complaint_deadline"] - row["deadline"] == before["complaint_deadline"] - before["deadline"]
        assert row["ended_at"] is None
    due = await vault.rows("SELECT subject, due FROM deadlines WHERE name = 'expire_assignment' ORDER BY subject")
    assert due == [{"subject": str(key), "due": until} for key in sorted((a, b))]
    assert (await vault.task(task))["promised_by"] == promised  # what the client was told stands
    assert [offer.deadline for offer in await vault.offers(A)] == [until]
    assert vault.logged("assignment.excused")[-1]["count"] == 2


async def test_who_comes_back_in_time_delivers_what_it_kept(vault: Vault) -> None:
    task, [a, b] = await start(vault, COMPUTED)
    await vault.accept(A, a)
    await vault.restart(down_ms=HOUR_MS)
    await vault.wait(GRACE_MS - 1)
    await vault.join(A, capacity=4)
    assert await vault.answer(A, a, answer_to(COMPUTED)) == "valid"
    row = await vault.task(task)
    assert row["complaint_deadline"] == (await assignment(vault, a))["complaint_deadline"] > vault.now_ms
    assert await vault.status(b) == "released"


async def test_who_does_not_come_back_loses_the_work_and_nothing_else(vault: Vault) -> None:
    task, [a, b] = await start(vault, COMPUTED)
    await vault.restart(down_ms=HOUR_MS)
    await vault.join(C)
    assert await vault.offers(C) == []
    await vault.wait(GRACE_MS)
    assert await vault.status(a) == await vault.status(b) == "expired"
    assert await ended(vault, A) == [(a, "expired")]
    assert await moved(vault, A) == await moved(vault, B) == []
    assert (await vault.solver(A))["trusted"] == 1024
    assert [line["blamed"] for line in vault.logged("assignment.expired")] == [False, False]
    assert [offer.task for offer in await vault.offers(C)] == [task]


@pytest.mark.parametrize(("left_ms", "moves"), [(-HOUR_MS, True), (0, True), (GRACE_MS - 1, True), (GRACE_MS, False)])
async def test_a_deadline_that_leaves_no_time_to_come_back_moves_too(
    make_vault: MakeVault, left_ms: int, moves: bool
) -> None:
    vault = await make_vault(deadline_ms_min=HOUR_MS)
    _, [a, _] = await start(vault, COMPUTED)
    deadline = (await assignment(vault, a))["deadline"]
    await vault.restart(down_ms=deadline - left_ms - vault.now_ms)
    row = await assignment(vault, a)
    assert (row["excused"], row["deadline"]) == (int(moves), vault.now_ms + GRACE_MS)


async def test_work_that_was_given_after_the_restart_is_not_excused(vault: Vault) -> None:
    await vault.restart()
    await start(vault, COMPUTED)
    await vault.wait(HOUR_MS)
    assert await moved(vault, A) == [(-25.0, "deadline missed")]


async def test_a_server_that_stood_still_excuses_likewise_and_knows_who_is_there(vault: Vault) -> None:
    _, [a, _] = await start(vault, COMPUTED)
    vault.now_ms += HOUR_MS
    for order in vault.system.waking:
        await vault.give(SERVER, order)
    row = await assignment(vault, a)
    assert (row["excused"], row["deadline"]) == (1, vault.now_ms + GRACE_MS)
    assert (await vault.solver(A))["is_online"]
    await vault.wait(GRACE_MS)
    assert await vault.status(a) == "expired"
    assert await moved(vault, A) == []


async def test_no_grace_means_none(make_vault: MakeVault) -> None:
    vault = await make_vault(restart_grace_ms=0)
    _, [a, _] = await start(vault, COMPUTED)
    await vault.restart(down_ms=HOUR_MS)
    assert await vault.status(a) == "expired"
    assert await moved(vault, A) == []  # but the server was down


async def test_delivered_work_and_settled_matters_do_not_move(vault: Vault) -> None:
    task, [a, b] = await start(vault, BY_JOB)
    await vault.answer(A, a, answer_to(BY_JOB))
    before = await assignment(vault, a)
    await vault.restart(down_ms=HOUR_MS)
    assert await assignment(vault, a) == before
    assert (await assignment(vault, b))["excused"] == 1
    await vault.judge()
    row = await vault.task(task)
    assert (row["status"], row["complaint_deadline"]) == ("answered", before["complaint_deadline"])


async def test_many_restarts_move_a_deadline_as_often(vault: Vault) -> None:
    _, [a, _] = await start(vault, COMPUTED)
    for _ in range(3):
        await vault.restart(down_ms=HOUR_MS)
        row = await assignment(vault, a)
        assert row["deadline"] == vault.now_ms + GRACE_MS
        assert row["complaint_deadline"] == row["deadline"] + vault.settings.complaint_ms
    assert await vault.status(a) == "offered"


# complaints


async def test_who_is_asked_about_a_complaint_is_heard_after_the_server_was_down(vault: Vault) -> None:
    task, [a, b] = await agreed(vault)
    taken = await complain(vault, task)
    assert taken.ruling_by is not None
    await vault.restart(down_ms=taken.ruling_by - vault.now_ms + HOUR_MS)
    until = vault.now_ms + GRACE_MS
    row = await complaint(vault, taken.complaint)
    assert (row["status"], row["respond_by"]) == ("asked", until)
    assert [push.respond_by for push in await raised(vault, A)] == [until]
    await respond(vault, A, taken.complaint, a, "withdraws")
    await vault.wait(GRACE_MS - 1)
    assert (await complaint(vault, taken.complaint))["status"] == "asked"
    await vault.wait(1)
    assert (await complaint(vault, taken.complaint))["status"] == "upheld"
    assert await vault.status(b) == "unproved"


async def test_a_client_may_complain_when_its_time_passed_while_the_server_was_down(vault: Vault) -> None:
    task, _ = await agreed(vault)
    closes = (await vault.task(task))["complaint_deadline"]
    await vault.restart(down_ms=closes - vault.now_ms + HOUR_MS)
    until = vault.now_ms + GRACE_MS
    row = await vault.task(task)
    assert (row["status"], row["complaint_deadline"]) == ("answered", until)
    await vault.wait(GRACE_MS)
    taken = await complain(vault, task, factor=P)
    await vault.judge()
    assert (await complaint(vault, taken.complaint))["status"] == "upheld"
    other, _ = await agreed(vault)
    assert (await vault.task(other))["complaint_deadline"] > until


async def test_nobody_complains_after_the_grace_and_the_task_settles(vault: Vault) -> None:
    task, _ = await agreed(vault)
    closes = (await vault.task(task))["complaint_deadline"]
    await vault.restart(down_ms=closes - vault.now_ms + HOUR_MS)
    await vault.wait(GRACE_MS)
    assert (await vault.task(task))["status"] == "answered"
    await vault.wait(1)
    assert (await vault.task(task))["status"] == "settled"


async def test_a_window_that_had_closed_before_is_not_opened_again(vault: Vault) -> None:
    task, _ = await agreed(vault)
    closes = (await vault.task(task))["complaint_deadline"]
    vault.now_ms = closes
    taken = await complain(vault, task)
    await vault.wait(1)
    await vault.restart(down_ms=1000)
    assert (await vault.task(task))["complaint_deadline"] == closes
    assert (await refusal(vault, task, "late")).code is Code.COMPLAINT_LATE
    assert (await complaint(vault, taken.complaint))["respond_by"] == taken.ruling_by, "nobody needs more time"
