"""The schema as the second guard: what the rules forbid, raw SQL cannot do either, on both databases."""

from __future__ import annotations

from typing import Any

import pytest

from tests.vault_server.storage.both import Raw
from tests.vault_server.storage.rows import (
    CLIENT,
    OTHER_TASK,
    SOLVER_A,
    SOLVER_B,
    SOLVER_C,
    TASK,
    assignment,
    insert,
    task,
)

NOBODY = "9" * 32
ANSWERED = {"answer": "y", "judged_by": "computed"}
DELIVERED: dict[str, Any] = {"answer": "y", "delivered_at": 30}


@pytest.mark.parametrize("first", ["offered", "accepted", "delivered"])
@pytest.mark.parametrize("second", ["offered", "accepted", "delivered"])
def test_a_slot_has_one_live_assignment(raw: Raw, first: str, second: str) -> None:
    def one(solver: str, slot: int, status: str) -> str:
        return assignment(solver, slot, status, **(DELIVERED if status == "delivered" else {}))

    raw.run(task(TASK), one(SOLVER_A, 1, first))
    assert raw.refuses(one(SOLVER_B, 1, second))
    assert not raw.refuses(one(SOLVER_B, 2, second))


@pytest.mark.parametrize("end", ["expired", "released", "unproved"])
def test_a_slot_can_be_filled_again_but_not_by_the_same_solver(raw: Raw, end: str) -> None:
    raw.run(task(TASK), assignment(SOLVER_A, 1, end, **(DELIVERED if end == "unproved" else {})))
    assert raw.refuses(assignment(SOLVER_A, 1))
    assert raw.refuses(assignment(SOLVER_A, 2))
    assert not raw.refuses(assignment(SOLVER_B, 1))


def test_the_same_solver_can_have_other_tasks(raw: Raw) -> None:
    raw.run(task(TASK), task(OTHER_TASK), assignment(SOLVER_A))
    assert not raw.refuses(assignment(SOLVER_A, of=OTHER_TASK))


@pytest.mark.parametrize("slot", [0, 3, -1])
def test_there_are_two_slots(raw: Raw, slot: int) -> None:
    raw.run(task(TASK))
    assert raw.refuses(assignment(SOLVER_A, slot))


TASK_REFUSED = {
    "unknown status": {"status": "finished"},
    "empty status": {"status": ""},
    "status in capitals": {"status": "WAITING"},
    "no status": {"status": None},
    "answered without answer": {"status": "answered"},
    "settled without answer": {"status": "settled"},
    "answered without judgement": {"status": "answered", "answer": "y"},
    "answer before it is answered": {"status": "assigned", **ANSWERED},
    "answer of a failed task": {"status": "failed", "reason": "nobody", **ANSWERED},
    "judged without answer": {"judged_by": "computed"},
    "judged by voting": {"status": "answered", "answer": "y", "judged_by": "votes"},
    "failed without reason": {"status": "failed"},
    "reason without failure": {"reason": "nobody"},
    "negative slots": {"open_slots": -1},
    "three slots": {"open_slots": 3},
    "ended with open slots": {"status": "cancelled", "open_slots": 1},
    "answered with open slots": {"status": "answered", "open_slots": 1, **ANSWERED},
    "negative count": {"num_assignments": -1},
    "no modulus": {"modulus_bits": 0},
    "short fingerprint": {"fingerprint": "abc"},
    "nobody's": {"client_id": NOBODY},
    "a solver's who is no client": {"client_id": SOLVER_A},
    "no parameter": {"parameter_t": None},
}


@pytest.mark.parametrize("columns", TASK_REFUSED.values(), ids=TASK_REFUSED)
def test_tasks_that_cannot_be(raw: Raw, columns: dict[str, Any]) -> None:
    named: dict[str, Any] = {"fingerprint": TASK, **columns}
    assert raw.refuses(task(**named))


def test_tasks_that_can_be(raw: Raw) -> None:
    raw.run(
        task("3" * 32),
        task("4" * 32, "assigned", open_slots=1),
        task("5" * 32, "answered", **ANSWERED),
        task("6" * 32, "settled", answer="y", judged_by="agreed"),
        task("7" * 32, "cancelled"),
        task("8" * 32, "failed", reason="nobody"),
    )


def test_a_fingerprint_names_one_task(raw: Raw) -> None:
    raw.run(task(TASK))
    assert raw.refuses(task(TASK))


def test_the_two_slots_hold_two_assignments(raw: Raw) -> None:
    raw.run(task(TASK), assignment(SOLVER_A), assignment(SOLVER_B, 2))
    a, b = (key for (key,) in raw.rows("SELECT db_key FROM task_assignments ORDER BY db_key"))
    slots = "UPDATE tasks SET first_assignment_id = {}, second_assignment_id = {}"
    assert raw.refuses(slots.format(a, a))
    assert raw.refuses(slots.format(a, b + 100))
    assert not raw.refuses(slots.format(a, "NULL"))
    assert not raw.refuses(slots.format("NULL", b))
    assert not raw.refuses(slots.format(a, b))


ASSIGNMENT_REFUSED = {
    "unknown status": {"status": "lost"},
    "no status": {"status": None},
    "delivered without answer": {"status": "delivered"},
    "valid without answer": {"status": "valid"},
    "invalid without answer": {"status": "invalid"},
    "unproved without answer": {"status": "unproved"},
    "answer without a time": {"answer": "y"},
    "a time without answer": {"delivered_at": 30},
    "complaints end before the deadline": {"deadline": 1000, "complaint_deadline": 999},
    "live with an end": {"ended_at": 40},
    "accepted with an end": {"status": "accepted", "ended_at": 40},
    "expired without an end": {"status": "expired", "ended_at": None},
    "valid without an end": {"status": "valid", "ended_at": None, "answer": "y", "delivered_at": 30},
    "no ranking": {"ranking": None},
    "nobody's": {"solver": NOBODY},
    "a client's who is no solver": {"solver": CLIENT},
}


@pytest.mark.parametrize("columns", ASSIGNMENT_REFUSED.values(), ids=ASSIGNMENT_REFUSED)
def test_assignments_that_cannot_be(raw: Raw, columns: dict[str, Any]) -> None:
    raw.run(task(TASK))
    named: dict[str, Any] = {"solver": SOLVER_C, **columns}
    assert raw.refuses(assignment(**named))


def test_an_assignment_has_a_task(raw: Raw) -> None:
    raw.run(task(TASK), assignment(SOLVER_A))
    assert raw.refuses(f"UPDATE task_assignments SET task_id = '{NOBODY}'")
    assert raw.refuses("UPDATE task_assignments SET task_key = 999999")
    assert raw.refuses(f"DELETE FROM tasks WHERE fingerprint = '{TASK}'")
    assert raw.refuses(f"DELETE FROM solvers WHERE solver_id = '{SOLVER_A}'")


@pytest.mark.parametrize(
    "change",
    [
        "is_online = 2",
        "is_online = -1",
        "reputation_score = -0.1",
        "reputation_score = 100.1",
        "tasks_taken = -1",
        "in_hand = -1",
        "valid_answers = -1",
        "band = 11",
        "band = -1",
        "capacity = -1",
        "modulus_bits_max = -1",
        "state = 'asleep'",
        "state = NULL",
        f"solver_id = '{NOBODY}'",
    ],
)
def test_solvers_that_cannot_be(raw: Raw, change: str) -> None:
    assert raw.refuses(f"UPDATE solvers SET {change} WHERE solver_id = '{SOLVER_A}'")


@pytest.mark.parametrize("change", ["open_tasks = -1", "tasks_requested = -1", f"client_id = '{NOBODY}'"])
def test_clients_that_cannot_be(raw: Raw, change: str) -> None:
    assert raw.refuses(f"UPDATE clients SET {change}")


def test_a_hand_cannot_be_put_down_twice(raw: Raw) -> None:
    raw.run(task(TASK), assignment(SOLVER_A))
    raw.run(f"UPDATE solvers SET in_hand = 0 WHERE solver_id = '{SOLVER_A}'")
    assert raw.refuses("UPDATE task_assignments SET status = 'expired', ended_at = 40")


OTHERS_REFUSED = {
    "short hotkey": ("participants", {"hotkey": "ab", "fingerprint": NOBODY, "registered_at": 1}),
    "short fingerprint": ("participants", {"hotkey": "9" * 64, "fingerprint": "99", "registered_at": 1}),
    "a fingerprint of two keys": ("participants", {"hotkey": "9" * 64, "fingerprint": CLIENT, "registered_at": 1}),
    "a key twice": ("participants", {"hotkey": CLIENT * 2, "fingerprint": NOBODY, "registered_at": 1}),
    "key version 0": ("master_keys", {"version": 0, "check_value": "x", "created_at": 1}),
    "a push without receiver": ("outbox", {"receiver": None, "endpoint": "client", "kind": "k", "subject": "s"}),
    "standing 2": (
        "outbox",
        {"receiver": "r", "endpoint": "client", "kind": "k", "subject": "s", "standing": 2, "created_at": 1},
    ),
    "a deadline without time": ("deadlines", {"name": "n", "subject": "s", "due": None}),
}


@pytest.mark.parametrize(("table", "values"), OTHERS_REFUSED.values(), ids=OTHERS_REFUSED)
def test_other_rows_that_cannot_be(raw: Raw, table: str, values: dict[str, object]) -> None:
    assert raw.refuses(insert(table, values))


@pytest.mark.parametrize(
    ("table", "values"),
    [
        ("deadlines", {"name": "n", "subject": "s", "due": 1}),
        (
            "idempotency",
            {"owner": "o", "key": "k", "request_hash": "h", "outcome": "x", "created_at": 1},
        ),
        ("master_keys", {"version": 1, "check_value": "x", "created_at": 1}),
        ("meta", {"name": "n", "value": "v"}),
    ],
)
def test_rows_that_are_there_once(raw: Raw, table: str, values: dict[str, object]) -> None:
    assert not raw.refuses(insert(table, values))
    assert raw.refuses(insert(table, values))
