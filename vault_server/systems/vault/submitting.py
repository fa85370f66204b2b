"""How a puzzle becomes a row of `tasks` (seed 000 §3.1): a client's, or one of the server's own."""

from __future__ import annotations

from dataclasses import dataclass, field

from protocol.puzzle import Puzzle, difficulty, effort_seconds
from vault_server.core.operation import Transaction
from vault_server.systems.vault import timing
from vault_server.systems.vault.records import Parts, Task, q, seal_puzzle
from vault_server.systems.vault.rules import SLOTS, Judgement, judgement_for
from vault_server.systems.vault.states import TASK


@dataclass(frozen=True, slots=True)
class Submission:
    """A puzzle that has passed its checks, and how its answer is to be judged."""

    puzzle: Puzzle = field(repr=False)
    commitment: bytes | None = field(repr=False)
    wants_proof: bool
    is_trap: bool = False


def insert_task(parts: Parts, tx: Transaction, client_id: str, submission: Submission, now_ms: int) -> Task:
    """Store a task that nobody works on yet. Its client's row is there, and has counted it."""
    puzzle, bits = submission.puzzle, submission.puzzle.modulus.bit_length()
    fingerprint = _fingerprint(parts, now_ms)
    sealed = seal_puzzle(parts.cipher, puzzle, fingerprint, client_id)
    judging, promised_by = _judging(parts, submission), _promised_by(parts, puzzle, bits, now_ms)
    key = tx.insert(
        q.insert_task,
        fingerprint=fingerprint,
        client_id=client_id,
        parameter_t=sealed.t,
        parameter_baseg=sealed.baseg,
        parameter_product=sealed.product,
        commitment=submission.commitment,
        modulus_bits=bits,
        difficulty=difficulty(puzzle.squarings, puzzle.modulus),
        effort=effort_seconds(puzzle.squarings, bits),
        judging=judging.value,
        proof="required" if submission.wants_proof else "none",
        is_trap=int(submission.is_trap),
        status=TASK.first,
        open_slots=SLOTS,
        promised_by=promised_by,
        created_at=now_ms,
    )
    return Task(
        key=key,
        fingerprint=fingerprint,
        client_id=client_id,
        status=TASK.first,
        slots=[None, None],
        num_assignments=0,
        num_returned=0,
        modulus_bits=bits,
        commitment=submission.commitment,
        promised_by=promised_by,
        squarings=puzzle.squarings,
        judging=judging,
        wants_proof=submission.wants_proof,
        is_trap=submission.is_trap,
        is_promised=False,
    )


def _judging(parts: Parts, submission: Submission) -> Judgement:
    way = judgement_for(
        submission.puzzle.squarings,
        has_commitment=submission.commitment is not None,
        wants_proof=submission.wants_proof,
        computed_squarings_max=parts.settings.computed_squarings_max,
    )
    return Judgement.KNOWN if submission.is_trap and way is Judgement.COMMITMENT else way


def _promised_by(parts: Parts, puzzle: Puzzle, bits: int, now_ms: int) -> int:
    return now_ms + timing.promise_ms(puzzle.squarings, bits, parts.deadline_bounds)


def _fingerprint(parts: Parts, now_ms: int) -> str:
    """A fresh task's name: 6 bytes of time, 10 of randomness. New names stand together in every index that has them."""
    return (now_ms.to_bytes(6, "big") + parts.random_bytes(10)).hex()
