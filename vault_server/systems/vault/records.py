"""The vault's rows as values, and what is sealed in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from protocol.errors import Code
from protocol.puzzle import Puzzle, answer_bytes
from vault_server.core.operation import Caller, Reader, Refusal, Row, Transaction
from vault_server.exchange.cipher import Cipher
from vault_server.settings import Settings
from vault_server.storage.queries import load
from vault_server.systems.vault import rules
from vault_server.systems.vault.rules import Candidate, Judgement
from vault_server.systems.vault.timing import DeadlineBounds

q = load(__package__)

JUDGEMENTS = {way.value: way for way in Judgement}
"""By what stands in the column; looked up twice as fast as `Judgement(value)`."""

SQUARINGS_BYTES = 8
"""t is sealed at a fixed width, so that the length of the ciphertext does not tell its size."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the vault's operations are built with."""

    settings: Settings
    cipher: Cipher
    random_bytes: Callable[[int], bytes]
    own: Caller
    """The server as the client of its own puzzles."""
    making: dict[str, int] = field(default_factory=dict)
    """Until when this node counts on what it has asked its judges to make, by job."""
    deadline_bounds: DeadlineBounds = field(init=False)
    """The settings that make deadlines."""

    def __post_init__(self) -> None:
        """Read once what every task asks for."""
        s = self.settings
        bounds = DeadlineBounds(s.deadline_ms_unknown, s.deadline_ms_min, s.deadline_ms_max, s.deadline_slack)
        object.__setattr__(self, "deadline_bounds", bounds)

    @property
    def valid_answers_min(self) -> int:
        """What a solver has to have shown before it gets a client's task."""
        return int(self.settings.trap_first)


@dataclass(slots=True)
class Task:
    """A row of `tasks` while an operation works on it. The slots hold assignment keys; t is opened, the rest is not."""

    key: int
    fingerprint: str
    client_id: str
    status: str
    slots: list[int | None]
    num_assignments: int
    num_returned: int
    modulus_bits: int
    commitment: bytes | None
    promised_by: int
    squarings: int
    judging: Judgement
    wants_proof: bool
    is_trap: bool = False
    is_promised: bool = True
    freed: list[str] = field(default_factory=list)
    """Who was released from it without blame and has been offered nothing yet."""

    @classmethod
    def of(cls, row: Row, cipher: Cipher, squarings: int | None = None) -> Task:
        """From any row that has these columns of `tasks`. `squarings` is its t, for who has opened that already."""
        return cls(
            key=row["db_key"],
            fingerprint=row["fingerprint"],
            client_id=row["client_id"],
            status=row["status"],
            slots=[row["first_assignment_id"], row["second_assignment_id"]],
            num_assignments=row["num_assignments"],
            num_returned=row["num_returned"],
            modulus_bits=row["modulus_bits"],
            commitment=row["commitment"],
            promised_by=row["promised_by"],
            squarings=open_squarings(cipher, row) if squarings is None else squarings,
            judging=JUDGEMENTS[row["judging"]],
            wants_proof=row["proof"] == "required",
            is_trap=bool(row["is_trap"]),
        )

    @property
    def needs_proof(self) -> bool:
        """Whether an answer has to bring its proof: the client wants one and the server does not compute the answer."""
        return self.wants_proof and self.judging in (Judgement.PROOF, Judgement.COMMITMENT)

    @property
    def takes_relays(self) -> bool:
        """Whether solvers may relay checkpoints: where they are asked for a proof, which tells a successor before it
        answers what the checkpoint was worth."""
        return self.wants_proof and self.judging is not Judgement.COMPUTED

    def squarings_of(self, assignment: Row) -> int:
        """What its solver has squared itself, the rest having come from a relayed checkpoint."""
        share: float = assignment["head_start"]
        return round(self.squarings * (1 - share))

    def empty_slots(self) -> int:
        """How many of the two slots hold no assignment."""
        return self.slots.count(None)

    def slots_to_open(self, assignments_max: int) -> int:
        """How many of its empty slots may still be filled; a trap is for one pair."""
        most = rules.SLOTS if self.is_trap else assignments_max
        return rules.slots_to_open(self.empty_slots(), self.num_assignments - self.num_returned, most)


@dataclass(frozen=True, slots=True)
class SealedPuzzle:
    """The three parameter columns of `tasks`."""

    t: bytes
    baseg: bytes
    product: bytes


def seal_puzzle(cipher: Cipher, puzzle: Puzzle, fingerprint: str, owner: str) -> SealedPuzzle:
    """The parameters under the client's key (seed 000 §3.1, §6)."""
    seal, t = cipher.seal, puzzle.squarings.to_bytes(SQUARINGS_BYTES, "big")
    base, product = answer_bytes(puzzle.base, puzzle.modulus), answer_bytes(puzzle.modulus, puzzle.modulus)
    return SealedPuzzle(
        t=seal(t, table="tasks", row=fingerprint, column="parameter_t", owner=owner),
        baseg=seal(base, table="tasks", row=fingerprint, column="parameter_baseg", owner=owner),
        product=seal(product, table="tasks", row=fingerprint, column="parameter_product", owner=owner),
    )


def _open(cipher: Cipher, row: Row, column: str) -> int:
    opened = cipher.open(row[column], table="tasks", row=row["fingerprint"], column=column, owner=row["client_id"])
    return int.from_bytes(opened, "big")


def as_dict(row: Row) -> Row:
    """The same row for who reads more than a few of its columns: sqlite3.Row goes through all of them for each name."""
    if isinstance(row, dict):
        return row
    values: Iterable[Any] = row  # it gives its values, not its names
    return dict(zip(row.keys(), values, strict=True))


def open_squarings(cipher: Cipher, row: Row) -> int:
    """t of a row of `tasks`."""
    return _open(cipher, row, "parameter_t")


def open_modulus(cipher: Cipher, row: Row) -> int:
    """N of a row of `tasks`."""
    return _open(cipher, row, "parameter_product")


def open_puzzle(cipher: Cipher, row: Row) -> Puzzle:
    """All three parameters of a row of `tasks`."""
    return Puzzle(open_squarings(cipher, row), _open(cipher, row, "parameter_baseg"), open_modulus(cipher, row))


def seal_task_answer(cipher: Cipher, raw: bytes, task: Task) -> bytes:
    """An answer under the client's key, in `tasks`."""
    return cipher.seal(raw, table="tasks", row=task.fingerprint, column="answer", owner=task.client_id)


def open_task_answer(cipher: Cipher, row: Row) -> int:
    """The answer of a row of `tasks` that has one."""
    return _open(cipher, row, "answer")


def open_task_answer_bytes(cipher: Cipher, row: Row) -> bytes:
    """The same, as `protocol.puzzle.answer_bytes`."""
    return cipher.open(row["answer"], table="tasks", row=row["fingerprint"], column="answer", owner=row["client_id"])


def seal_assignment_answer(cipher: Cipher, raw: bytes, assignment: int, solver: str) -> bytes:
    """An answer under the solver's key, in `task_assignments`."""
    return cipher.seal(raw, table="task_assignments", row=str(assignment), column="answer", owner=solver)


def open_assignment_answer(cipher: Cipher, sealed: bytes, assignment: int, solver: str) -> bytes:
    """What a solver delivered, as `protocol.puzzle.answer_bytes`."""
    return cipher.open(sealed, table="task_assignments", row=str(assignment), column="answer", owner=solver)


def seal_proof(cipher: Cipher, raw: bytes, assignment: int, solver: str) -> bytes:
    """A proof under its solver's key, in `proofs`."""
    return cipher.seal(raw, table="proofs", row=str(assignment), column="proof", owner=solver)


def open_proof(cipher: Cipher, row: Row) -> bytes:
    """The proof of a row of `proofs`, as `protocol.proof.Proof.encode` wrote it."""
    return cipher.open(
        row["proof"], table="proofs", row=str(row["assignment_id"]), column="proof", owner=row["solver_id"]
    )


def seal_residues(cipher: Cipher, raw: bytes, assignment: int, solver: str) -> bytes:
    """The residues of a relayed checkpoint under its solver's key, in `relays`."""
    return cipher.seal(raw, table="relays", row=str(assignment), column="residues", owner=solver)


def open_residues(cipher: Cipher, row: Row) -> bytes:
    """The residues of a row of `relays`, as `protocol.relay.encode` writes them; none of one that was refuted."""
    return cipher.open(
        row["residues"], table="relays", row=str(row["assignment_id"]), column="residues", owner=row["solver_id"]
    )


@dataclass(frozen=True, slots=True)
class GivenProof:
    """A proof that held, and the fingerprint of the solver it names."""

    raw: bytes
    solver: str


def proof_of_task(parts: Parts, reader: Reader, row: Row) -> GivenProof | None:
    """The proof that goes with the answer of a row of `tasks`, if it was judged by one."""
    if row["proved_by"] is None:
        return None
    kept = reader.one(q.proof, assignment_id=row["proved_by"])
    assert kept is not None, f"task {row['fingerprint']} was judged by a proof"
    return GivenProof(open_proof(parts.cipher, kept), kept["solver_id"])


def seal_factor(cipher: Cipher, factor: int, complaint: int, row: Row) -> bytes:
    """A revealed factor under the client's key; `row` is the task's."""
    raw = factor.to_bytes((factor.bit_length() + 7) // 8, "big")
    return cipher.seal(raw, table="complaints", row=str(complaint), column="factor", owner=row["client_id"])


def open_factor(cipher: Cipher, complaint: Row) -> int:
    """The factor of a row of `complaints` that has one."""
    opened = cipher.open(
        complaint["factor"],
        table="complaints",
        row=str(complaint["id"]),
        column="factor",
        owner=complaint["client_id"],
    )
    return int.from_bytes(opened, "big")


def assignment_of(row: Row, status: str, *, delivered_at: int | None = None) -> Row:
    """The assignment's part of a row that joins it with its task, in a status it has just got."""
    return {
        "db_key": row["assignment_key"],
        "solver_id": row["solver_id"],
        "status": status,
        "complain_until": row["complain_until"],
        "assigned_at": row["assigned_at"],
        "delivered_at": delivered_at or row["delivered_at"],
        "head_start": row["head_start"],
    }


def task_of_client(tx: Transaction, caller: Caller, fingerprint: str) -> Row:
    """A task's row, for its client alone. Raises Refusal(TASK_NOT_FOUND)."""
    row = tx.one(q.task_of_client, fingerprint=fingerprint, client_id=caller.fingerprint)
    if row is None:
        raise Refusal(
            Code.TASK_NOT_FOUND,
            f"There is no task {fingerprint} of yours.",
            "Check the fingerprint and that you use the key that submitted it.",
        )
    return row


def hold_solvers(tx: Transaction, task: str) -> None:
    """Lock who works on a task, in one order for all, before any of them is let go: else two would wait in a circle."""
    if not tx.is_alone:
        tx.all(q.hold_solvers, task_id=task)


def assignment_of_solver(tx: Transaction, caller: Caller, key: int) -> Row:
    """An assignment with its task, for its solver alone. Raises Refusal(ASSIGNMENT_NOT_FOUND)."""
    row = tx.one(q.assignment_of_solver, db_key=key, solver_id=caller.fingerprint)
    if row is None:
        raise _not_yours(key)
    return row


def standing_of_assignment(tx: Transaction, caller: Caller, key: int) -> Row:
    """What `not_live` needs of it. Raises Refusal(ASSIGNMENT_NOT_FOUND)."""
    row = tx.one(q.standing_of_assignment, db_key=key, solver_id=caller.fingerprint)
    if row is None:
        raise _not_yours(key)
    return row


def _not_yours(key: int) -> Refusal:
    return Refusal(
        Code.ASSIGNMENT_NOT_FOUND,
        f"There is no assignment {key} of yours.",
        "Answer the assignments that tlp_request named, with the key they were given to.",
    )


def not_live(row: Row) -> Refusal:
    """Why nothing is done any more for an assignment that has its answer or has ended."""
    key, status = row["assignment_key"], row["assignment_status"]
    if row["delivered_at"] is None:
        return Refusal(
            Code.ASSIGNMENT_ENDED, f"Assignment {key} is {status}.", "Stop working on it; other work will be offered."
        )
    return Refusal(Code.ALREADY_ANSWERED, f"Assignment {key} has its answer.", "Send each answer once.")


def candidates(rows: Sequence[Row]) -> list[Candidate]:
    """Solvers as the ranking sees them, from a query that asks for just the columns of `Candidate`, in that order."""
    if rows and isinstance(rows[0], dict):
        return [Candidate(*row.values()) for row in rows]
    return [Candidate._make(row) for row in rows]


def candidate(row: Row) -> Candidate:
    """The same from any row that has these columns of `solvers`."""
    return Candidate(
        solver_id=row["solver_id"],
        band=row["band"],
        reputation=row["reputation_score"],
        in_hand=row["in_hand"],
        last_assigned_ms=row["last_assigned_at"],
        address=row["address"],
        speeds_text=row["speeds"],
        observed_speed=row["observed_speed"],
    )
