"""What `check` looks for: it holds after ordinary stories, and whoever writes against it is found out."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.vault_server.systems.vault.harness import Vault
from tests.vault_server.systems.vault.invariants import violations
from tests.vault_server.systems.vault.told import BOB, stories, tell
from vault_server.exchange import invariants as of_the_exchange
from vault_server.storage.sqlite_work import SqliteTransaction
from vault_server.systems.vault import invariants as of_the_vault

ALL = [*of_the_exchange.INVARIANTS, *of_the_vault.INVARIANTS]

VALID = "(SELECT min(db_key) FROM task_assignments WHERE status = 'valid')"
ANSWERED = f"(SELECT task_id FROM task_assignments WHERE db_key = {VALID})"
OPEN = (
    "(SELECT min(fingerprint) FROM tasks WHERE first_assignment_id > 0 AND second_assignment_id > 0 AND answer IS NULL)"
)
LIVE = f"(SELECT min(db_key) FROM task_assignments WHERE task_id = {OPEN})"

KEEP = "INSERT INTO relays (assignment_id, task_id, solver_id, depth, residues, count, status, taken_at)"
"""A checkpoint, of an assignment that follows."""

BREAKS = {
    "each score follows the one before it": "UPDATE score_history SET score_after = score_after + 1 WHERE id = 1",
    "whoever is to be told takes part": "UPDATE outbox SET receiver = 'key:nobody' WHERE standing = 0",
    "bans end after they begin":
        "INSERT INTO bans (subject, cause, reason, created_at, until) VALUES ('key:a', 'operator', 'x', 9, 8)",
    "solvers' counters are counts": "UPDATE solvers SET in_hand = in_hand + 1 WHERE db_key = 1",
    "clients' counters are counts": "UPDATE clients SET open_tasks = open_tasks + 1",
    "tasks' counters are counts": f"UPDATE tasks SET num_assignments = 5 WHERE fingerprint = {OPEN}",
    "the slots of an open task hold its live assignments":
        f"UPDATE tasks SET second_assignment_id = NULL WHERE fingerprint = {OPEN}",
    "a slot holds an assignment of its own task and number":
        f"UPDATE tasks SET first_assignment_id = {VALID} WHERE fingerprint = {OPEN}",
    "a task's state agrees with its slots": f"UPDATE tasks SET status = 'waiting' WHERE fingerprint = {OPEN}",
    "one live assignment a slot": f"UPDATE task_assignments SET slot = 1 WHERE task_id = {OPEN}",
    "nobody is asked twice for one task":
        f"UPDATE task_assignments SET solver_id = (SELECT solver_id FROM task_assignments WHERE db_key = {LIVE}) "
        f"WHERE task_id = {OPEN}",
    "nobody works on a task of its own":
        f"UPDATE tasks SET client_id = (SELECT solver_id FROM task_assignments WHERE db_key = {LIVE}) "
        f"WHERE fingerprint = {OPEN}",
    "nobody works on a task that has ended": f"UPDATE tasks SET status = 'cancelled' WHERE fingerprint = {OPEN}",
    "an assignment names its task the same way twice":
        f"UPDATE task_assignments SET task_key = 99 WHERE db_key = {LIVE}",
    "an open task waits for somebody":
        f"UPDATE task_assignments SET status = 'expired', ended_at = 5 WHERE task_id = {OPEN}",
    "whoever works has a deadline": "DELETE FROM deadlines WHERE name = 'expire_assignment'",
    "an assignment's deadline is about live work":
        "INSERT INTO deadlines (name, subject, due) VALUES ('expire_assignment', '9999', 5)",
    "whoever works has its request": "DELETE FROM outbox WHERE standing = 1",
    "a request is about live work": "UPDATE outbox SET subject = '9999' WHERE standing = 1",
    "an answered task will settle": "DELETE FROM deadlines WHERE name = 'settle_task'",
    "what is to settle is answered": f"UPDATE tasks SET status = 'settled' WHERE fingerprint = {ANSWERED}",
    "a task's columns agree with its state": f"UPDATE tasks SET answered_at = NULL WHERE fingerprint = {ANSWERED}",
    "an assignment's columns agree with its state": f"UPDATE task_assignments SET answer = NULL WHERE db_key = {VALID}",
    "an answer was judged as its task is judged":
        f"UPDATE task_assignments SET status = 'unproved' WHERE db_key = {VALID}",
    "an answer judged by proof has the proof that held":
        "UPDATE proofs SET status = 'failed' WHERE status = 'holding'",
    "a proof belongs to an answer, and its verdict to both":
        "UPDATE proofs SET solver_id = (SELECT max(solver_id) FROM solvers WHERE solver_id <> proofs.solver_id)",
    "solvers hold no more than they announced": "UPDATE solvers SET capacity = announced + 1",
    "bands follow scores": "UPDATE solvers SET band = 9 WHERE db_key = 1",
    "a score is 50 and its history": "UPDATE clients SET reputation_score = 51",
    "a checkpoint is kept for an open task alone":
        f"{KEEP} SELECT db_key, task_id, solver_id, 0, x'00', 1, 'open', 5 FROM task_assignments a "
        f"WHERE db_key = {VALID}",
    "a checkpoint belongs to its assignment":
        f"{KEEP} SELECT db_key, task_id, 'nobody', 0, x'00', 1, 'open', 5 FROM task_assignments a "
        f"WHERE db_key = {LIVE}",
    "a checkpoint that is handed on is there, and checked":
        "INSERT INTO outbox (receiver, endpoint, kind, subject, created_at) "
        f"VALUES ('key:a', 'solver', 'checkpoint_offered', {LIVE}, 5)",
    "a complaint's columns agree with its state": "UPDATE complaints SET ruling = 'because'",
    "an open complaint will be ruled": "DELETE FROM deadlines WHERE name = 'rule_complaint'",
    "a complaint is about its own task's assignments": f"UPDATE complaint_parties SET assignment_id = {LIVE} "
        "WHERE assignment_id = (SELECT max(assignment_id) FROM complaint_parties)",
    "a complaint is the client's own": f"UPDATE complaints SET client_id = '{BOB.fingerprint}'",
    "no task settles over a complaint": "UPDATE tasks SET status = 'settled' WHERE status = 'answered'",
}  # fmt: skip
"""A statement that breaks each of them, past triggers and CHECKs."""


async def test_they_hold_after_ordinary_stories(vault: Vault) -> None:
    assert await vault.database.read(violations) == []
    await stories(vault)
    assert await vault.database.read(violations) == []


def test_every_invariant_is_broken_here() -> None:
    names = [invariant.name for invariant in ALL]
    assert len(set(names)) == len(names)
    assert set(BREAKS) == set(names)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    """A database in which the stories have happened."""
    with closing(sqlite3.connect(tell(tmp_path_factory.mktemp("told")))) as raw:
        yield raw


@pytest.mark.parametrize("name", BREAKS)
def test_a_row_that_breaks_it_is_named(told: sqlite3.Connection, name: str) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as raw:
        told.backup(raw)
        raw.row_factory = sqlite3.Row
        raw.execute("PRAGMA ignore_check_constraints = ON")
        for kind, what in raw.execute("SELECT type, name FROM sqlite_schema WHERE sql IS NOT NULL").fetchall():
            if kind == "trigger" or what in ("task_assignments_solver_once", "task_assignments_slot_once"):
                raw.execute(f"DROP {kind} {what}")
        [invariant] = [each for each in ALL if each.name == name]
        assert list(invariant.violations(SqliteTransaction(raw))) == []
        assert raw.execute(BREAKS[name]).rowcount > 0
        found = list(invariant.violations(SqliteTransaction(raw)))
    assert found
    assert all("{" not in sentence and "None" not in sentence for sentence in found), found
