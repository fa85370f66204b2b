"""`explain TASK`: who was chosen and why, every change since, what was complained of and whose score moved.

Made of rows alone, so it says the same with and without a running server. Never a parameter, an answer or a factor.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from vault_server.core.operation import Reader, Row
from vault_server.storage.queries import load
from vault_server.systems.vault.states import IN_HAND, OPEN

q = load(__package__, "reports.sql")

CANDIDATES_SHOWN = 10
"""Tasks named when a prefix fits several."""

_PREFIX = re.compile(r"[0-9a-f]{1,32}")


def explain(reader: Reader, about: str, _now_ms: int) -> dict[str, Any] | None:
    """Everything about the task whose fingerprint begins with `about`; `{"candidates": …}` when several do."""
    prefix = about.strip().lower()
    if _PREFIX.fullmatch(prefix) is None:
        return None
    # "g" comes behind every hex digit.
    found = reader.all(q.tasks_by_name, first=prefix, behind=prefix + "g", count=CANDIDATES_SHOWN + 1)
    if len(found) > 1:
        shown = [_candidate(row) for row in found[:CANDIDATES_SHOWN]]
        return {"candidates": shown, "more": len(found) > len(shown)}
    return _explain_task(reader, found[0]["fingerprint"]) if found else None


def _candidate(row: Row) -> dict[str, Any]:
    return {"task": row["fingerprint"], "status": row["status"], "created_at": row["created_at"]}


def _explain_task(reader: Reader, task: str) -> dict[str, Any]:
    row = reader.one(q.explained_task, task=task)
    assert row is not None, "found in the same view"
    relays = {each["assignment_id"]: _relay(each) for each in reader.all(q.explained_relays, task=task)}
    proofs = {each["assignment_id"]: _proof(each) for each in reader.all(q.explained_proofs, task=task)}
    assignments = [
        _assignment(each) | {"checkpoint": relays.get(each["db_key"]), "proof": proofs.get(each["db_key"])}
        for each in reader.all(q.explained_assignments, task=task)
    ]
    parties = reader.all(q.explained_parties, task=task)
    complaints = [_complaint(each, parties) for each in reader.all(q.explained_complaints, task=task)]
    scores = [_score(each) for each in reader.all(q.explained_scores, task=task)]
    return {
        "task": row["fingerprint"],
        "client": row["client_id"],
        "status": row["status"],
        "reason": row["reason"],
        "judging": row["judging"],
        "judged_by": row["judged_by"],
        "proof": row["proof"],
        "is_trap": bool(row["is_trap"]),
        "has_commitment": bool(row["has_commitment"]),
        "modulus_bits": row["modulus_bits"],
        "effort_seconds": _two_digits(row["effort"]),
        "num_assignments": row["num_assignments"],
        "num_returned": row["num_returned"],
        "open_slots": row["open_slots"],
        "created_at": row["created_at"],
        "promised_by": row["promised_by"],
        "answered_at": row["answered_at"],
        "updated_at": row["updated_at"],
        "assignments": assignments,
        "complaints": complaints,
        "scores": scores,
        "timeline": _timeline(row, assignments, complaints, scores),
    }


def _two_digits(seconds: float) -> float:
    """As much as an operator needs: the exact effort would give t away."""
    return float(f"{seconds:.1e}")


def _assignment(row: Row) -> dict[str, Any]:
    ranking = [
        {"solver": solver, "band": band, "score": score, "in_hand": in_hand, "last_served_at": served or None}
        for solver, band, score, in_hand, served, *_ in orjson.loads(row["ranking"])
    ]
    rank = next((place for place, seen in enumerate(ranking, 1) if seen["solver"] == row["solver_id"]), None)
    return {
        "assignment": row["db_key"],
        "solver": row["solver_id"],
        "slot": row["slot"],
        "status": row["status"],
        "rank": rank,
        "ranking": ranking,
        "assigned_at": row["assigned_at"],
        "accepted_at": row["accepted_at"],
        "delivered_at": row["delivered_at"],
        "ended_at": row["ended_at"],
        "deadline": row["deadline"],
        "complaint_deadline": row["complaint_deadline"],
        "excused": bool(row["excused"]),
        "late_until": row["late_until"],
    }


def _proof(row: Row) -> dict[str, Any]:
    return {"status": row["status"], "received_at": row["received_at"], "checked_at": row["checked_at"]}


def _relay(row: Row) -> dict[str, Any]:
    return {
        "residues": row["count"],
        "checked": row["checked"],
        "places": 1 << row["depth"],
        "status": row["status"],
        "taken_at": row["taken_at"],
    }


def _complaint(row: Row, parties: Iterable[Row]) -> dict[str, Any]:
    return {
        "complaint": row["id"],
        "kind": row["kind"],
        "status": row["status"],
        "ruling": row["ruling"],
        "factor_revealed": bool(row["has_factor"]),
        "created_at": row["created_at"],
        "respond_by": row["respond_by"],
        "ruled_at": row["ruled_at"],
        "about": [
            {
                "assignment": party["assignment_id"],
                "solver": party["solver_id"],
                "response": party["response"],
                "responded_at": party["responded_at"],
            }
            for party in parties
            if party["complaint_id"] == row["id"]
        ],
    }


def _score(row: Row) -> dict[str, Any]:
    return {
        "standing": row["standing"],
        "fingerprint": row["fingerprint"],
        "change": row["score_change"],
        "after": row["score_after"],
        "reason": row["reason"],
        "at": row["created_at"],
    }


Entry = dict[str, Any]


def _timeline(
    task: Row, assignments: Sequence[Entry], complaints: Sequence[Entry], scores: Sequence[Entry]
) -> list[Entry]:
    """Every change of state, oldest first: at, about, state, who, why. What happened at once stands in causal order."""
    submitted, *later = _of_task(task, assignments)
    entries = [
        submitted,
        *(entry for each in assignments for entry in _of_assignment(each, _rejudged_at(task, each, complaints))),
        *later,
        *(entry for each in complaints for entry in _of_complaint(task, each)),
        *(
            _entry(each["at"], "score", f"{each['change']:+.2f}", each["fingerprint"], each["reason"])
            for each in scores
        ),
    ]
    return sorted(entries, key=lambda entry: entry["at"])  # stable


def _entry(at: int, about: str, state: str, who: str | None = None, why: str | None = None) -> Entry:
    return {"at": at, "about": about, "state": state, "who": who, "why": why}


def _of_task(task: Row, assignments: Sequence[Entry]) -> list[Entry]:
    """`waiting` and `assigned` are not written down: a task is assigned while a slot holds somebody."""
    entries = [_entry(task["created_at"], "task", "waiting", task["client_id"], "submitted")]
    answered_at = task["answered_at"]
    ended_at = None if task["status"] in OPEN else answered_at or task["updated_at"]
    held = 0
    for at in sorted({time for each in assignments for time in (each["assigned_at"], each["ended_at"]) if time}):
        if ended_at is not None and at > ended_at:
            break
        begun = sum(each["assigned_at"] == at for each in assignments)
        before, held = held, held + begun - sum(each["ended_at"] == at for each in assignments)
        if begun and not before:
            entries.append(_entry(at, "task", "assigned"))
        if (begun or before) and not held and at != ended_at:
            entries.append(_entry(at, "task", "waiting"))
    if answered_at is not None:
        entries.append(_entry(answered_at, "task", "answered", why=f"judging: {task['judged_by'] or task['judging']}"))
    if task["status"] not in (*OPEN, "answered"):
        entries.append(_entry(task["updated_at"], "task", task["status"], why=task["reason"]))
    return entries


def _rejudged_at(task: Row, row: Entry, complaints: Sequence[Entry]) -> int | None:
    """When a revealed factor said of an answer what nobody could say before; the row holds the last word alone."""
    is_late = row["status"] == "invalid" or (row["status"] == "valid" and task["judging"] == "agreed")
    if not is_late or task["judging"] == "computed":
        return None
    rulings = [
        complaint["ruled_at"]
        for complaint in complaints
        if complaint["factor_revealed"]
        and any(party["assignment"] == row["assignment"] for party in complaint["about"])
    ]
    return rulings[-1] if rulings else None


def _of_assignment(row: Entry, rejudged_at: int | None) -> list[Entry]:
    about, solver = f"assignment {row['assignment']}", row["solver"]
    entries = [_entry(row["assigned_at"], about, "offered", solver, f"slot {row['slot']}, {_choice(row)}")]
    if row["accepted_at"] is not None:
        entries.append(_entry(row["accepted_at"], about, "accepted", solver))
    if row["delivered_at"] is not None:
        entries.append(_entry(row["delivered_at"], about, "delivered", solver))
    proved_at = _proved_at(row)
    if row["ended_at"] is not None:
        why = "no blame: the server was down at its deadline" if row["excused"] else None
        entries.append(_entry(row["ended_at"], about, _ended_as(row, rejudged_at, proved_at), solver, why))
    if proved_at is not None:
        is_held = row["proof"]["status"] == "holding"
        entries.append(_entry(proved_at, about, "valid" if is_held else "invalid", solver, "by its proof"))
    if rejudged_at is not None:
        entries.append(_entry(rejudged_at, about, row["status"], solver, "by the revealed factor"))
    assert row["ended_at"] is not None or row["status"] in (*IN_HAND, "delivered"), f"{about} ended at no time"
    return entries


def _proved_at(row: Entry) -> int | None:
    """When a proof said something of an answer whose assignment had ended before: late, or asked for by a complaint."""
    proof = row["proof"]
    if proof is None or proof["checked_at"] is None or row["status"] not in ("valid", "invalid"):
        return None
    checked_at: int = proof["checked_at"]
    return checked_at if checked_at > row["ended_at"] else None


def _ended_as(row: Entry, rejudged_at: int | None, proved_at: int | None) -> str:
    """The row holds the last word alone: what was said first."""
    if proved_at is None and rejudged_at is None:
        return str(row["status"])
    return "released" if row["late_until"] is not None else "unproved"


def _choice(row: Entry) -> str:
    if row["rank"] is None:
        return "a newcomer's turn"
    return f"rank {row['rank']} of {len(row['ranking'])}"


def _of_complaint(task: Row, row: Entry) -> list[Entry]:
    about = f"complaint {row['complaint']}"
    entries = [_entry(row["created_at"], about, "open", task["client_id"], row["kind"])]
    entries += [
        _entry(party["responded_at"], about, party["response"], party["solver"])
        for party in row["about"]
        if party["responded_at"] is not None
    ]
    if row["ruled_at"] is not None:
        entries.append(_entry(row["ruled_at"], about, row["status"], why=row["ruling"]))
    return entries
