"""Complaints and their rulings as both sides live through them, and what remains of them in the file and the logs."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest

from protocol.errors import Code
from protocol.identity import Identity
from protocol.vault import (
    AskStatus,
    AssignmentEnded,
    Complain,
    ComplaintRuled,
    ComplaintTaken,
    PuzzleAccepted,
    PuzzleAnswered,
    StandingChanged,
    TaskFailed,
    TaskState,
)
from tests.acceptance import rows
from tests.acceptance.conversation import accept, agree, answer, dial_solver, refused_message
from tests.acceptance.operators import is_sound, operate
from tests.acceptance.puzzles import COMPUTED, Maker
from tests.acceptance.test_secrets import files_of, no_secret_in, written
from tests.conftest import StartServer
from tests.dialling import Dialled, dial
from tests.vault_client.conftest import Client

AGREED = 10_000
"""Squarings that the server does not compute: what two solvers agree on is the answer."""


async def until(ms: int) -> None:
    """Until that time has passed."""
    await asyncio.sleep(max(0.0, ms / 1000 - time.time() + 0.02))


async def ruled(dialled: Dialled, ruling: str, *, assignment: int | None = None) -> ComplaintRuled:
    """The next ruling, as this side is told it."""
    told = await dialled.take(ComplaintRuled)
    assert (told.ruling, told.assignment) == (ruling, assignment)
    return told


# wrong, and proved so


async def test_two_liars_are_convicted_by_a_factor_which_is_written_down_nowhere(
    start_server: StartServer, tmp_path: Path
) -> None:
    server, maker = await start_server(), Maker()
    customer = Client(tmp_path, server)
    trapdoor, lie = maker.trapdoor, maker.modulus // 3
    (tmp_path / "p.txt").write_text(f"{trapdoor.p}\n")
    liars = [Identity.generate(), Identity.generate()]
    numbers = {"p": trapdoor.p, "q": trapdoor.q, "N": maker.modulus, "lie": lie}
    async with (
        await dial(server.url, identity=customer.identity) as client,
        await dial_solver(server, liars[0]) as one,
        await dial_solver(server, liars[1]) as two,
    ):
        task = await agree(client, [one, two], maker.order(AGREED, committed=False)[0], lie)
        complain = customer.start("complain", task, "--wrong-answer", "--factor-file", "p.txt", "--wait", "--json")
        out, errors = await customer.end(complain)
        shown = json.loads(out)
        assert (shown["ruling"], shown["reason"]) == ("upheld", "the factor proves the answer wrong")
        told = await client.take(ComplaintRuled)
        assert (told.task, told.ruling, told.assignment) == (task, "upheld", None)
        failed = await client.take(TaskFailed)
        assert (failed.task, failed.reason) == (task, f"complaint {told.complaint} was upheld: {told.reason}")
        for liar in (one, two):
            convicted = await liar.take(ComplaintRuled)
            assert (convicted.ruling, convicted.task) == ("upheld", task)
            fallen = await liar.take(StandingChanged)
            assert (fallen.reason, fallen.task, fallen.standing) == ("answer proved wrong", task, "solver")
            assert fallen.reputation_score == pytest.approx(100 / 22), "20 against it and nothing for it"
        state = await client.ask(AskStatus(task=task), TaskState)
        assert (state.status, state.answer, state.judged_by) == ("failed", None, None)

        explained = await operate(server, "explain", task, "--json")
        no_secret_in(files_of(server), numbers)
        await server.kill()  # the WAL as a crash leaves it
        no_secret_in(files_of(server), numbers)
    assert await operate(server, "explain", task, "--json") == explained, "the file says the same as the server"
    is_sound(server)
    await server.start()
    await server.terminate()
    no_secret_in(files_of(server), numbers)

    found = json.loads(explained)
    assert (found["status"], found["reason"]) == ("failed", failed.reason)
    assert {(a["solver"], a["status"]) for a in found["assignments"]} == {(k.fingerprint, "invalid") for k in liars}
    [complaint] = found["complaints"]
    assert (complaint["status"], complaint["factor_revealed"], complaint["ruling"]) == ("upheld", True, told.reason)
    assert {party["solver"] for party in complaint["about"]} == {key.fingerprint for key in liars}
    assert {score["reason"] for score in found["scores"]} == {"answer proved wrong"}
    page = await operate(server, "explain", task)
    for printed in (out, errors, explained, page):
        assert not [form for n in numbers.values() for form in written(n).values() if form in printed.encode()]


# right after all


async def test_false_complaints_are_rejected_and_cost_and_the_fourth_is_not_heard(
    start_server: StartServer, maker: Maker
) -> None:
    server = await start_server(deadline_ms_min=1000, deadline_slack=1.0, complaint_ms=1500)
    async with (
        await dial(server.url) as client,
        await dial_solver(server, speed=2**50) as one,
        await dial_solver(server, speed=2**50) as two,
    ):
        order, right = maker.order(AGREED, committed=False)
        agreed = await agree(client, [one, two], order)
        order, computed_right = maker.order(COMPUTED)
        computed = (await client.ask(order, PuzzleAccepted)).task
        assert await answer(one, await accept(one)) == "valid"
        await client.take(PuzzleAnswered)

        scores = []
        for task, kind, factor, reason in (
            (agreed, "wrong_answer", maker.trapdoor.q, "the factor shows the answer to be right"),
            (computed, "wrong_answer", None, "the server computed this answer itself"),
            (computed, "late", None, "the answer came before the promised time"),
        ):
            await client.ask(Complain(task=task, kind=kind, factor=factor), ComplaintTaken)
            told = await ruled(client, "rejected")
            assert (told.task, told.kind, told.reason) == (task, kind, reason)
            fallen = await client.take(StandingChanged)
            assert (fallen.standing, fallen.reason) == ("client", "complaint rejected")
            scores.append(fallen.reputation_score)
        assert scores == pytest.approx([25.0, 100 / 6, 12.5])
        fourth = Complain(task=computed, kind="no_answer")
        refusal = await refused_message(client, fourth, Code.TOO_MANY_COMPLAINTS)
        assert refusal.retry_after_ms is not None
        assert refusal.retry_after_ms > 6 * 24 * 3600 * 1000, "a week from the first of them"

        answers = {agreed: right, computed: computed_right}
        states = [await client.ask(AskStatus(task=task), TaskState) for task in answers]
        for state in states:
            assert (state.status, state.answer) == ("answered", answers[state.task])
            assert state.complaint_deadline is not None
            await server.event("task.settled", task=state.task)
            assert time.time() * 1000 > state.complaint_deadline
            settled = await client.ask(AskStatus(task=state.task), TaskState)
            assert (settled.status, settled.answer, settled.judged_by) == ("settled", state.answer, state.judged_by)
        await refused_message(client, fourth, Code.COMPLAINT_LATE)
        good = [await solver.take(StandingChanged) for solver in (one, two)]
        assert [(push.reason, push.score_change > 0) for push in good] == 2 * [("valid answer", True)], (
            "the factor that cleared them also proved them right"
        )
    is_sound(server)


# late, or never


async def test_what_nobody_worked_on_was_late_and_unanswered_and_nobody_is_to_blame(
    start_server: StartServer, maker: Maker
) -> None:
    server = await start_server(deadline_ms_min=1, deadline_ms_unknown=1000, deadline_slack=1.0)
    async with await dial(server.url) as client:
        order, right = maker.order(COMPUTED)
        accepted = await client.ask(order, PuzzleAccepted)
        assert accepted.promised_by is not None
        for kind in ("late", "no_answer"):
            early = await refused_message(client, Complain(task=accepted.task, kind=kind), Code.COMPLAINT_EARLY)
            assert early.retry_after_ms is not None
            assert 0 < early.retry_after_ms <= 1001
        await refused_message(client, Complain(task=accepted.task, kind="wrong_answer"), Code.NOTHING_TO_COMPLAIN)
        await until(accepted.promised_by)
        for kind, reason in (
            ("late", "the promised time was missed and there is none yet"),
            ("no_answer", "no answer in the promised time; 0 of its solvers missed their deadline"),
        ):
            taken = await client.ask(Complain(task=accepted.task, kind=kind), ComplaintTaken)
            assert (taken.status, taken.ruling_by) == ("upheld", None)
            assert (await ruled(client, "upheld")).reason == reason
            again = await refused_message(client, Complain(task=accepted.task, kind=kind), Code.COMPLAINT_EXISTS)
            assert "upheld" in again.message
        async with await dial_solver(server, speed=1) as solver:
            assert await answer(solver, await accept(solver)) == "valid", "it is still wanted"
            assert (await client.take(PuzzleAnswered)).answer == right
        assert await client.silence() == []
    assert rows.look(server.database, "SELECT reason FROM score_history") == [("valid answer",)]
    is_sound(server)


async def test_who_sat_on_a_task_is_blamed_once_for_its_deadline_and_once_for_the_complaint(
    start_server: StartServer, maker: Maker
) -> None:
    server = await start_server(deadline_ms_min=1000, deadline_slack=1.0)
    async with await dial(server.url) as client, await dial_solver(server, speed=2**50) as idler:
        accepted = await client.ask(maker.order(AGREED)[0], PuzzleAccepted)
        held = await accept(idler)
        assert accepted.promised_by == held.deadline
        assert (await idler.take(AssignmentEnded)).outcome == "expired"
        assert (await idler.take(StandingChanged)).score_change == -25.0
        await client.ask(Complain(task=accepted.task, kind="late"), ComplaintTaken)
        assert (await ruled(client, "upheld")).task == accepted.task
        assert (await ruled(idler, "upheld", assignment=held.assignment)).kind == "late"
        fallen = await idler.take(StandingChanged)
        assert (fallen.reason, fallen.reputation_score) == ("complaint upheld", 20.0)
        await client.ask(Complain(task=accepted.task, kind="no_answer"), ComplaintTaken)
        await ruled(client, "upheld")
        await ruled(idler, "upheld", assignment=held.assignment)
        assert await idler.silence() == [], "one deadline, one complaint's weight"
    is_sound(server)
