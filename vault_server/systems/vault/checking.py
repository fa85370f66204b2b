"""Checking relayed checkpoints in worker processes, in turns of half a second: only this blames who sent one.

Exponents are drawn from the server's randomness after the residues are stored. What a server that was killed had begun
to check is begun again, with others.
"""

from __future__ import annotations

from protocol import relay
from vault_server.core.operation import Caller, Endpoint, Job, JobDue, Reader, Row, Transaction, log
from vault_server.exchange import outbox
from vault_server.systems.vault import orders
from vault_server.systems.vault.arithmetic import Checked, Checking, advance
from vault_server.systems.vault.evidence import against_solver
from vault_server.systems.vault.records import Parts, Task, open_puzzle, open_residues, q, seal_residues
from vault_server.systems.vault.rules import Evidence
from vault_server.systems.vault.states import RELAY
from vault_server.systems.vault.succession import CHECK, OFFERED, hand_on, look_for_checkpoint

CHECKING = RELAY.after(RELAY.first, "check")


def checking_job(parts: Parts) -> Job:
    """One turn of a check after the other. What a turn gives back is what the next one goes on from."""
    under_way: dict[str, Checking] = {}

    def load(reader: Reader, key: str) -> Checking | None:
        kept = reader.one(q.relay, assignment_id=int(key))
        if kept is None or kept["status"] != CHECKING:
            under_way.pop(key, None)  # its task has ended
            return None
        if key not in under_way or not _is_of(under_way[key], kept):
            under_way[key] = _begin(parts, reader, kept)
        return under_way[key]

    def conclude(key: str, checked: Checked) -> orders.GoOnChecking | orders.RecordCheck:
        if checked.holds is None:
            under_way[key] = checked.checking
            return orders.GoOnChecking(int(key))
        under_way.pop(key, None)
        done = checked.checking
        return orders.RecordCheck(int(key), done.depth, done.first, done.end, checked.holds)

    def pending(reader: Reader) -> list[str]:
        return [str(row["assignment_id"]) for row in reader.all(q.relays_being_checked)]

    return Job(CHECK, load, advance, conclude, pending, by_worker=True)


def _is_of(checking: Checking, kept: Row) -> bool:
    """Whether nothing else has taken the place of what is being checked."""
    return bool(checking.depth == kept["depth"] and checking.first == kept["checked"])


def _begin(parts: Parts, reader: Reader, kept: Row) -> Checking:
    row = reader.one(q.assignment, db_key=kept["assignment_id"])
    assert row is not None, "a checkpoint's assignment exists"
    puzzle = open_puzzle(parts.cipher, row)
    residues = relay.decode(open_residues(parts.cipher, kept), puzzle.modulus)
    chain = relay.Chain.of(puzzle, kept["depth"], residues, checked=kept["checked"])
    check = relay.Check(chain, parts.random_bytes(relay.EXPONENT_BYTES * len(chain.residues)))
    return Checking(check, kept["depth"], kept["checked"], len(residues))


def go_on_checking(_parts: Parts, tx: Transaction, _caller: Caller, order: orders.GoOnChecking, _now_ms: int) -> None:
    """Queue the next turn of a check behind what others wait for."""
    kept = tx.one(q.relay, assignment_id=order.assignment)
    owner = "" if kept is None else kept["solver_id"]  # its task has ended: the next turn finds that out, and forgets
    tx.after(JobDue(CHECK, str(order.assignment), owner))


def record_check(parts: Parts, tx: Transaction, _caller: Caller, order: orders.RecordCheck, now_ms: int) -> None:
    """A checkpoint has been checked: hand it on, or blame who sent it and look for another one."""
    row = tx.one(q.assignment, db_key=order.assignment)
    kept = tx.one(q.relay, assignment_id=order.assignment)
    if row is None or kept is None or kept["status"] != CHECKING:
        return
    if (kept["depth"], kept["checked"]) != (order.depth, order.first):  # it has been given a better one meanwhile
        tx.after(JobDue(CHECK, str(order.assignment), kept["solver_id"]))
        return
    task = Task.of(row, parts.cipher)
    if order.holds:
        _end(tx, kept, "hold", kept["residues"], order.end)
        hand_on(parts, tx, task, {**kept, "assigned_at": row["assigned_at"]}, now_ms)
        return
    nothing = seal_residues(parts.cipher, b"", order.assignment, row["solver_id"])
    _end(tx, kept, "refute", nothing, kept["checked"])
    outbox.withdraw(tx, row["solver_id"], Endpoint.SOLVER, OFFERED, str(order.assignment))
    log(tx, "checkpoint.refuted", task=task.fingerprint, assignment=order.assignment, solver=row["solver_id"])
    against_solver(tx, row["solver_id"], Evidence.CHECKPOINT_REFUTED, task.fingerprint, now_ms)
    look_for_checkpoint(parts, tx, task, now_ms)


def _end(tx: Transaction, kept: Row, event: str, residues: bytes, checked: int) -> None:
    key, status = kept["assignment_id"], RELAY.after(kept["status"], event)
    changed = tx.run(
        q.end_check, assignment_id=key, status=status, residues=residues, checked=checked, expected=kept["status"]
    )
    assert changed == 1, f"the checkpoint of assignment {key} is no longer {kept['status']}"
