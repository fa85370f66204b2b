"""Two clients, five solver processes and fifty tasks at once: fifty right answers, also when the server is killed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import pytest
from websockets.exceptions import ConnectionClosed

from protocol.errors import MessageError
from protocol.identity import Identity
from protocol.peer import Acknowledged
from protocol.session import Error
from protocol.vault import PuzzleAccepted, PuzzleAnswered, SubmitPuzzle, TaskFailed
from tests.acceptance import rows
from tests.acceptance.conversation import next_envelope
from tests.acceptance.puzzles import Maker
from tests.conftest import StartServer, StartSolver
from tests.dialling import Dialled, dial
from tests.processes import Server

TASKS, CLIENTS, SOLVERS = 50, 2, 5
SECONDS_MAX = 60.0
AWAY = (ConnectionClosed, OSError, MessageError, TimeoutError)
"""What a client sees while the server is gone."""


class Customer:
    """A client with a connection that breaks: it submits by idempotency key and drops doubles by `seq`."""

    def __init__(self, server: Server, orders: dict[str, tuple[SubmitPuzzle, int]], answered: Callable[[], None]):
        self.server = server
        self.orders = orders
        self.identity = Identity.generate()
        self.acknowledged = Acknowledged()
        self.tasks: dict[str, str] = {}
        self.told: list[PuzzleAnswered] = []
        self.connections = 0
        self._answered = answered

    async def run(self) -> None:
        """Until every order has its answer."""
        while len(self.told) < len(self.orders):
            with contextlib.suppress(*AWAY):
                dialled = await dial(self.server.url, identity=self.identity, acknowledged=self.acknowledged)
                self.connections += 1
                async with dialled:
                    await self._converse(dialled)
            await asyncio.sleep(0.05)

    async def _converse(self, dialled: Dialled) -> None:
        # All of them again after each break: whoever is not sure may repeat, and gets the same task.
        asked = {await dialled.send(order): key for key, (order, _) in self.orders.items()}
        while len(self.told) < len(self.orders):
            envelope = await next_envelope(dialled)
            message = envelope.message
            assert not isinstance(message, Error | TaskFailed), message
            if isinstance(message, PuzzleAccepted):
                assert envelope.re is not None
                key = asked[envelope.re]
                assert self.tasks.setdefault(key, message.task) == message.task
            elif isinstance(message, PuzzleAnswered):
                assert envelope.seq is not None
                self.told.append(message)
                self._answered()
                await dialled.acknowledge(envelope.seq)

    async def come_back(self) -> None:
        """What a killed server did not write down of our acknowledgements comes again, and is dropped by `seq`."""
        dialled = await dial(self.server.url, identity=self.identity, acknowledged=self.acknowledged)
        async with dialled:
            assert await dialled.silence() == []

    def check(self) -> None:
        """Each task was answered once, and rightly."""
        assert len({push.task for push in self.told}) == len(self.told) == len(self.orders)
        told = {push.task: push for push in self.told}
        for key, (order, right) in self.orders.items():
            push = told[self.tasks[key]]
            assert push.answer == right
            ways = ("computed",) if order.t <= 4096 else ("commitment",) if order.commitment else ("agreed",)
            assert push.judged_by in ways


def fifty(maker: Maker) -> list[tuple[str, SubmitPuzzle, int]]:
    """Orders of every kind: computed by the server inline or in a thread, by commitment, by agreement."""
    made = []
    for number in range(TASKS):
        squarings = (5_000 + 1_117 * number, 60_000 - 1_009 * number, 50 + 80 * number)[number % 3]
        key = f"order {number}"
        order, right = maker.order(squarings, committed=number % 2 == 0, key=key)
        made.append((key, order, right))
    return made


KILLS = {"undisturbed": (), "kill -9 in the middle": (10,), "kill -9 again and again": (1, 25, 40)}
"""After how many answers, in all, the server is killed."""


@pytest.mark.parametrize("kills", KILLS.values(), ids=KILLS)
async def test_fifty_tasks_end_with_fifty_right_answers(
    start_server: StartServer, start_solver: StartSolver, maker: Maker, kills: tuple[int, ...]
) -> None:
    server = await start_server()
    solvers = await asyncio.gather(
        *(start_solver(server, arguments=["--calibration", "0.02", "--capacity", "3"]) for _ in range(SOLVERS))
    )
    answers = 0
    reached = {count: asyncio.Event() for count in kills}

    def answered() -> None:
        nonlocal answers
        answers += 1
        if answers in reached:
            reached[answers].set()

    orders = fifty(maker)
    customers = [
        Customer(server, {key: (order, right) for key, order, right in orders[number::CLIENTS]}, answered)
        for number in range(CLIENTS)
    ]
    async with asyncio.timeout(SECONDS_MAX), asyncio.TaskGroup() as running:
        for customer in customers:
            running.create_task(customer.run())
        for event in reached.values():
            await event.wait()
            await server.kill()
            assert answers < TASKS, "the kill came after the end"
            await server.restart()
    for customer in customers:
        customer.check()
        await customer.come_back()
        assert (customer.connections > 1) is bool(kills)
    await rows.until_none(server.database, "SELECT seq, kind FROM outbox")
    await rows.until_none(server.database, "SELECT solver_id FROM solvers WHERE in_hand > 0")
    rows.check(server.database)
    answered_rows = rows.count(server.database, "SELECT count(*) FROM tasks WHERE status = 'answered'")
    assert answered_rows == rows.count(server.database, "SELECT count(*) FROM tasks") == TASKS
    took_part = rows.look(server.database, "SELECT DISTINCT solver_id FROM task_assignments")
    assert {solver for (solver,) in took_part} == {solver.fingerprint for solver in solvers}
