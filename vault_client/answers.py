"""Checks every answer on this machine before anybody sees it: the server's word that it is right is not enough."""

from __future__ import annotations

import asyncio
import hmac
import time
from dataclasses import dataclass, field
from typing import Literal

import gmpy2

from protocol.errors import MessageError
from protocol.proof import BadProof, Proof, Statement, verify
from protocol.puzzle import Puzzle, check_base, check_modulus, commit, square_repeatedly
from protocol.vault import PuzzleAnswered, TaskState
from vault_client.errors import AnswerRejected

ProofWish = Literal["required", "none"]

COMPUTED_SQUARINGS_MAX = 65_536
"""The most that any server can be set to compute itself; as many are computed again here."""


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for, and so what its answer is checked against. Its repr shows nothing of the puzzle.

    With `proof` "none" the agreement of two solvers is taken for an answer, though nothing proves it.
    """

    puzzle: Puzzle = field(repr=False)
    commitment: bytes | None = field(default=None, repr=False)
    proof: ProofWish = "required"


@dataclass(frozen=True, slots=True)
class Claim:
    """What the server says is the answer. Nothing of it is checked."""

    y: int = field(repr=False)
    judged_by: str
    proof: bytes | None = field(repr=False)
    solver: str | None

    @classmethod
    def of(cls, message: PuzzleAnswered | TaskState) -> Claim | None:
        """From a push, or from a state that has an answer."""
        if message.answer is None:
            return None
        return cls(message.answer, message.judged_by or "", message.proof, message.solver)


@dataclass(frozen=True, slots=True)
class Answer:
    """y = baseg^(2^t) mod product, and what stands behind it.

    `judged_by` is how the server came to it: `computed`, `commitment`, `proof` or `agreed`. `is_checked` says that this
    program has found it right by itself, which took `check_seconds`; it is False where two solvers agreed and nothing
    proves it, and where the puzzle is not known here. `proof` is the proof of the solver with this fingerprint.
    """

    y: int = field(repr=False)
    judged_by: str
    is_checked: bool = False
    check_seconds: float = 0.0
    proof: bytes | None = field(default=None, repr=False)
    solver: str | None = None


async def check(task: str, claim: Claim, order: Order | None) -> Answer:
    """The answer, once it has been checked beside the event loop; unchecked without an order. Raises AnswerRejected."""
    is_checked, began = False, time.perf_counter()
    if order is not None:
        try:
            is_checked = await asyncio.to_thread(_is_right, task, claim, order)
        except BadProof as reason:
            raise AnswerRejected(task, str(reason)) from None
    seconds = time.perf_counter() - began if is_checked else 0.0
    return Answer(claim.y, claim.judged_by, is_checked, seconds, claim.proof, claim.solver)


def _is_right(task: str, claim: Claim, order: Order) -> bool:
    """True when it is right, False where nobody can say and the order puts up with that. Raises BadProof."""
    gmpy2.get_context().allow_release_gil = True
    if not 1 <= claim.y < order.puzzle.modulus:
        raise BadProof("it is not in 1..product-1")
    match claim.judged_by:
        case "proof":
            if claim.proof is None or claim.solver is None:
                raise BadProof("the server says that it is proved, and sends no proof")
            check_proof(Statement(order.puzzle, task, claim.solver), claim.proof, claim.y)
        case "computed":
            _check_computed(claim, order.puzzle)
        case "commitment":
            _check_committed(claim, order)
        case "agreed" if order.proof == "none" and order.commitment is None:
            return False
        case "agreed" if order.proof == "none":
            _check_committed(claim, order)
        case "agreed":
            raise BadProof("the server says that two solvers agreed, which proves nothing, and a proof was required")
        case _:
            raise BadProof("the server does not say how it was judged")
    return True


def check_proof(statement: Statement, raw: bytes, y: int) -> None:
    """Whether these bytes prove that y is the puzzle's answer. Raises BadProof, whose text says why not."""
    puzzle = statement.puzzle
    _check_puzzle(puzzle)
    if verify(statement, Proof.decode(raw, puzzle)) != y:
        raise BadProof("its proof is one of another answer")


def _check_puzzle(puzzle: Puzzle) -> None:
    # Where product is prime or has a small factor, or baseg shares one with it, elements of small order are easy to
    # find, and a proof would prove nothing.
    try:
        check_base(puzzle.base, puzzle.modulus)
        check_modulus(puzzle.modulus)
    except MessageError as refusal:
        raise BadProof(f"no proof can be trusted for such a puzzle ({refusal.code})") from None


def _check_computed(claim: Claim, puzzle: Puzzle) -> None:
    if puzzle.squarings > COMPUTED_SQUARINGS_MAX:
        raise BadProof(f"the server says that it computed it, as none does above {COMPUTED_SQUARINGS_MAX:,} squarings")
    if square_repeatedly(puzzle.base, puzzle.squarings, puzzle.modulus) != claim.y:
        raise BadProof("this machine has computed it again, and it is another number")


def _check_committed(claim: Claim, order: Order) -> None:
    if order.commitment is None:
        raise BadProof("the server says that it matches a commitment, and none was given")
    if not hmac.compare_digest(commit(claim.y, order.puzzle.modulus), order.commitment):
        raise BadProof("it does not match the commitment")
