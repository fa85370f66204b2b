"""What follows an assignment and a task by itself, told twice: the same story on SQLite and on PostgreSQL."""

from __future__ import annotations

import pytest

from tests.vault_server.storage.both import Raw
from tests.vault_server.storage.rows import CLIENT, LIVE, OTHER_TASK, SOLVER_A, SOLVER_B, TASK, assignment, task

PUSHES = "SELECT receiver, endpoint, kind, subject, detail, standing, created_at FROM outbox ORDER BY seq"
DEADLINES = "SELECT name, subject, due FROM deadlines ORDER BY name, subject"
HANDS = "SELECT tasks_taken, in_hand, last_assigned_at FROM solvers WHERE solver_id = '{}'"
OPEN_TASKS = f"SELECT open_tasks FROM clients WHERE client_id = '{CLIENT}'"


def key(raw: Raw, solver: str) -> int:
    """The assignment of a solver."""
    number: int = raw.one(f"SELECT db_key FROM task_assignments WHERE solver_id = '{solver}'")
    return number


def move(raw: Raw, solver: str, status: str) -> None:
    answer = ", answer = 'y', delivered_at = 5" if status == "delivered" else ""
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
        ("answered", ", answer = 'y', judged_by = 'computed'"),
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
