"""The vault's operations on a real database, without sockets, with time in the test's hand.

Orders go through the real router, checks, transactions, deadlines, jobs and renderers; only the event loop's
dispatcher, alarm, pump and worker processes are replaced by plain calls.
"""

from __future__ import annotations

import pickle
import secrets
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from protocol.envelope import Message
from protocol.proof import Statement
from protocol.prover import prove
from protocol.puzzle import commit, square_repeatedly
from protocol.vault import (
    AcceptAssignment,
    AnswerTaken,
    PuzzleAccepted,
    PuzzleOffered,
    ReturnAssignment,
    StatusUpdated,
    SubmitAnswer,
    SubmitPuzzle,
    UpdateStatus,
)
from tests.vault_server.people import client
from vault_server.core.operation import SERVER, Caller, Effect, Job, JobDue, LogEvent, Query, Reader, Row, Transaction
from vault_server.dispatch.router import Router
from vault_server.exchange import deadlines, outbox
from vault_server.exchange.cipher import Cipher
from vault_server.exchange.outbox import Acknowledged
from vault_server.settings import Settings
from vault_server.storage.database import Database
from vault_server.systems.vault.judging import JUDGE
from vault_server.systems.vault.orders import JoinSolver, LeaveSolver
from vault_server.systems.vault.records import Parts, open_puzzle
from vault_server.systems.vault.records import q as records_q
from vault_server.systems.vault.system import vault

P, Q, R = 0xF00000000000002B, 0xE000000000000005, 0xD000000000000067
MODULUS, OTHER_MODULUS = P * Q, P * R
BITS = 128
START_MS = 1_700_000_000_000
HOUR_MS = 3_600_000

COMPUTED = SubmitPuzzle(t=1000, baseg=3, product=MODULUS)
"""Judged where its answer arrives."""
BY_JOB = SubmitPuzzle(t=30_000, baseg=3, product=MODULUS)
"""Computed too, but not in the transaction."""
AGREED = SubmitPuzzle(t=50_000, baseg=3, product=MODULUS, proof="none")
"""Nothing but a second answer can confirm the first."""


PROVED = SubmitPuzzle(t=50_000, baseg=3, product=MODULUS)
"""Judged by its proof."""


OWN = client("the server itself")


def answer_to(order: SubmitPuzzle) -> int:
    """The right one."""
    return square_repeatedly(order.baseg, order.t, order.product)


COMMITTED = SubmitPuzzle(
    t=50_000, baseg=3, product=MODULUS, commitment=commit(answer_to(AGREED), MODULUS), proof="none"
)
"""Its client knows the right answer's hash."""


def proof_of(statement: Statement) -> bytes:
    """The right proof of a statement."""
    puzzle = statement.puzzle
    z = square_repeatedly(puzzle.base, statement.exponent, puzzle.modulus)
    return prove(statement, [(statement.exponent, z)]).encode(puzzle.modulus)


def settings_for(folder: Path, **settings: Any) -> Settings:
    """Settings that allow these puzzles."""
    return Settings(
        **{
            "database": folder / "vault.db",
            "modulus_bits_min": 64,
            "computed_squarings_max": 40_000,
            "assignments_max": 4,
            **settings,
        }
    )


def _apart(compute: Callable[[Any], Any], work: Any) -> Any:
    """What comes back from a worker process: nothing that was changed there is seen here."""
    theirs, given = pickle.loads(pickle.dumps((compute, work)))
    return pickle.loads(pickle.dumps(theirs(given)))


def _left(job: Job, reader: Reader) -> list[str]:
    return list(job.pending(reader))


class Vault:
    """Give orders, let time pass, let judges work, look at rows and pushes."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database = database
        self.settings = settings
        self.parts = Parts(settings, Cipher(b"m" * 32, secrets.token_bytes), secrets.token_bytes, OWN)
        self.parts.cipher.hash_key = b"h" * 32  # as every server on this database would find it
        self.now_ms = START_MS
        self.effects: list[Effect] = []
        self.jobs: list[JobDue] = []
        self.system = vault(self.parts)
        self._router = Router([outbox.ACKNOWLEDGE, *self.system.operations])
        self._renderers = {push.kind: push.render for push in self.system.pushes}

    async def give(self, caller: Caller, order: Any, guard: Callable[[Transaction], bool] | None = None) -> Any:
        """Have one order carried out; its reply. Raises what the operation or its check raises."""
        operation = self._router.route(caller, order)
        if operation.check is not None and not (operation.checked is not None and operation.checked(order)):
            operation.check(order)

        def work(tx: Transaction) -> Message | None:
            return operation.handler(tx, caller, order, self.now_ms) if guard is None or guard(tx) else None

        [outcome] = await self.database.transact([work])
        if outcome.error is not None:
            raise outcome.error
        self.effects += outcome.effects
        self.jobs += [effect for effect in outcome.effects if isinstance(effect, JobDue)]
        return outcome.value

    # orders, shortly

    async def join(
        self, solver: Caller, capacity: int = 1, *, bits: int = 2048, speed: int = 1000, state: str = "ready"
    ) -> StatusUpdated:
        """A solver connects and says what it offers."""
        await self.give(solver, JoinSolver())
        return await self.update(solver, capacity, bits=bits, speed=speed, state=state)

    async def update(
        self, solver: Caller, capacity: int = 1, *, bits: int = 2048, speed: int = 1000, state: str = "ready"
    ) -> StatusUpdated:
        """A solver that is online says what it offers; for more than one hand it has earned the trust before."""
        if capacity > 1:
            await self.trust(solver)
        order = UpdateStatus(state=state, capacity=capacity, speeds={str(bits): speed})
        reply: StatusUpdated = await self.give(solver, order)
        return reply

    async def trust(self, solver: Caller, trusted: int = 1024) -> None:
        """Let a solver have earned the trust to hold many tasks at once."""
        change = Query("trust", "UPDATE solvers SET trusted = :trusted WHERE solver_id = :id")
        [outcome] = await self.database.transact([lambda tx: tx.run(change, trusted=trusted, id=solver.fingerprint)])
        assert outcome.error is None, outcome.error

    async def leave(self, solver: Caller) -> None:
        """A solver's connection is gone."""
        await self.give(solver, LeaveSolver())

    async def submit(self, client: Caller, order: SubmitPuzzle = COMPUTED) -> PuzzleAccepted:
        """A client submits a puzzle."""
        reply: PuzzleAccepted = await self.give(client, order)
        return reply

    async def accept(self, solver: Caller, key: int) -> Any:
        """A solver takes what was offered."""
        return await self.give(solver, AcceptAssignment(assignment=key))

    async def answer(self, solver: Caller, key: int, answer: int) -> str:
        """A solver answers; the verdict."""
        reply: AnswerTaken = await self.give(solver, SubmitAnswer(assignment=key, answer=answer))
        assert reply.assignment == key
        return reply.verdict

    async def prove(self, solver: Caller, key: int, *, answer: int | None = None, proof: bytes | None = None) -> str:
        """A solver answers with a proof: the right ones, or what it is given; the verdict."""
        statement = await self.statement(key)
        puzzle = statement.puzzle
        right = square_repeatedly(puzzle.base, puzzle.squarings, puzzle.modulus)
        reply: AnswerTaken = await self.give(
            solver,
            SubmitAnswer(
                assignment=key,
                answer=right if answer is None else answer,
                proof=proof_of(statement) if proof is None else proof,
            ),
        )
        return reply.verdict

    async def statement(self, key: int) -> Statement:
        """What a proof of this assignment's answer states."""

        def read(reader: Reader) -> Statement:
            row = reader.one(records_q.assignment, db_key=key)
            assert row is not None, key
            return Statement(open_puzzle(self.parts.cipher, row), row["fingerprint"], row["solver_id"])

        return await self.database.read(read)

    async def hand_back(self, solver: Caller, key: int) -> Any:
        """A solver returns an assignment."""
        return await self.give(solver, ReturnAssignment(assignment=key))

    # time and judges

    async def wait(self, ms: int) -> None:
        """Let time pass; what falls due happens at its end."""
        self.now_ms += ms
        while rows := await self.database.read(partial(deadlines.due, now_ms=self.now_ms)):
            for row in rows:
                await self._carry_out(row["name"], row["subject"])

    async def _carry_out(self, name: str, subject: str) -> None:
        def guard(tx: Transaction) -> bool:
            return deadlines.take(tx, name, subject, self.now_ms)

        await self.give(SERVER, self.system.deadlines[name](subject), guard)

    async def judge(self) -> None:
        """Let the judges do what waits for them."""
        while self.jobs:
            await self.judge_one(self.jobs.pop(0))

    async def judge_one(self, due: JobDue) -> None:
        """Read, compute, record."""
        [job] = [job for job in self.system.jobs if job.name == due.job]
        work = await self.database.read(lambda reader: job.load(reader, due.key))
        if work is not None:
            result = _apart(job.compute, work) if job.by_worker else job.compute(work)
            await self.give(SERVER, job.conclude(due.key, result))

    async def pending_jobs(self) -> list[str]:
        """What a server that starts now would find left undone."""
        [job] = [job for job in self.system.jobs if job.name == JUDGE]
        return await self.database.read(lambda reader: list(job.pending(reader)))

    async def restart(self, down_ms: int = 0) -> None:
        """The server is killed, away for a while, and carries on from its file."""
        await self.database.stop()
        self.now_ms += down_ms
        self.system = vault(self.parts)
        await self.database.start()
        for order in self.system.starting:
            await self.give(SERVER, order)
        self.jobs = [
            JobDue(job.name, key) for job in self.system.jobs for key in await self.database.read(partial(_left, job))
        ]
        await self.wait(0)

    # looking

    async def rows(self, sql: str, **values: Any) -> list[dict[str, Any]]:
        """Rows of a SELECT."""
        found = await self.database.read(lambda reader: reader.all(Query("test", sql), **values))
        return [dict(row) for row in found]

    async def row(self, sql: str, **values: Any) -> dict[str, Any]:
        """The only row of a SELECT."""
        [row] = await self.rows(sql, **values)
        return row

    async def task(self, task: str) -> dict[str, Any]:
        """A task's row."""
        return await self.row("SELECT * FROM tasks WHERE fingerprint = :task", task=task)

    async def assignments(self, task: str) -> list[dict[str, Any]]:
        """A task's assignments, oldest first."""
        return await self.rows("SELECT * FROM task_assignments WHERE task_id = :task ORDER BY db_key", task=task)

    async def key(self, task: str, solver: Caller) -> int:
        """The assignment of this solver for this task."""
        row = await self.row(
            "SELECT db_key FROM task_assignments WHERE task_id = :task AND solver_id = :solver",
            task=task,
            solver=solver.fingerprint,
        )
        key: int = row["db_key"]
        return key

    async def status(self, key: int) -> str:
        """An assignment's status."""
        row = await self.row("SELECT status FROM task_assignments WHERE db_key = :key", key=key)
        return str(row["status"])

    async def solver(self, solver: Caller) -> dict[str, Any]:
        """A solver's row."""
        return await self.row("SELECT * FROM solvers WHERE solver_id = :solver", solver=solver.fingerprint)

    async def open_tasks(self, client: Caller) -> int:
        """How many tasks of a client have not ended, as its row says."""
        row = await self.row("SELECT open_tasks FROM clients WHERE client_id = :client", client=client.fingerprint)
        return int(row["open_tasks"])

    async def pushes(self, receiver: Caller) -> list[Message]:
        """What waits for somebody, as it would be sent."""
        return [message for _, message in await self.waiting(receiver)]

    async def offers(self, solver: Caller) -> list[PuzzleOffered]:
        """The requests among the pushes of a solver."""
        return [push for push in await self.pushes(solver) if isinstance(push, PuzzleOffered)]

    async def acknowledge(self, receiver: Caller) -> None:
        """Acknowledge all that waits."""
        for seq, _ in await self.waiting(receiver):
            await self.give(receiver, Acknowledged((seq,)))

    async def waiting(self, receiver: Caller) -> list[tuple[int, Message]]:
        """The same with their numbers."""

        def read(reader: Any) -> list[tuple[int, Message | None]]:
            rows = outbox.of_receiver(reader, receiver.subject, receiver.endpoint, 0, 1000)
            return [(row["seq"], self.render(reader, row)) for row in rows]

        return [(seq, message) for seq, message in await self.database.read(read) if message is not None]

    def render(self, reader: Any, row: Row) -> Message | None:
        """A row of the outbox as it would be sent."""
        return self._renderers[row["kind"]](reader, row)

    def logged(self, event: str) -> list[Mapping[str, Any]]:
        """The fields of all log lines of one event."""
        return [effect.fields for effect in self.effects if isinstance(effect, LogEvent) and effect.event == event]
