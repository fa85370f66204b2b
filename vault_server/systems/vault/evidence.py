"""What is known for or against a solver or a client, and the score that follows (design §7, seed 000 §3.4)."""

from __future__ import annotations

from vault_server.core.operation import Endpoint, Penalty, Row, Transaction
from vault_server.exchange import deadlines, standing
from vault_server.exchange.standing import Standing
from vault_server.systems.vault import rules, timing
from vault_server.systems.vault.records import Task, q
from vault_server.systems.vault.rules import WEIGHTS, Evidence, Record

DAY_MS = 24 * 3600 * 1000
DISTRUSTED = "offer_to_distrusted"
"""What is due as soon as a solver has fallen below ten points."""


def against_solver(tx: Transaction, solver_id: str, evidence: Evidence, task: str | None, now_ms: int) -> None:
    """Weigh one piece of evidence on a solver; its ranking follows its score. Nothing for a key that never joined."""
    row = tx.one(q.solver_record, solver_id=solver_id)
    if row is None:
        return
    _weigh_solver(tx, solver_id, row, evidence, task, now_ms)
    if evidence in rules.COSTS_TRUST:
        _trust(tx, solver_id, row, rules.trusted_less(row["trusted"]))


def is_blamed_for(task: Task, expired: Row) -> bool:
    """Whether an expired assignment of the task counts against its solver: not when the server was down, nor when
    nobody could have done it in time."""
    return timing.is_blamed(
        given_ms=expired["deadline"] - expired["assigned_at"],
        squarings=task.squarings,
        modulus_bits=task.modulus_bits,
        excused=bool(expired["excused"]),
    )


def against_client(tx: Transaction, client_id: str, evidence: Evidence, task: str | None, now_ms: int) -> None:
    """Weigh one piece of evidence on a client. Nothing for a key that never submitted."""
    row = tx.one(q.client_record, client_id=client_id)
    if row is None:
        return
    record = _record(row).with_evidence(WEIGHTS[evidence], now_ms)
    tx.run(q.set_client_record, client_id=client_id, good=record.good, bad=record.bad, evidence_at=record.at_ms)
    _move(tx, Standing.CLIENT, client_id, row, record, evidence, task, now_ms)


def reward_valid_answer(
    tx: Transaction, solver_id: str, client_id: str, task: str, *, is_credible: bool, now_ms: int
) -> None:
    """A solver has given one more valid answer: it is trusted with more at once, and stands better. The number of them
    has followed the assignment's row by trigger.

    A pair of client and solver counts once a day: a key that asks itself the same easy question moves little.
    """
    row = tx.one(q.solver_record_of_pair, solver_id=solver_id, client_id=client_id)
    assert row is not None, "an assignment's solver exists"
    if is_credible:
        _trust(tx, solver_id, row, rules.trusted_more(row["trusted"]))
    if is_credible and _is_first_of_day(tx, row["good_day"], solver_id, client_id, now_ms // DAY_MS):
        _weigh_solver(tx, solver_id, row, Evidence.VALID_ANSWER, task, now_ms)
    else:
        _set_band(tx, solver_id, row, row["reputation_score"], now_ms)


def _is_first_of_day(tx: Transaction, last_day: int | None, solver_id: str, client_id: str, day: int) -> bool:
    """Whether this day has not counted for the pair yet; from now on it has. `last_day` never goes back."""
    if last_day is not None and last_day >= day:
        return False
    return tx.run(q.count_good_day, solver_id=solver_id, client_id=client_id, day=day) == 1


def forget_good_days(tx: Transaction, now_ms: int) -> int:
    """Drop the days that no longer keep a pair from counting; the number dropped."""
    return tx.run(q.forget_good_days, day=now_ms // DAY_MS)


def _trust(tx: Transaction, solver_id: str, row: Row, trusted: int) -> None:
    if trusted != row["trusted"]:
        capacity = min(row["announced"], trusted)
        tx.run(q.set_trusted, solver_id=solver_id, trusted=trusted, capacity=capacity)


def _weigh_solver(tx: Transaction, solver_id: str, row: Row, evidence: Evidence, task: str | None, now_ms: int) -> None:
    record = _record(row).with_evidence(WEIGHTS[evidence], now_ms)
    tx.run(q.set_solver_record, solver_id=solver_id, good=record.good, bad=record.bad, evidence_at=record.at_ms)
    change = _move(tx, Standing.SOLVER, solver_id, row, record, evidence, task, now_ms)
    _set_band(tx, solver_id, row, row["reputation_score"] + change, now_ms)


def _move(
    tx: Transaction,
    which: Standing,
    key: str,
    row: Row,
    record: Record,
    evidence: Evidence,
    task: str | None,
    now_ms: int,
) -> float:
    return standing.move(
        tx,
        which,
        key,
        old=row["reputation_score"],
        new=record.score,
        reason=evidence.value,
        task=task,
        now_ms=now_ms,
    )


def _set_band(tx: Transaction, solver_id: str, row: Row, score: float, now_ms: int) -> None:
    band = rules.band(score, row["valid_answers"])
    if band == row["band"]:
        return
    tx.run(q.set_band, solver_id=solver_id, band=band)
    if band == 0:  # what only waited for this one is for those that stand no better
        deadlines.put(tx, DISTRUSTED, "", now_ms)


def _record(row: Row) -> Record:
    return Record(row["good"], row["bad"], row["evidence_at"])


def reduce_solver_reputation(tx: Transaction, fingerprint: str, now_ms: int) -> None:
    """Seed 000 §3.4: repeated violations of the rate limit."""
    against_solver(tx, fingerprint, Evidence.REPEATED_VIOLATIONS, None, now_ms)


def reduce_client_reputation(tx: Transaction, fingerprint: str, now_ms: int) -> None:
    """The same for a client."""
    against_client(tx, fingerprint, Evidence.REPEATED_VIOLATIONS, None, now_ms)


PENALTIES: dict[Endpoint, Penalty] = {
    Endpoint.SOLVER: reduce_solver_reputation,
    Endpoint.CLIENT: reduce_client_reputation,
}
"""Who loses standing by repeated violations, and how."""
