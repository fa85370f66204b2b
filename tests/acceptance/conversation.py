"""What acceptance tests say again and again over a raw connection: a refusal looked at, a solver played by hand."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Sequence

from websockets.asyncio.client import ClientConnection

from protocol.envelope import Envelope, Message
from protocol.errors import ERRORS, Code
from protocol.identity import Identity
from protocol.peer import Acknowledged, Frame
from protocol.session import Error, Ping, Pong
from protocol.vault import (
    SOLVER_PATH,
    AcceptAssignment,
    AnswerTaken,
    AssignmentAccepted,
    PuzzleAccepted,
    PuzzleAnswered,
    PuzzleOffered,
    StatusUpdated,
    SubmitAnswer,
    SubmitPuzzle,
    UpdateStatus,
)
from tests.acceptance import rows
from tests.acceptance.puzzles import BITS, Maker, solve
from tests.dialling import ANSWER_SECONDS_MAX, Dialled, dial
from tests.processes import LOOK_SECONDS, Server

SECRET_FROM = 2**32
"""Numbers from here on are parameters that must not come back in an error; smaller ones could be limits."""


async def next_envelope(dialled: Dialled) -> Envelope:
    """The next message with what wraps it."""
    async with asyncio.timeout(ANSWER_SECONDS_MAX):
        while True:
            envelope = dialled.peer.receive(await dialled.socket.recv())
            for frame in dialled.peer.outgoing():
                await dialled.socket.send(frame)
            if envelope is not None:
                return envelope


async def refused(dialled: Dialled, frame: Frame, code: Code, *, number: int | None) -> Error:
    """Send a frame; the next message is the refusal with that code for the request `number`."""
    await dialled.socket.send(frame)
    envelope = await next_envelope(dialled)
    assert isinstance(envelope.message, Error), f"{envelope.message.SHAPE.wire_type} instead of {code}"
    look_at(envelope.message, code)
    assert envelope.re == number
    return envelope.message


async def refused_message(dialled: Dialled, message: Message, code: Code, *secrets: int) -> Error:
    """Send a request that is well formed and refused; none of `secrets` stands in the refusal."""
    number = await dialled.send(message)
    error = (await dialled._next(lambda envelope: envelope.re == number, ANSWER_SECONDS_MAX)).message
    assert isinstance(error, Error), f"{error.SHAPE.wire_type} instead of {code}"
    look_at(error, code)
    keeps_secrets(error, secrets)
    return error


def look_at(error: Error, code: Code) -> None:
    """Every refusal has its documented code and says what went wrong and what to do next."""
    assert error.code == code
    assert error.message
    assert error.suggestion
    assert error.retryable is ERRORS[code].retryable


def keeps_secrets(error: Error, secrets: Iterable[int]) -> None:
    """No large number stands in the refusal, however it is written."""
    words = set(re.findall(r"[0-9a-fx]+", f"{error.message} {error.suggestion}".lower()))
    for secret in secrets:
        if secret >= SECRET_FROM:
            assert not words & {str(secret), f"{secret:x}", f"{secret:#x}"}


async def goes_on(dialled: Dialled, maker: Maker) -> None:
    """The connection still answers a ping and, on the client's endpoint, takes a good puzzle."""
    await dialled.ask(Ping(), Pong)
    if dialled.peer.opening.path == SOLVER_PATH:
        await dialled.ask(UpdateStatus(state="paused", capacity=1, speeds={}), StatusUpdated)
    else:
        await dialled.ask(maker.order()[0], PuzzleAccepted)


def write_at_once(socket: ClientConnection) -> None:
    """What has been given to `socket.protocol` leaves in one write, so that the server reads it in one turn."""
    socket.transport.write(b"".join(socket.protocol.data_to_send()))


# a solver played by hand


async def dial_solver(
    server: Server,
    identity: Identity | None = None,
    *,
    capacity: int = 8,
    speed: int = 10**7,
    acknowledged: Acknowledged | None = None,
    trusted: bool = False,
) -> Dialled:
    """A solver that is ready, announces `speed` squarings a second at 512 bits, and does nothing by itself.

    A new key is given one task at a time, unless it is `trusted` with all that it announces.
    """
    me = identity or Identity.generate()
    solver = await dial(server.url, SOLVER_PATH, me, acknowledged=acknowledged)
    if trusted:
        await solver.ask(UpdateStatus(state="paused", capacity=0, speeds={}), StatusUpdated)
        rows.trust(server.database, me.fingerprint)
    await be_ready(solver, capacity=capacity, speed=speed)
    return solver


async def be_ready(solver: Dialled, *, capacity: int = 8, speed: int = 10**7) -> StatusUpdated:
    """Announce capacity and speed."""
    status = UpdateStatus(state="ready", capacity=capacity, speeds={str(BITS): speed})
    return await solver.ask(status, StatusUpdated)


async def accept(solver: Dialled) -> PuzzleOffered:
    """Take the next offer."""
    offer, seq = await solver.receive(PuzzleOffered)
    assert seq is not None
    await solver.ask(AcceptAssignment(assignment=offer.assignment), AssignmentAccepted)
    return offer


async def until_alone(server: Server) -> None:
    """Wait until no solver is online: the next test's tasks go to its own solvers."""
    async with asyncio.timeout(ANSWER_SECONDS_MAX):
        while True:
            last = {e["solver"]: e["event"] for e in server.events if e["event"] in ("solver.online", "solver.offline")}
            if all(event == "solver.offline" for event in last.values()):
                return
            await asyncio.sleep(LOOK_SECONDS)


async def answer(solver: Dialled, offer: PuzzleOffered, value: int | None = None) -> str:
    """Answer an assignment, rightly unless `value` is given; the verdict."""
    order = SubmitAnswer(assignment=offer.assignment, answer=solve(offer) if value is None else value)
    return (await solver.ask(order, AnswerTaken)).verdict


async def agree(client: Dialled, solvers: Sequence[Dialled], order: SubmitPuzzle, value: int | None = None) -> str:
    """A task of these two solvers, on whose answer they agree: rightly, unless `value` is given; its name."""
    task = (await client.ask(order, PuzzleAccepted)).task
    for solver in solvers:
        offer = await accept(solver)
        assert offer.task == task
        await answer(solver, offer, value)
    told = await client.take(PuzzleAnswered)
    assert (told.task, told.judged_by) == (task, "agreed")
    assert value in (None, told.answer)
    return task
