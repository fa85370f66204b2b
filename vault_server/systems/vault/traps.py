"""Puzzles of the server's own (design §7): they measure whether solvers tell the truth and how fast they are, and let
one of low standing earn its way back.

A trap looks like a client's task to who solves it: a fresh product, t and size drawn from real tasks, two solvers, the
same messages. The server makes it with the factors in hand and throws them away; of the answer it keeps a hash where no
proof will be asked for, and nothing where one will.
"""

from __future__ import annotations

from protocol.puzzle import effort_seconds
from vault_server.core.operation import Caller, Job, JobDue, Reader, Row, Transaction, log
from vault_server.exchange import deadlines, participants
from vault_server.systems.vault import rules
from vault_server.systems.vault.arithmetic import Model, Trap, make
from vault_server.systems.vault.assigning import assign
from vault_server.systems.vault.orders import IssueTrap, LookForTraps
from vault_server.systems.vault.records import Parts, open_modulus, open_squarings, q
from vault_server.systems.vault.submitting import Submission, insert_task

LOOK = "issue_trap"
"""The deadline at which the server sees whether it can afford another trap."""
LOOK_MS = 10_000
"""On average; how long exactly is drawn each time, so that no clock gives a trap away."""
MAKING_MS_MAX = 60_000
"""A first trap that has not come after this is asked for again."""
SEEN_MAX = 8
"""Tasks of one t that are looked at, to see whether many puzzles share it."""
SPREAD = 10
"""A t that only one puzzle has is moved by up to a tenth: solvers that have seen that puzzle would know its t."""
MAKE = "make_trap"
RECENT_TASKS = 1000
"""A trap resembles one of the last so many tasks of clients."""
OPEN_TRAPS_MAX = 64
"""Traps that nobody has answered yet; above, no more are made."""


def look_again(parts: Parts, tx: Transaction, now_ms: int) -> None:
    """Plan the next look, where traps are wanted at all."""
    if parts.settings.trap_share:
        deadlines.put(tx, LOOK, "", now_ms + LOOK_MS // 2 + _draw(parts, LOOK_MS))


def _draw(parts: Parts, below: int) -> int:
    return int.from_bytes(parts.random_bytes(8), "big") % below


def look_for_traps(parts: Parts, tx: Transaction, _caller: Caller, _order: LookForTraps, now_ms: int) -> None:
    """Have a trap made when the clients' effort affords one and a solver is there to fall into it."""
    look_again(parts, tx, now_ms)
    model = _model(parts, tx)
    if model is None or _is_full(parts, tx):
        return
    spent = tx.one(q.efforts, server_id=parts.own.fingerprint)
    online = tx.one(q.count_solvers_online)
    assert spent is not None, "an aggregate has a row"
    assert online is not None, "an aggregate has a row"
    affordable = rules.trap_budget(spent["clients"], spent["traps"], parts.settings.trap_share)
    if online["solvers"] and model["effort"] <= affordable:
        tx.after(JobDue(MAKE, model["fingerprint"]))


def make_first_trap(parts: Parts, tx: Transaction, now_ms: int) -> None:
    """A new key has to solve one first, and none is waiting for it: have the smallest made that still resembles a task.

    This one is made whatever the budget says, and counts in it. One is made at a time.
    """
    if _is_full(parts, tx) or tx.one(q.open_trap) is not None or now_ms < parts.making.get(MAKE, 0):
        return
    model = tx.one(q.smallest_recent_task, recent=RECENT_TASKS)
    if model is not None:
        parts.making[MAKE] = now_ms + MAKING_MS_MAX
        tx.after(JobDue(MAKE, model["fingerprint"]))


def _is_full(parts: Parts, tx: Transaction) -> bool:
    own = tx.one(q.open_tasks_of, client_id=parts.own.fingerprint)
    return own is not None and own["open_tasks"] >= OPEN_TRAPS_MAX


def _model(parts: Parts, tx: Transaction) -> Row | None:
    """One of the last tasks of clients that were answered, at random: an effort that nobody made affords nothing."""
    found = tx.one(q.recent_tasks, recent=RECENT_TASKS)
    assert found is not None, "an aggregate has a row"
    skipped = _draw(parts, max(1, found["number"]))
    return tx.one(q.recent_task, recent=RECENT_TASKS, skipped=skipped)


def making_job(parts: Parts) -> Job:
    """Making traps, off the loop. What a killed server left unmade is not missed: there is another look soon."""

    def load(reader: Reader, task: str) -> Model | None:
        row = reader.one(q.task, fingerprint=task)
        if row is None:
            return None
        squarings = open_squarings(parts.cipher, row)
        if not _is_shared(parts, reader, row):
            spread = squarings // SPREAD
            squarings += _draw(parts, 2 * spread + 1) - spread
        return Model(squarings, row["modulus_bits"], row["proof"] == "required")

    def conclude(_task: str, trap: Trap) -> IssueTrap:
        return IssueTrap(trap.puzzle, trap.commitment, trap.wants_proof)

    return Job(MAKE, load, make, conclude, lambda _reader: [], by_worker=True)


def _is_shared(parts: Parts, reader: Reader, row: Row) -> bool:
    """Whether puzzles with different products have this t: then one more does not stand out, and another t would."""
    alike = reader.all(q.tasks_of_effort, effort=row["effort"], recent=RECENT_TASKS, count=SEEN_MAX)
    return len({open_modulus(parts.cipher, other) for other in alike}) > 1


def issue_trap(parts: Parts, tx: Transaction, _caller: Caller, order: IssueTrap, now_ms: int) -> None:
    """Store a trap as a task of the server's own, and give it to a pair of solvers."""
    own, puzzle = parts.own, order.puzzle
    parts.making.pop(MAKE, None)
    if tx.one(q.client, client_id=own.fingerprint) is None:
        participants.register(tx, own, now_ms)
        tx.run(q.insert_client, client_id=own.fingerprint)
    if not tx.run(q.count_request, client_id=own.fingerprint, open_tasks_max=OPEN_TRAPS_MAX):
        return
    effort = effort_seconds(puzzle.squarings, puzzle.modulus.bit_length())
    tx.run(q.count_trap, client_id=own.fingerprint, effort=effort)
    commitment = None if order.wants_proof else order.commitment
    submission = Submission(puzzle, commitment, wants_proof=order.wants_proof, is_trap=True)
    task = insert_task(parts, tx, own.fingerprint, submission, now_ms)
    log(tx, "trap.issued", task=task.fingerprint, modulus_bits=task.modulus_bits)
    assign(parts, tx, task, now_ms)
