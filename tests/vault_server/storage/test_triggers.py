"""What follows an assignment and a task by itself, told twice: the same story on SQLite and on PostgreSQL."""

from __future__ import annotations

import pytest

from tests.vault_server.storage.both import Raw
from tests.vault_server.storage.rows import CLIENT, LIVE, OTHER_TASK, SOLVER_A, SOLVER_B, TASK, assignment, task

PUSHES = "SELECT receiver, endpoint, kind, subject, detail, standing, created_at FROM outbox ORDER BY seq"
DEADLINES = "SELECT name, subject, due FROM deadlines ORDER BY name, subject"
HANDS = "SELECT tasks_taken, in_hand, last_assigned_at FROM solvers WHERE solver_id = '{}'"
VALID = "SELECT valid_answers, in_hand FROM solvers WHERE solver_id = '{}'"
ANSWERED = "answer = 'y', judged_by = 'computed', answered_at = 40, complaint_deadline = 2000"
OPEN_TASKS = f"SELECT open_tasks FROM clients WHERE client_id = '{CLIENT}'"


def key(raw: Raw, solver: str) -> int:
    """The assignment of a solver."""
    number: int = raw.one(f"SELECT db_key FROM task_assignments WHERE solver_id = '{solver}'")
    return number


def move(raw: Raw, solver: str, status: str, *, has_answer: bool | None = None) -> None:
    if has_answer is None:
        has_answer = status == "delivered"
    answer = ", answer = 'y', delivered_at = 5" if has_answer else ""
    ended_at = "NULL" if status in LIVE else "40"
    raw.run(
        f"UPDATE task_assignments SET status = '{status}', ended_at = {ended_at}{answer} WHERE solver_id = '{solver}'"
    )


def test_an_assignment_brings_its_request_its_deadline_and_a_hand(raw: Raw) -> None:
    raw.run(task(TASK), assignment(SOLVER_A, 1), assignment(SOLVER_B, 2, deadline=1500))
    a, b = key(raw, SOLVER_A), key(raw, SOLVER_B)
    assert raw.rows(PUSHES) == [
        (f"key:{SOLVER_A}", "solver", "tlp_request", str(a), "", 1, 20),
        (f"key:{SOLVER_B}", "solver", "tlp_request", str(b), "", 1, 20),
    ]
    assert raw.rows(DEADLINES) == [("expire_assignment", str(a), 1000), ("expire_assignment", str(b), 1500)]
    assert raw.rows(HANDS.format(SOLVER_A)) == [(1, 1, 20)]
    assert raw.rows(HANDS.format(SOLVER_B)) == [(1, 1, 20)]


def test_accepting_changes_none_of_it(raw: Raw) -> None:
    raw.run(task(TASK), assignment(SOLVER_A))
    before = raw.rows(PUSHES), raw.rows(DEADLINES), raw.rows(HANDS.format(SOLVER_A))
    move(raw, SOLVER_A, "accepted")
    assert (raw.rows(PUSHES), raw.rows(DEADLINES), raw.rows(HANDS.format(SOLVER_A))) == before


@pytest.mark.parametrize("first", ["offered", "accepted"])
@pytest.mark.parametrize("end", ["delivered", "expired", "released"])
def test_its_end_takes_all_of_it_away_once(raw: Raw, first: str, end: str) -> None:
    raw.run(task(TASK), assignment(SOLVER_A, 1), assignment(SOLVER_B, 2))
    if first == "accepted":
        move(raw, SOLVER_A, "accepted")
    move(raw, SOLVER_A, end)
    b = str(key(raw, SOLVER_B))
    assert [row[3] for row in raw.rows(PUSHES)] == [b]
    assert [row[1] for row in raw.rows(DEADLINES)] == [b]
    assert raw.rows(HANDS.format(SOLVER_A)) == [(1, 0, 20)]
    assert raw.rows(HANDS.format(SOLVER_B)) == [(1, 1, 20)]
    if end == "delivered":
        move(raw, SOLVER_A, "valid")  # judged later: the hand is not counted down a second time
        assert raw.rows(HANDS.format(SOLVER_A)) == [(1, 0, 20)]


@pytest.mark.parametrize(
    ("steps", "counted"),
    [
        (["valid"], [1]),
        (["accepted", "valid"], [0, 1]),
        (["delivered", "valid", "invalid"], [0, 1, 0]),
        (["delivered", "unproved", "valid"], [0, 0, 1]),
        (["released", "valid"], [0, 1]),
        (["delivered", "unproved", "invalid"], [0, 0, 0]),
        (["invalid"], [0]),
    ],
    ids=lambda value: "-".join(map(str, value)),
)
def test_valid_answers_are_counted_while_they_are_valid(raw: Raw, steps: list[str], counted: list[int]) -> None:
    raw.run(task(TASK), assignment(SOLVER_A, 1), assignment(SOLVER_B, 2))
    for status, number in zip(steps, counted, strict=True):
        has_answer = status in ("delivered", "valid", "invalid", "unproved")
        move(raw, SOLVER_A, status, has_answer=has_answer)
        assert raw.rows(VALID.format(SOLVER_A)) == [(number, int(status in ("offered", "accepted")))]
    assert raw.rows(VALID.format(SOLVER_B)) == [(0, 1)]


@pytest.mark.parametrize("is_trap", [0, 1])
def test_an_answer_is_told_to_its_client_and_settles(raw: Raw, is_trap: int) -> None:
    raw.run(task(TASK, "assigned", is_trap=is_trap), task(OTHER_TASK, "assigned"))
    raw.run(f"UPDATE tasks SET status = 'answered', {ANSWERED} WHERE fingerprint = '{TASK}'")
    told = [] if is_trap else [(f"key:{CLIENT}", "client", "tlp_response", TASK, "", 0, 40)]
    assert raw.rows(PUSHES) == told
    assert raw.rows(DEADLINES) == [("settle_task", TASK, 2001)]
    raw.run(f"UPDATE tasks SET status = 'settled' WHERE fingerprint = '{TASK}'")
    assert raw.rows(PUSHES) == told


def test_other_pushes_and_deadlines_of_the_same_number_stay(raw: Raw) -> None:
    raw.run(task(TASK), assignment(SOLVER_A))
    a = key(raw, SOLVER_A)
    raw.run(
        f"INSERT INTO outbox (receiver, endpoint, kind, subject, created_at)"
        f" VALUES ('key:{SOLVER_A}', 'solver', 'assignment_ended', '{a}', 1),"
        f" ('key:{SOLVER_B}', 'solver', 'tlp_request', '{a}', 1),"
        f" ('key:{SOLVER_A}', 'client', 'tlp_request', '{a}', 1)",
        f"INSERT INTO deadlines (name, subject, due) VALUES ('settle_task', '{a}', 1)",
    )
    move(raw, SOLVER_A, "expired")
    assert len(raw.rows(PUSHES)) == 3
    assert raw.rows(DEADLINES) == [("settle_task", str(a), 1)]


@pytest.mark.parametrize(
    ("end", "also"),
    [
        ("cancelled", ""),
        ("failed", ", reason = 'nobody'"),
        ("answered", f", {ANSWERED}"),
    ],
)
def test_the_end_of_a_task_is_counted_once(raw: Raw, end: str, also: str) -> None:
    raw.run(task(TASK), task(OTHER_TASK, "assigned"))
    for number, fingerprint in enumerate((TASK, OTHER_TASK)):
        raw.run(f"UPDATE tasks SET status = '{end}', open_slots = 0{also} WHERE fingerprint = '{fingerprint}'")
        assert raw.one(OPEN_TASKS) == 1 - number
    if end == "answered":
        raw.run(f"UPDATE tasks SET status = 'settled' WHERE fingerprint = '{TASK}'")
        assert raw.one(OPEN_TASKS) == 0


def test_a_task_that_gets_its_solvers_stays_open(raw: Raw) -> None:
    raw.run(task(TASK))
    for status in ("assigned", "waiting", "assigned"):
        raw.run(f"UPDATE tasks SET status = '{status}' WHERE fingerprint = '{TASK}'")
    assert raw.one(OPEN_TASKS) == 2


def test_numbers_of_pushes_are_never_used_twice(raw: Raw) -> None:
    push = "INSERT INTO outbox (receiver, endpoint, kind, subject, created_at) VALUES ('key:x', 'client', 'k', 's', 1)"
    raw.run(push, push)
    highest = raw.one("SELECT max(seq) FROM outbox")
    raw.run("DELETE FROM outbox", push)
    assert raw.one("SELECT max(seq) FROM outbox") > highest
