"""Answers that cannot be taken: each is refused by its documented code, and the right one is still taken afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from protocol.errors import Code
from protocol.identity import Identity
from protocol.vault import (
    AcceptAssignment,
    AnswerTaken,
    AskStatus,
    AssignmentAccepted,
    AssignmentEnded,
    AssignmentReturned,
    CancelTask,
    PuzzleAccepted,
    PuzzleAnswered,
    PuzzleOffered,
    ReturnAssignment,
    SubmitAnswer,
    TaskCancelled,
    TaskState,
)
from tests.acceptance.conversation import accept, answer, dial_solver, goes_on, refused_message, until_alone
from tests.acceptance.puzzles import COMPUTED, Maker, solve
from tests.dialling import dial
from tests.processes import Server

SETTINGS: dict[str, object] = {}

WAYS = {"computed": (COMPUTED, False), "commitment": (10_000, True), "agreed": (10_000, False)}
"""How an answer is judged, by the squarings and whether there is a commitment."""


@pytest.fixture(autouse=True)
async def alone(shared_server: Server) -> AsyncIterator[None]:
    """Each test has the shared server for itself, and leaves no open task."""
    yield
    await until_alone(shared_server)


@pytest.mark.parametrize("way", WAYS)
async def test_a_number_that_is_no_residue_is_refused_and_the_right_one_taken(
    shared_server: Server, maker: Maker, way: str
) -> None:
    squarings, committed = WAYS[way]
    order, right = maker.order(squarings, committed=committed)
    async with (
        await dial(shared_server.url) as client,
        await dial_solver(shared_server) as one,
        await dial_solver(shared_server) as two,
    ):
        task = (await client.ask(order, PuzzleAccepted)).task
        offer = await accept(one)
        for wrong in (0, maker.modulus, maker.modulus + 1, maker.modulus + right, 2**4096 - 1):
            message = SubmitAnswer(assignment=offer.assignment, answer=wrong)
            await refused_message(one, message, Code.ANSWER_OUT_OF_RANGE, wrong, right, maker.modulus, order.baseg)
        assert (await client.ask(AskStatus(task=task), TaskState)).status == "assigned"
        verdict = await answer(one, offer)
        assert verdict == {"computed": "valid", "commitment": "valid", "agreed": "pending"}[way]
        if way == "agreed":
            assert await answer(two, await accept(two)) == "unproved"
        told = await client.take(PuzzleAnswered)
        assert (told.task, told.answer, told.judged_by) == (task, right, way)


async def test_an_answer_for_somebody_elses_assignment_is_as_unknown_as_none(
    shared_server: Server, maker: Maker
) -> None:
    order, right = maker.order(COMPUTED)
    async with (
        await dial(shared_server.url) as client,
        await dial_solver(shared_server) as one,
        await dial_solver(shared_server) as two,
    ):
        task = (await client.ask(order, PuzzleAccepted)).task
        mine, theirs = await accept(one), await accept(two)
        for message in (
            SubmitAnswer(assignment=theirs.assignment, answer=right),
            AcceptAssignment(assignment=theirs.assignment),
            ReturnAssignment(assignment=theirs.assignment),
        ):
            refusal = await refused_message(one, message, Code.ASSIGNMENT_NOT_FOUND, right)
            none = await refused_message(one, SubmitAnswer(assignment=999_999, answer=1), Code.ASSIGNMENT_NOT_FOUND)
            assert refusal.message.replace(str(theirs.assignment), "999999") == none.message
        assert not shared_server.find("assignment.answered", task=task)
        await one.ask(AcceptAssignment(assignment=mine.assignment), AssignmentAccepted)
        assert await answer(one, mine) == "valid"
        assert (await client.take(PuzzleAnswered)).answer == right
        assert (await two.take(AssignmentEnded)).assignment == theirs.assignment


@pytest.mark.parametrize("way", WAYS)
async def test_a_second_answer_is_refused_whatever_it_says(shared_server: Server, maker: Maker, way: str) -> None:
    squarings, committed = WAYS[way]
    order, right = maker.order(squarings, committed=committed)
    async with (
        await dial(shared_server.url) as client,
        await dial_solver(shared_server) as one,
        await dial_solver(shared_server) as two,
    ):
        task = (await client.ask(order, PuzzleAccepted)).task
        offer = await accept(one)
        await answer(one, offer)
        for again in (right, 5):
            message = SubmitAnswer(assignment=offer.assignment, answer=again)
            await refused_message(one, message, Code.ALREADY_ANSWERED, right)
        await refused_message(one, AcceptAssignment(assignment=offer.assignment), Code.ALREADY_ANSWERED)
        await refused_message(one, ReturnAssignment(assignment=offer.assignment), Code.ALREADY_ANSWERED)
        if way == "agreed":
            await answer(two, await accept(two))
        assert (await client.take(PuzzleAnswered)).answer == right
        await goes_on(one, maker)
        await shared_server.event("task.answered", task=task)
        assert len(shared_server.find("task.answered", task=task)) == 1


@pytest.mark.parametrize("way", WAYS)
async def test_a_wrong_answer_is_judged_and_others_are_asked(shared_server: Server, maker: Maker, way: str) -> None:
    squarings, committed = WAYS[way]
    order, right = maker.order(squarings, committed=committed)
    async with (
        await dial(shared_server.url) as client,
        await dial_solver(shared_server) as liar,
        await dial_solver(shared_server) as two,
    ):
        task = (await client.ask(order, PuzzleAccepted)).task
        verdict = await answer(liar, await accept(liar), value=5)
        assert verdict == {"computed": "invalid", "commitment": "unproved", "agreed": "pending"}[way]
        assert not shared_server.find("task.answered", task=task)
        verdict = await answer(two, await accept(two))
        assert verdict == {"computed": "valid", "commitment": "valid", "agreed": "unproved"}[way]
        if way == "agreed":
            async with await dial_solver(shared_server) as third:
                offer = await accept(third)
                assert offer.task == task
                assert await answer(third, offer) == "unproved"
                assert (await client.take(PuzzleAnswered)).answer == right
            assert (await liar.take(AssignmentEnded)).outcome == "unproved", "two that differ blame nobody"
        else:
            assert (await client.take(PuzzleAnswered)).answer == right


async def test_an_answer_after_the_assignment_has_ended_is_refused(shared_server: Server, maker: Maker) -> None:
    async with (
        await dial(shared_server.url) as client,
        await dial_solver(shared_server) as one,
        await dial_solver(shared_server) as two,
    ):
        first, right = maker.order(COMPUTED)
        await client.ask(first, PuzzleAccepted)
        offer, late = await accept(one), await accept(two)
        await answer(one, offer)
        assert (await two.take(AssignmentEnded)).outcome == "released"
        message = SubmitAnswer(assignment=late.assignment, answer=solve(late))
        await refused_message(two, message, Code.ASSIGNMENT_ENDED, right)
        assert (await client.take(PuzzleAnswered)).answer == right

        task = (await client.ask(maker.order()[0], PuzzleAccepted)).task
        cancelled = await accept(one)
        await client.ask(CancelTask(task=task), TaskCancelled)
        await refused_message(client, CancelTask(task=task), Code.TASK_ENDED)
        message = SubmitAnswer(assignment=cancelled.assignment, answer=5)
        await refused_message(one, message, Code.ASSIGNMENT_ENDED)
        assert (await one.take(AssignmentEnded)).assignment == cancelled.assignment
        await goes_on(one, maker)


async def test_what_is_handed_back_goes_to_another_and_not_to_the_same(shared_server: Server, maker: Maker) -> None:
    async with await dial(shared_server.url) as client, await dial_solver(shared_server) as one:
        order, right = maker.order(COMPUTED)
        task = (await client.ask(order, PuzzleAccepted)).task
        offer = await accept(one)
        await one.ask(ReturnAssignment(assignment=offer.assignment), AssignmentReturned)
        await refused_message(one, SubmitAnswer(assignment=offer.assignment, answer=right), Code.ASSIGNMENT_ENDED)
        assert await one.silence() == [], "the same solver is not asked twice"
        async with await dial_solver(shared_server) as two:
            second = await accept(two)
            assert (second.task, second.assignment != offer.assignment) == (task, True)
            await answer(two, second)
        assert (await client.take(PuzzleAnswered)).answer == right


async def test_a_newer_connection_of_a_solver_replaces_the_older(shared_server: Server, maker: Maker) -> None:
    me = Identity.generate()
    order, right = maker.order(COMPUTED)
    async with await dial(shared_server.url) as client, await dial_solver(shared_server, me) as old:
        await client.ask(order, PuzzleAccepted)
        offer = await accept(old)
        async with await dial_solver(shared_server, me) as new:
            assert await old.closed() == 4001
            again, _ = await new.receive(PuzzleOffered)
            assert again == offer, "it keeps what it had in hand"
            taken = await new.ask(SubmitAnswer(assignment=offer.assignment, answer=right), AnswerTaken)
            assert taken.verdict == "valid"
            assert (await client.take(PuzzleAnswered)).answer == right
            await goes_on(new, maker)
            assert not shared_server.find("solver.offline", solver=me.fingerprint), "it was never gone"
        await shared_server.event("solver.offline", solver=me.fingerprint)


async def test_a_client_is_not_given_its_own_tasks(shared_server: Server, maker: Maker) -> None:
    me = Identity.generate()
    async with await dial(shared_server.url, identity=me) as client, await dial_solver(shared_server, me) as solver:
        order, right = maker.order(COMPUTED)
        accepted = await client.ask(order, PuzzleAccepted)
        assert accepted.assigned == 0
        assert await solver.silence() == []
        async with await dial_solver(shared_server) as other:
            await answer(other, await accept(other))
        assert (await client.take(PuzzleAnswered)).answer == right
