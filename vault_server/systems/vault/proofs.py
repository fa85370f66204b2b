"""The proofs that solvers send (design §7): taken at the door, checked by worker processes, in no transaction."""

from __future__ import annotations

from protocol.errors import Code
from protocol.proof import BadProof, Proof, Statement
from protocol.puzzle import Puzzle
from vault_server.core.operation import Job, JobDue, Reader, Refusal, Transaction
from vault_server.systems.vault.arithmetic import Claim, holds
from vault_server.systems.vault.orders import RecordProof
from vault_server.systems.vault.records import (
    Parts,
    open_assignment_answer,
    open_proof,
    open_puzzle,
    q,
    seal_proof,
)
from vault_server.systems.vault.states import PROOF

VERIFY = "verify_proof"
CHECK_MS = 5
"""About what checking one proof costs."""


def check_form(raw: bytes, puzzle: Puzzle, assignment: int) -> None:
    """Refuse what cannot be a proof for this t and product: that is no failed proof, and the assignment goes on."""
    try:
        Proof.decode(raw, puzzle)
    except BadProof as error:
        raise Refusal(
            Code.PROOF_MALFORMED,
            f"For assignment {assignment}, {error}.",
            "Send version byte, z and one midpoint a round, as protocol.md §14 says; the assignment is still yours.",
        ) from None


def check_room(parts: Parts, tx: Transaction, solver_id: str) -> None:
    """Refuse one more proof of a solver that has `proofs_waiting_max` of them waiting for their check."""
    limit = parts.settings.proofs_waiting_max
    waiting = tx.one(q.count_waiting_proofs, solver_id=solver_id)
    assert waiting is not None, "an aggregate has a row"
    if waiting["number"] >= limit:
        raise Refusal(
            Code.TOO_MANY_PROOFS,
            f"{waiting['number']} of your proofs wait to be checked.",
            f"Send this one again in a moment; {limit} may wait (proofs_waiting_max), and it is still yours to send.",
            retry_after_ms=CHECK_MS * waiting["number"],
        )


def keep_proof(parts: Parts, tx: Transaction, key: int, solver_id: str, raw: bytes, now_ms: int) -> None:
    """Store a proof of an assignment's answer and have it checked; solvers take turns."""
    kept = tx.run(
        q.insert_proof,
        assignment_id=key,
        solver_id=solver_id,
        proof=seal_proof(parts.cipher, raw, key, solver_id),
        status=PROOF.first,
        received_at=now_ms,
    )
    assert kept == 1, f"assignment {key} has its proof"
    tx.after(JobDue(VERIFY, str(key), solver_id))


def verifying_job(parts: Parts) -> Job:
    """Checking proofs: some milliseconds each, bounded whatever they hold."""

    def load(reader: Reader, key: str) -> Claim | None:
        kept = reader.one(q.proof, assignment_id=int(key))
        if kept is None or kept["status"] != PROOF.first:
            return None
        row = reader.one(q.assignment, db_key=int(key))
        assert row is not None, "a proof's assignment exists"
        puzzle = open_puzzle(parts.cipher, row)
        answer = open_assignment_answer(parts.cipher, row["assignment_answer"], int(key), row["solver_id"])
        statement = Statement(puzzle, row["fingerprint"], row["solver_id"])
        return Claim(statement, open_proof(parts.cipher, kept), int.from_bytes(answer, "big"))

    def conclude(key: str, is_holding: bool) -> RecordProof:
        return RecordProof(int(key), is_holding)

    def pending(reader: Reader) -> list[str]:
        return [str(row["assignment_id"]) for row in reader.all(q.waiting_proofs)]

    return Job(VERIFY, load, holds, conclude, pending, by_worker=True)
