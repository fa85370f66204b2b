"""Outbox rows of the vault as messages: what is secret is opened here, at the last moment, and but for the puzzle
that was opened last nowhere kept."""

from __future__ import annotations

from protocol import vault as wire
from protocol.puzzle import Puzzle
from vault_server.core.operation import Push, Reader, Row
from vault_server.exchange.standing import STANDING_CHANGED
from vault_server.systems.vault import allowances
from vault_server.systems.vault.records import (
    JUDGEMENTS,
    Parts,
    as_dict,
    open_puzzle,
    open_residues,
    open_task_answer,
    proof_of_task,
    q,
)
from vault_server.systems.vault.rules import Judgement
from vault_server.systems.vault.states import IN_HAND
from vault_server.systems.vault.succession import OFFERED


def pushes(parts: Parts) -> list[Push]:
    """Every kind of push the vault makes."""

    last: list[tuple[tuple[bytes, ...], Puzzle]] = []

    def opened(row: Row) -> Puzzle:
        """A task is offered to two solvers, one offer next to the other: what was opened last need not be opened again.

        Two tasks share no ciphertext, and no two versions of a task's do.
        """
        sealed = (row["parameter_t"], row["parameter_baseg"], row["parameter_product"])
        for known, puzzle in last:
            if known == sealed:
                return puzzle
        puzzle = open_puzzle(parts.cipher, as_dict(row))
        last[:] = [(sealed, puzzle)]
        return puzzle

    def offered(reader: Reader, push: Row) -> wire.PuzzleOffered | None:
        key = int(push["subject"])
        row = reader.one(q.offered_assignment, db_key=key)
        if row is None or row["assignment_status"] not in IN_HAND:
            return None
        puzzle = opened(row)
        return wire.PuzzleOffered(
            assignment=key,
            task=row["fingerprint"],
            t=puzzle.squarings,
            baseg=puzzle.base,
            product=puzzle.modulus,
            deadline=row["deadline"],
            proof="none" if JUDGEMENTS[row["judging"]] is Judgement.COMPUTED else row["proof"],
        )

    def answered(reader: Reader, push: Row) -> wire.PuzzleAnswered | None:
        row = reader.one(q.answered_task, fingerprint=push["subject"])
        if row is None or row["answer"] is None:
            return None
        proof = proof_of_task(parts, reader, row)
        return wire.PuzzleAnswered(
            task=row["fingerprint"],
            answer=open_task_answer(parts.cipher, row),
            judged_by=row["judged_by"],
            proof=None if proof is None else proof.raw,
            solver=None if proof is None else proof.solver,
        )

    def failed(reader: Reader, push: Row) -> wire.TaskFailed | None:
        row = reader.one(q.task, fingerprint=push["subject"])
        return None if row is None else wire.TaskFailed(task=row["fingerprint"], reason=row["reason"] or "")

    def ended(reader: Reader, push: Row) -> wire.AssignmentEnded:
        key, outcome = int(push["subject"]), push["detail"]
        late_until = None
        if outcome == "released":
            row = reader.one(q.released_assignment, db_key=key)
            assert row is not None, "an assignment that has ended exists"
            late_until = row["late_until"]
        return wire.AssignmentEnded(assignment=key, outcome=outcome, late_until=late_until)

    def raised(reader: Reader, push: Row) -> wire.ComplaintRaised | None:
        row = reader.one(q.complaint, id=int(push["subject"]))
        if row is None or row["status"] != "asked":
            return None
        return wire.ComplaintRaised(
            complaint=row["id"], assignment=int(push["detail"]), kind=row["kind"], respond_by=row["respond_by"]
        )

    def ruled(reader: Reader, push: Row) -> wire.ComplaintRuled | None:
        row = reader.one(q.complaint, id=int(push["subject"]))
        if row is None or row["ruled_at"] is None:
            return None
        return wire.ComplaintRuled(
            complaint=row["id"],
            task=row["task_id"],
            kind=row["kind"],
            ruling=row["status"],
            reason=row["ruling"],
            assignment=int(push["detail"]) if push["detail"] else None,
        )

    def checkpoint(reader: Reader, push: Row) -> wire.CheckpointOffered | None:
        key = int(push["subject"])
        row = reader.one(q.relay, assignment_id=key)
        if row is None or row["status"] == "refuted":
            return None
        residues = open_residues(parts.cipher, row)
        checked = residues[: len(residues) // row["count"] * row["checked"]]
        return wire.CheckpointOffered(assignment=key, depth=row["depth"], residues=checked)

    return [
        Push(OFFERED, checkpoint),
        Push("complaint_raised", raised, grants=allowances.of_complaint),
        Push("complaint_ruled", ruled),
        STANDING_CHANGED,
        Push("tlp_request", offered, grants=allowances.of_offer),
        Push("tlp_response", answered),
        Push("task_failed", failed),
        Push("assignment_ended", ended, revokes=allowances.of_ended),
    ]
