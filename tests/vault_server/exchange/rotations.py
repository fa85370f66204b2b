"""A server's master keys, cipher and rotation on a real database and a real key file, with steps in the test's hand."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.vault_server.storage.rows import CLIENT, PEOPLE, SOLVER_A, committed, sql
from tests.vault_server.storage.rows import assignment as assignment_row
from tests.vault_server.storage.rows import task as task_row
from vault_server.core.operation import OPERATOR, SERVER, Caller, LogEvent, Row, SealedColumn, Transaction
from vault_server.exchange import deadlines, rekeying
from vault_server.exchange.cipher import Cipher, version_of
from vault_server.exchange.master_keys import agree_on_master_keys
from vault_server.exchange.rekeying import Reencrypt, ResumeRotation, RotateMasterKey
from vault_server.exchange.rotation import MasterKeyState, master_key_state
from vault_server.keys import load_master_keys, master_key_path
from vault_server.storage.database import Database
from vault_server.storage.sqlite import SqliteDatabase

SEALED = [
    *(SealedColumn("tasks", name, "fingerprint", "client_id") for name in ("parameter_t", "parameter_baseg", "answer")),
    SealedColumn("task_assignments", "answer", "db_key", "solver_id"),
]
REQUEST = b"a request that is repeated some day"

SEAL_PARAMETERS = sql("""
    UPDATE tasks SET parameter_t = :parameter_t, parameter_baseg = :parameter_baseg WHERE fingerprint = :task""")
ANSWER_TASK = sql("""
    UPDATE tasks SET answer = :answer, status = 'answered', judged_by = 'agreed', answered_at = 1,
                     complaint_deadline = 2 WHERE fingerprint = :task""")
DELIVER = sql("""
    UPDATE task_assignments SET answer = :answer, status = 'unproved', delivered_at = 2, ended_at = 2
    WHERE db_key = :db_key""")


class Node:
    """One server's life on the files of `folder`; another one may start on what is left of it, or on a copy."""

    def __init__(
        self, folder: Path, database: Database | None = None, *, given: str | None = None, rows_per_batch: int = 3
    ) -> None:
        self.folder = folder
        self.store, _ = load_master_keys(folder / "vault.db", given)
        self.cipher = Cipher.of(self.store.read(), secrets.token_bytes)
        self.database = database or SqliteDatabase(folder / "vault.db")
        self.system = rekeying.system(
            self.cipher, self.store, SEALED, secrets.token_bytes, rows_per_batch=rows_per_batch
        )
        self.now_ms = 1_000_000
        self.log: list[tuple[str, Mapping[str, Any]]] = []

    async def start(self) -> Node:
        """As `App.start` does. Raises WrongMasterKey."""
        await self.database.start()
        try:
            await committed(self.database, lambda tx: agree_on_master_keys(tx, self.cipher, self.now_ms))
            await self.give(SERVER, ResumeRotation())
        except BaseException:
            await self.kill()
            raise
        return self

    async def kill(self) -> None:
        """Nothing is done that a power cut would not do."""
        await self.database.stop()

    async def start_copy(self, folder: Path) -> Node:
        """Another server on a copy of what is on disk now, as a killed one would leave it."""
        shutil.copytree(self.folder, folder)
        return await Node(folder).start()

    # orders

    async def give(self, caller: Caller, order: Any) -> Any:
        """Carry an order out."""
        return await self._transact(lambda tx: self._handler(order)(tx, caller, order, self.now_ms))

    async def rotate(self) -> MasterKeyState:
        """The operator asks for a new key."""
        state: MasterKeyState = await self.give(OPERATOR, RotateMasterKey())
        return state

    async def is_due(self) -> bool:
        """Whether the motor of the rotation has something to do, now that some time has passed."""
        self.now_ms += rekeying.PAUSE_MS
        rows = await self.rows(f"SELECT due FROM deadlines WHERE name = '{rekeying.REENCRYPT}'")
        return any(row["due"] <= self.now_ms for row in rows)

    async def step(self, *, undone: bool = False) -> bool:
        """Do what is due of the rotation; False when nothing is. `undone`: the commit fails."""
        if not await self.is_due():
            return False

        def work(tx: Transaction) -> None:
            assert deadlines.take(tx, rekeying.REENCRYPT, "", self.now_ms)
            self._handler(Reencrypt())(tx, SERVER, Reencrypt(), self.now_ms)
            if undone:
                raise Undone

        await self._transact(work)
        return True

    async def rotate_undone(self) -> None:
        """The operator asks for a new key, and the commit fails."""

        def work(tx: Transaction) -> None:
            self._handler(RotateMasterKey())(tx, OPERATOR, RotateMasterKey(), self.now_ms)
            raise Undone

        await self._transact(work)

    async def finish(self) -> int:
        """Let the rotation come to its end; the number of steps."""
        steps = 0
        while await self.step():
            steps += 1
            assert steps < 1000, "it goes on for ever"
        return steps

    def _handler(self, order: Any) -> Callable[..., Any]:
        [operation] = [operation for operation in self.system.operations if operation.order is type(order)]
        return operation.handler

    async def _transact(self, work: Callable[[Transaction], Any]) -> Any:
        [outcome] = await self.database.transact([work])
        if outcome.error is not None and not isinstance(outcome.error, Undone):
            raise outcome.error
        self.log += [(effect.event, effect.fields) for effect in outcome.effects if isinstance(effect, LogEvent)]
        return outcome.value

    # rows

    async def fill(self, tasks: int) -> None:
        """People, and tasks with an assignment each; every other one is answered."""
        people = [*PEOPLE, "UPDATE clients SET open_tasks = 1000"]
        await committed(self.database, lambda tx: [tx.run(sql(statement)) for statement in people])
        for number in range(tasks):
            await self.insert(f"{number:032x}", is_answered=number % 2 == 0)

    async def insert(self, task: str, *, is_answered: bool = False) -> None:
        """A task with sealed parameters and one assignment."""

        def work(tx: Transaction) -> None:
            sealed = {name: self._seal("tasks", name, task, CLIENT) for name in ("parameter_t", "parameter_baseg")}
            tx.run(sql(task_row(task, "assigned")))
            tx.run(SEAL_PARAMETERS, task=task, **sealed)
            tx.run(sql(assignment_row(SOLVER_A, of=task)))
            if is_answered:
                self._answer(tx, task)

        await committed(self.database, work)

    async def answer(self, task: str) -> None:
        """The task and its assignment get their answers."""
        await committed(self.database, lambda tx: self._answer(tx, task))

    def _answer(self, tx: Transaction, task: str) -> None:
        row = tx.one(sql("SELECT db_key FROM task_assignments WHERE task_id = :task"), task=task)
        assert row is not None
        key = row["db_key"]
        tx.run(DELIVER, db_key=key, answer=self._seal("task_assignments", "answer", str(key), SOLVER_A))
        tx.run(ANSWER_TASK, task=task, answer=self._seal("tasks", "answer", task, CLIENT))

    def _seal(self, table: str, column: str, row: str, owner: str) -> bytes:
        return self.cipher.seal(plain(table, column, row), table=table, column=column, row=row, owner=owner)

    # looking

    async def rows(self, text: str) -> list[Row]:
        """Rows of a SELECT."""
        return list(await self.database.read(lambda reader: reader.all(sql(text))))

    async def values(self) -> dict[tuple[str, str, str], tuple[int, bool]]:
        """Every sealed value: its place -> its version, and whether it opens to what was sealed there."""
        found = {}
        for place in SEALED:
            for row in await self.rows(f"SELECT * FROM {place.table} WHERE {place.column} IS NOT NULL"):
                name, sealed = str(row[place.row]), row[place.column]
                where = {"table": place.table, "column": place.column, "row": name, "owner": row[place.owner]}
                try:
                    right = self.cipher.open(sealed, **where) == plain(place.table, place.column, name)
                except Exception:
                    right = False
                found[place.table, place.column, name] = (version_of(sealed), right)
        return found

    async def versions(self) -> set[int]:
        """The versions of all sealed values, each of which opens to what it should."""
        values = await self.values()
        assert all(right for _, right in values.values()), [place for place, (_, right) in values.items() if not right]
        return {version for version, _ in values.values()}

    async def state(self) -> MasterKeyState:
        """What the operator is shown."""
        return await self.database.read(master_key_state)

    async def in_use(self) -> list[int]:
        """Versions that the database names."""
        return [row["version"] for row in await self.rows("SELECT version FROM master_keys ORDER BY version")]

    def key_text(self) -> str:
        """The key file."""
        return master_key_path(self.folder / "vault.db").read_text()

    def logged(self, event: str) -> list[Mapping[str, Any]]:
        """The fields of one event's lines."""
        return [fields for name, fields in self.log if name == event]


class Undone(Exception):
    """The transaction that raises it is rolled back."""


def plain(table: str, column: str, row: str) -> bytes:
    """What is sealed in a place."""
    return f"{column} of {row} in {table}".encode()
