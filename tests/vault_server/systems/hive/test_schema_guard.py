"""The hive's part of the schema as the second guard: what the rules forbid, raw SQL cannot do either, on both."""

from __future__ import annotations

from typing import Any

import pytest

from tests.vault_server.storage.both import Raw
from tests.vault_server.storage.conftest import raw  # noqa: F401
from tests.vault_server.storage.rows import insert

POSTER, OPERATOR, HOUSE, STRANGER = 101, 102, 103, 104
AGENT, OTHER_AGENT = 201, 202
CODING, WRITING = 301, 302
TASK = 401
CLAIM, OTHER_CLAIM = 501, 502
WORK = 601
NOBODY = 999


def user(number: int, **columns: object) -> str:
    values = {"id": number, "email": f"{number}@example.org", "name": "somebody", **columns}
    return insert("users", values)


def agent(number: int, operator: int = OPERATOR, **columns: object) -> str:
    values = {"id": number, "operator_id": operator, "name": "robot", "description": "It does things.", **columns}
    return insert("agents", values)


def task(number: int = TASK, **columns: object) -> str:
    values = {
        "id": number,
        "poster_id": POSTER,
        "title": "Sort numbers",
        "description": "x" * 20,
        "budget_credits": 200,
        **columns,
    }
    return insert("hive_tasks", values)


def claim(number: int = CLAIM, who: int = AGENT, of: int = TASK, credits: int = 100, **columns: object) -> str:
    values = {"id": number, "task_id": of, "agent_id": who, "proposed_credits": credits, **columns}
    return insert("task_claims", values)


def work(number: int = WORK, who: int = AGENT, of: int = TASK, revision: int = 1, **columns: object) -> str:
    values = {"id": number, "task_id": of, "agent_id": who, "content": "done", "revision_number": revision, **columns}
    return insert("deliverables", values)


def dispute(**columns: object) -> str:
    values = {"task_id": TASK, "deliverable_id": WORK, "kind": "dispute", "reason": "No.", "created_at": 1, **columns}
    return insert("disputes", values)


def review(**columns: object) -> str:
    values = {"task_id": TASK, "reviewer_id": POSTER, "agent_id": AGENT, "rating": 5, **columns}
    return insert("reviews", values)


def credit(who: int, amount: int, after: int, kind: str = "bonus", **columns: object) -> str:
    values = {"user_id": who, "amount": amount, "type": kind, "balance_after": after, **columns}
    return insert("credit_transactions", values)


def score(change: float, after: float, who: int = AGENT, **columns: object) -> str:
    values = {
        "standing": "agent",
        "agent_id": who,
        "score_change": change,
        "score_after": after,
        "reason": "test",
        "created_at": 60,
        **columns,
    }
    return insert("score_history", values)


def move(status: str, of: int = TASK, **columns: object) -> str:
    changes = "".join(f", {name} = {'NULL' if value is None else value}" for name, value in columns.items())
    return f"UPDATE hive_tasks SET status = '{status}'{changes} WHERE id = {of}"


def move_claim(status: str, number: int = CLAIM) -> str:
    return f"UPDATE task_claims SET status = '{status}' WHERE id = {number}"


def move_work(status: str, number: int = WORK) -> str:
    notes = ", revision_notes = 'more'" if status == "revision_requested" else ""
    return f"UPDATE deliverables SET status = '{status}'{notes} WHERE id = {number}"


CLAIMED = [task(), claim(), move_claim("accepted"), move("claimed", claimed_by_agent_id=AGENT)]
IN_PROGRESS = [*CLAIMED, move("in_progress")]
DELIVERED = [*IN_PROGRESS, work(), move("delivered")]
COMPLETED = [*DELIVERED, move_work("accepted"), move("completed")]
DISPUTED = [*DELIVERED, dispute(), move("disputed")]
RESOLVED = "UPDATE disputes SET outcome = '{}', resolved_by = 103, resolved_at = 2"
CANCELLED = [task(), move("cancelled")]

TO: dict[str, list[str]] = {
    "open": [task()],
    "claimed": CLAIMED,
    "in_progress": IN_PROGRESS,
    "delivered": DELIVERED,
    "completed": COMPLETED,
    "disputed": DISPUTED,
    "cancelled": CANCELLED,
}
"""How a task gets into each state."""

STEPS = {
    ("open", "claimed"),
    ("open", "cancelled"),
    ("claimed", "in_progress"),
    ("claimed", "cancelled"),
    ("claimed", "open"),
    ("in_progress", "delivered"),
    ("in_progress", "open"),
    ("delivered", "completed"),
    ("delivered", "in_progress"),
    ("delivered", "disputed"),
    ("disputed", "completed"),
    ("disputed", "cancelled"),
}


@pytest.fixture
def rows(raw: Raw) -> Raw:  # noqa: F811
    """Four people, two agents of one of them, two categories."""
    raw.run(
        *(user(number) for number in (POSTER, OPERATOR, HOUSE, STRANGER)),
        insert("categories", {"id": CODING, "name": "Coding", "slug": "coding"}),
        insert("categories", {"id": WRITING, "name": "Writing", "slug": "writing"}),
        agent(AGENT),
        agent(OTHER_AGENT),
    )
    return raw


def test_what_the_seed_leaves_out_has_the_seeds_defaults(rows: Raw) -> None:
    hook = {"url": "https://x.example", "secret": "x", "secret_prefix": "whsec_ab"}
    rows.run(task(), claim(), insert("webhooks", {"agent_id": AGENT, "owner": f"agent:{AGENT}", **hook}))
    assert rows.rows(f"SELECT role, credit_balance FROM users WHERE id = {POSTER}") == [("both", 0)]
    assert rows.rows(
        "SELECT capabilities, category_ids, status, reputation_score, tasks_completed, avg_rating, hourly_rate_credits,"
        f" api_key_hash, api_key_prefix, webhook_url FROM agents WHERE id = {AGENT}"
    ) == [("[]", "[]", "active", 50, 0, None, None, None, None, None)]
    assert rows.rows("SELECT status, max_revisions, claimed_by_agent_id, deadline FROM hive_tasks") == [
        ("open", 2, None, None)
    ]
    assert rows.rows("SELECT status, message FROM task_claims") == [("pending", None)]
    assert rows.rows("SELECT events, is_active, failure_count, last_triggered_at FROM webhooks") == [("[]", 1, 0, None)]
    for table in ("users", "agents", "hive_tasks", "task_claims", "webhooks"):
        created = rows.rows(f"SELECT created_at FROM {table}")
        assert all(1_700_000_000_000 < at < 4_000_000_000_000 for (at,) in created)


@pytest.mark.parametrize("state", TO)
@pytest.mark.parametrize("to", TO)
def test_a_task_moves_as_the_seed_says_alone(rows: Raw, state: str, to: str) -> None:
    """With claims and work made to fit as far as they can be, so that only the step itself is at issue."""
    rows.run(*TO[state])
    if state == to:
        return
    if state == "open" and to == "claimed":
        rows.run(claim(), move_claim("accepted"))
    if (state, to) == ("claimed", "cancelled"):
        rows.run(move_claim("rejected"))
    if to == "open" and state in ("claimed", "in_progress"):
        rows.run(move_claim("withdrawn"))
    if (state, to) == ("in_progress", "delivered"):
        rows.run(work())
    if state == "delivered" and to in ("completed", "in_progress"):
        rows.run(move_work("accepted" if to == "completed" else "revision_requested"))
    if (state, to) == ("delivered", "disputed"):
        rows.run(dispute())
    if state == "disputed" and to in ("completed", "cancelled"):
        won = to == "completed"
        rows.run(RESOLVED.format("agent" if won else "poster"), move_work("accepted" if won else "rejected"))
    whose: dict[str, Any] = {}
    if to == "claimed":
        whose = {"claimed_by_agent_id": AGENT}
    elif to == "open":
        whose = {"claimed_by_agent_id": None}
    assert rows.refuses(move(to, **whose)) is ((state, to) not in STEPS)


INCOMPLETE = {
    "claimed without an accepted claim": ([task()], move("claimed", claimed_by_agent_id=AGENT)),
    "claimed by another than was accepted": (
        [task(), claim(), move_claim("accepted")], move("claimed", claimed_by_agent_id=OTHER_AGENT)
    ),
    "claimed by nobody": ([task(), claim(), move_claim("accepted")], move("claimed")),
    "claimed while another claim is pending": (
        [task(), claim(), claim(OTHER_CLAIM, OTHER_AGENT), move_claim("accepted")],
        move("claimed", claimed_by_agent_id=AGENT),
    ),
    "cancelled while a claim is pending": ([task(), claim()], move("cancelled")),
    "cancelled while a claim is accepted": (CLAIMED, move("cancelled")),
    "open again while a claim is accepted": (CLAIMED, move("open", claimed_by_agent_id=None)),
    "open again and still somebody's": ([*CLAIMED, move_claim("withdrawn")], move("open")),
    "delivered without work": (IN_PROGRESS, move("delivered")),
    "completed without accepted work": (DELIVERED, move("completed")),
    "in progress again with work under review": (DELIVERED, move("in_progress")),
    "disputed without a dispute": (DELIVERED, move("disputed")),
    "decided without an outcome": ([*DISPUTED, move_work("accepted")], move("completed")),
    "decided against its outcome": (
        [*DISPUTED, RESOLVED.format("poster"), move_work("accepted")], move("completed")
    ),
    "cancelled against its outcome": ([*DISPUTED, RESOLVED.format("agent"), move_work("rejected")], move("cancelled")),
    "given to another agent": (CLAIMED, f"UPDATE hive_tasks SET claimed_by_agent_id = {OTHER_AGENT}"),
    "taken from its agent": (CLAIMED, "UPDATE hive_tasks SET claimed_by_agent_id = NULL"),
    "open and somebody's": ([task()], f"UPDATE hive_tasks SET claimed_by_agent_id = {AGENT}"),
}  # fmt: skip


@pytest.mark.parametrize(("before", "statement"), INCOMPLETE.values(), ids=INCOMPLETE)
def test_what_a_task_moves_to_is_true(rows: Raw, before: list[str], statement: str) -> None:
    rows.run(*before)
    assert rows.refuses(statement)


TASKS_REFUSED = {
    "a budget of 9": {"budget_credits": 9},
    "a budget above a billion": {"budget_credits": 1_000_000_001},
    "a title of 4": {"title": "x" * 4},
    "a title of 201": {"title": "x" * 201},
    "a description of 19": {"description": "x" * 19},
    "a description of 5001": {"description": "x" * 5001},
    "requirements of 5001": {"requirements": "x" * 5001},
    "-1 revisions": {"max_revisions": -1},
    "6 revisions": {"max_revisions": 6},
    "nobody's": {"poster_id": NOBODY},
    "of no category": {"category_id": NOBODY},
    "begins claimed": {"status": "claimed", "claimed_by_agent_id": AGENT},
    "begins cancelled": {"status": "cancelled"},
    "another status": {"status": "lost"},
    "no status": {"status": None},
    "open and claimed": {"claimed_by_agent_id": AGENT},
    "posted by no agent": {"posted_by_agent_id": NOBODY},
}


@pytest.mark.parametrize("columns", TASKS_REFUSED.values(), ids=TASKS_REFUSED)
def test_tasks_that_cannot_be(rows: Raw, columns: dict[str, Any]) -> None:
    assert rows.refuses(task(**columns))


@pytest.mark.parametrize(
    "columns",
    [
        {"budget_credits": 10, "title": "x" * 5, "description": "x" * 20, "max_revisions": 0},
        {"budget_credits": 10**9, "title": "ü" * 200, "description": "x" * 5000, "max_revisions": 5},
        {"requirements": "x" * 5000, "category_id": CODING, "deadline": 1, "posted_by_agent_id": AGENT},
    ],
)
def test_tasks_that_can_be(rows: Raw, columns: dict[str, Any]) -> None:
    rows.run(task(**columns))


@pytest.mark.parametrize(
    "change",
    [
        "title = 'Another'", "description = 'yyyyyyyyyyyyyyyyyyyyy'", "requirements = 'more'", "budget_credits = 100",
        "poster_id = 104", "category_id = 301", "deadline = 5", "max_revisions = 3", "created_at = 5",
        "posted_by_agent_id = 201", "id = 402",
    ],
)  # fmt: skip
def test_what_was_posted_stays(rows: Raw, change: str) -> None:
    rows.run(task())
    assert rows.refuses(f"UPDATE hive_tasks SET {change}")
    assert rows.refuses("DELETE FROM hive_tasks")


CLAIMS_REFUSED = {
    "of no task": {"of": NOBODY},
    "of no agent": {"who": NOBODY},
    "above the budget": {"credits": 201},
    "for nothing": {"credits": 0},
    "begins accepted": {"status": "accepted"},
    "begins withdrawn": {"status": "withdrawn"},
    "another status": {"status": "lost"},
    "a pitch of 1001": {"message": "x" * 1001},
    "abandoned from the start": {"is_abandoned": 1},
}


@pytest.mark.parametrize("columns", CLAIMS_REFUSED.values(), ids=CLAIMS_REFUSED)
def test_claims_that_cannot_be(rows: Raw, columns: dict[str, Any]) -> None:
    rows.run(task())
    assert rows.refuses(claim(**columns))
    assert not rows.refuses(claim(credits=200, message="x" * 1000))


@pytest.mark.parametrize("state", [state for state in TO if state != "open"])
def test_only_open_tasks_are_claimed(rows: Raw, state: str) -> None:
    rows.run(*TO[state])
    assert rows.refuses(claim(OTHER_CLAIM, OTHER_AGENT))


def test_an_agent_has_one_pending_claim_on_a_task_and_a_task_one_accepted(rows: Raw) -> None:
    rows.run(task(), claim())
    assert rows.refuses(claim(OTHER_CLAIM))
    rows.run(claim(OTHER_CLAIM, OTHER_AGENT), move_claim("accepted"))
    assert rows.refuses(move_claim("accepted", OTHER_CLAIM))
    rows.run(move_claim("withdrawn", OTHER_CLAIM))
    assert not rows.refuses(claim(503, OTHER_AGENT))


@pytest.mark.parametrize("state", ["pending", "accepted", "rejected", "withdrawn"])
@pytest.mark.parametrize("to", ["pending", "accepted", "rejected", "withdrawn"])
def test_a_claim_moves_as_it_may(rows: Raw, state: str, to: str) -> None:
    rows.run(task(), claim())
    if state != "pending":
        rows.run(move_claim(state))
    allowed = {"pending": {"accepted", "rejected", "withdrawn"}, "accepted": {"rejected", "withdrawn"}}
    assert rows.refuses(move_claim(to)) is (state != to and to not in allowed.get(state, set()))


@pytest.mark.parametrize("state", ["delivered", "completed", "disputed"])
def test_an_accepted_claim_stays_once_work_is_handed_in(rows: Raw, state: str) -> None:
    rows.run(*TO[state])
    for to in ("rejected", "withdrawn"):
        assert rows.refuses(move_claim(to))


@pytest.mark.parametrize(
    "change",
    ["task_id = 402", "agent_id = 202", "proposed_credits = 5", "message = 'x'", "created_at = 1", "is_abandoned = 1"],
)
def test_what_was_bid_stays(rows: Raw, change: str) -> None:
    rows.run(task(), task(402), claim())
    assert rows.refuses(f"UPDATE task_claims SET {change}")
    assert rows.refuses("DELETE FROM task_claims")


WORK_REFUSED = {
    "by another agent": {"who": OTHER_AGENT},
    "of no task": {"of": NOBODY},
    "numbered 0": {"revision": 0},
    "numbered 2 at first": {"revision": 2},
    "of nothing": {"content": ""},
    "of 50001": {"content": "x" * 50001},
    "begins accepted": {"status": "accepted"},
    "begins rejected": {"status": "rejected"},
}


@pytest.mark.parametrize("columns", WORK_REFUSED.values(), ids=WORK_REFUSED)
def test_work_that_cannot_be(rows: Raw, columns: dict[str, Any]) -> None:
    rows.run(*IN_PROGRESS)
    assert rows.refuses(work(**columns))
    assert not rows.refuses(work(content="x" * 50000))


@pytest.mark.parametrize("state", [state for state in TO if state != "in_progress"])
def test_work_is_handed_in_on_a_task_in_progress(rows: Raw, state: str) -> None:
    rows.run(*TO[state])
    assert rows.refuses(work(602, revision=2 if state in ("delivered", "completed", "disputed") else 1))


def test_revisions_are_numbered_and_bounded(rows: Raw) -> None:
    rows.run(*DELIVERED)
    for number in (2, 3):
        rows.run(move_work("revision_requested", WORK + number - 2), move("in_progress"))
        assert rows.refuses(work(WORK + number - 1, revision=number - 1))
        assert rows.refuses(work(WORK + number - 1, revision=number + 1))
        rows.run(work(WORK + number - 1, revision=number), move("delivered"))
    rows.run(move_work("revision_requested", WORK + 2), move("in_progress"))
    assert rows.refuses(work(WORK + 3, revision=4))  # two revisions were allowed


@pytest.mark.parametrize("state", ["submitted", "accepted", "rejected", "revision_requested"])
@pytest.mark.parametrize("to", ["submitted", "accepted", "rejected", "revision_requested"])
def test_work_moves_as_it_may(rows: Raw, state: str, to: str) -> None:
    rows.run(*DISPUTED)
    if state != "submitted":
        rows.run(move_work(state))
    allowed = {"submitted": {"accepted", "rejected", "revision_requested"}, "rejected": {"accepted"}}
    notes_change = to == "revision_requested" and state not in ("submitted", "revision_requested")
    assert rows.refuses(move_work(to)) is (notes_change or (state != to and to not in allowed.get(state, set())))


@pytest.mark.parametrize(
    "change", ["content = 'other'", "agent_id = 202", "revision_number = 2", "submitted_at = 1", "task_id = 402"]
)
def test_what_was_handed_in_stays(rows: Raw, change: str) -> None:
    rows.run(*DELIVERED, task(402))
    assert rows.refuses(f"UPDATE deliverables SET {change}")
    assert rows.refuses("DELETE FROM deliverables")
    rows.run(move_work("accepted"), move("completed"))
    assert rows.refuses("UPDATE deliverables SET revision_notes = 'late'")


def test_a_dispute_is_about_what_is_under_review_and_is_resolved_once(rows: Raw) -> None:
    rows.run(*IN_PROGRESS, work())
    assert rows.refuses(dispute())
    rows.run(move("delivered"))
    assert rows.refuses(dispute(deliverable_id=NOBODY))
    assert rows.refuses(dispute(outcome="agent", resolved_by=HOUSE, resolved_at=2))
    assert rows.refuses(dispute(kind="whim"))
    rows.run(dispute())
    assert rows.refuses(dispute())
    assert rows.refuses("UPDATE disputes SET reason = 'other'")
    assert rows.refuses("UPDATE disputes SET outcome = 'agent'")
    rows.run(RESOLVED.format("agent"))
    assert rows.refuses(RESOLVED.format("poster"))
    assert rows.refuses("DELETE FROM disputes")


REVIEWS_REFUSED = {
    "0 stars": {"rating": 0},
    "6 stars": {"rating": 6},
    "no stars": {"rating": None},
    "quality 0": {"quality_score": 0},
    "quality 6": {"quality_score": 6},
    "speed 0": {"speed_score": 0},
    "speed 6": {"speed_score": 6},
    "by another": {"reviewer_id": STRANGER},
    "of another agent": {"agent_id": OTHER_AGENT},
    "of no task": {"task_id": NOBODY},
    "a comment of 2001": {"comment": "x" * 2001},
}


@pytest.mark.parametrize("columns", REVIEWS_REFUSED.values(), ids=REVIEWS_REFUSED)
def test_reviews_that_cannot_be(rows: Raw, columns: dict[str, Any]) -> None:
    rows.run(*COMPLETED)
    assert rows.refuses(review(**columns))
    rows.run(review(quality_score=1, speed_score=5, comment="x" * 2000))
    assert rows.refuses(review())


@pytest.mark.parametrize("state", [state for state in TO if state != "completed"])
def test_only_completed_tasks_are_reviewed(rows: Raw, state: str) -> None:
    rows.run(*TO[state])
    assert rows.refuses(review())


def test_a_review_stays(rows: Raw) -> None:
    rows.run(*COMPLETED, review())
    assert rows.refuses("UPDATE reviews SET rating = 1")
    assert rows.refuses("DELETE FROM reviews")


def balance(rows: Raw, who: int) -> int:
    found: int = rows.one(f"SELECT credit_balance FROM users WHERE id = {who}")
    return found


def test_a_balance_follows_its_ledger(rows: Raw) -> None:
    rows.run(credit(POSTER, 500, 500), credit(OPERATOR, 7, 7), credit(POSTER, 25, 525, "deposit"))
    assert (balance(rows, POSTER), balance(rows, OPERATOR), balance(rows, STRANGER)) == (525, 7, 0)
    for wrong in (0, 524, 526):
        assert rows.refuses(f"UPDATE users SET credit_balance = {wrong} WHERE id = {POSTER}")


@pytest.mark.parametrize(("amount", "after"), [(1, 500), (1, 502), (0, 501), (2, 501), (-501, -1)])
def test_each_row_follows_the_one_before(rows: Raw, amount: int, after: int) -> None:
    rows.run(credit(POSTER, 500, 500), credit(OPERATOR, 1, 1))
    assert rows.refuses(credit(POSTER, amount, after))
    assert not rows.refuses(credit(POSTER, 1, 501))


@pytest.mark.parametrize("kind", ["deposit", "bonus", "payment", "platform_fee"])
@pytest.mark.parametrize("amount", [0, -1])
def test_what_is_given_is_more_than_nothing(rows: Raw, kind: str, amount: int) -> None:
    rows.run(*COMPLETED, credit(POSTER, 5, 5))
    assert rows.refuses(credit(POSTER, amount, 5 + amount, kind, task_id=TASK))


def test_a_refund_may_be_of_nothing_or_be_taken_back(rows: Raw) -> None:
    rows.run(*CANCELLED, credit(POSTER, 5, 5), credit(POSTER, 0, 5, "refund", task_id=TASK))
    rows.run(credit(POSTER, -5, 0, "refund", task_id=TASK))
    assert rows.refuses(credit(POSTER, -1, -1, "refund", task_id=TASK))


@pytest.mark.parametrize("kind", ["payment", "platform_fee"])
def test_a_task_is_paid_once_and_only_when_it_is_completed(rows: Raw, kind: str) -> None:
    rows.run(*DELIVERED)
    assert rows.refuses(credit(OPERATOR, 180, 180, kind, task_id=TASK))
    assert rows.refuses(credit(OPERATOR, 180, 180, kind))
    rows.run(move_work("accepted"), move("completed"), credit(OPERATOR, 180, 180, kind, task_id=TASK))
    assert rows.refuses(credit(OPERATOR, 180, 360, kind, task_id=TASK))
    assert rows.refuses(credit(STRANGER, 180, 180, kind, task_id=TASK))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE credit_transactions SET amount = 1, balance_after = 1",
        "UPDATE credit_transactions SET description = 'other'",
        "UPDATE credit_transactions SET id = id + 10",
        "DELETE FROM credit_transactions",
    ],
)
def test_the_ledger_is_append_only(rows: Raw, statement: str) -> None:
    rows.run(credit(POSTER, 500, 500), credit(POSTER, 1, 501))
    assert rows.refuses(statement)


def test_nothing_is_written_between_or_over_rows_of_the_ledger(rows: Raw) -> None:
    rows.run(credit(POSTER, 500, 500), credit(POSTER, 1, 501))
    first, last = (key for (key,) in rows.rows("SELECT id FROM credit_transactions ORDER BY id"))
    for key in (first - 10, first, last):
        assert rows.refuses(credit(POSTER, 5, 506, id=key))
    if rows.is_sqlite:
        assert rows.refuses(credit(POSTER, 5, 506, id=last).replace("INSERT", "INSERT OR REPLACE", 1))
    else:
        assert rows.refuses("TRUNCATE credit_transactions")
    assert rows.refuses(credit(POSTER, 5, 506, "gift"))
    assert rows.refuses(credit(NOBODY, 5, 5))


@pytest.mark.parametrize(
    "columns",
    [
        {"email": "101@example.org"}, {"email": "Ann@example.org"}, {"email": "a"}, {"email": "x" * 255},
        {"role": "king"}, {"role": None}, {"name": ""}, {"name": "x" * 101}, {"credit_balance": 5},
        {"credit_balance": -1}, {"email": None},
    ],
)  # fmt: skip
def test_users_that_cannot_be(rows: Raw, columns: dict[str, Any]) -> None:
    assert rows.refuses(user(105, **columns))


@pytest.mark.parametrize(
    "columns",
    [
        {"operator_id": NOBODY}, {"operator_id": None}, {"name": ""}, {"name": "x" * 101}, {"description": ""},
        {"description": "x" * 2001}, {"status": "asleep"}, {"hourly_rate_credits": -1}, {"reputation_score": 51},
        {"tasks_completed": 1}, {"avg_rating": 0.9}, {"avg_rating": 5.1}, {"category_ids": "[999]"},
        {"api_key_hash": "a" * 63, "api_key_prefix": "x" * 14}, {"api_key_hash": "a" * 64},
        {"api_key_hash": "a" * 64, "api_key_prefix": "x" * 13},
    ],
)  # fmt: skip
def test_agents_that_cannot_be(rows: Raw, columns: dict[str, Any]) -> None:
    named = {"operator": columns["operator_id"]} if "operator_id" in columns else columns
    assert rows.refuses(agent(203, **named))


def test_two_agents_have_two_keys(rows: Raw) -> None:
    key: dict[str, Any] = {"api_key_hash": "a" * 64, "api_key_prefix": "x" * 14}
    rows.run(agent(203, **key))
    assert rows.refuses(agent(204, **key))


def test_an_agents_categories_are_kept_one_by_one(rows: Raw) -> None:
    rows.run(f"UPDATE agents SET category_ids = '[{CODING}, {WRITING}]' WHERE id = {AGENT}")
    rows.run(agent(203, category_ids=f"[{WRITING}]"))
    pairs = "SELECT category_id, agent_id FROM agent_categories ORDER BY category_id, agent_id"
    assert rows.rows(pairs) == [(CODING, AGENT), (WRITING, AGENT), (WRITING, 203)]
    rows.run(f"UPDATE agents SET category_ids = '[{WRITING}]' WHERE id = {AGENT}")
    assert rows.rows(pairs) == [(WRITING, AGENT), (WRITING, 203)]
    assert rows.refuses(f"UPDATE agents SET category_ids = '[999]' WHERE id = {AGENT}")
    assert rows.refuses(f"DELETE FROM categories WHERE id = {WRITING}")


def test_an_agents_score_moves_by_its_history_alone(rows: Raw) -> None:
    assert rows.refuses(f"UPDATE agents SET reputation_score = 51 WHERE id = {AGENT}")
    rows.run(score(44, 94), score(-0.67, 93.33))
    assert rows.one(f"SELECT reputation_score FROM agents WHERE id = {AGENT}") == 93.33
    assert rows.one(f"SELECT reputation_score FROM agents WHERE id = {OTHER_AGENT}") == 50
    assert rows.refuses(f"UPDATE agents SET reputation_score = 50 WHERE id = {AGENT}")
    assert rows.refuses(score(1, 51))
    assert rows.refuses(score(1, 51, NOBODY))
    assert not rows.refuses(score(1, 51, OTHER_AGENT))
    assert rows.rows("SELECT * FROM outbox") == []


@pytest.mark.parametrize(
    "columns",
    [{"standing": "solver"}, {"standing": "participant"}, {"agent_id": None}, {"hotkey": "c" * 64}],
)
def test_a_score_is_a_keys_or_an_agents(rows: Raw, columns: dict[str, Any]) -> None:
    assert rows.refuses(score(1, 51, **columns))


def test_an_agent_and_a_user_stay_who_they_are(rows: Raw) -> None:
    for statement in (
        f"UPDATE agents SET operator_id = {STRANGER} WHERE id = {AGENT}",
        f"DELETE FROM agents WHERE id = {AGENT}",
        f"DELETE FROM users WHERE id = {STRANGER}",
    ):
        assert rows.refuses(statement)


def test_a_completion_is_counted_once(rows: Raw) -> None:
    rows.run(*COMPLETED)
    assert rows.one(f"SELECT tasks_completed FROM agents WHERE id = {AGENT}") == 1
    rows.run("UPDATE hive_tasks SET updated_at = 5")
    assert rows.one(f"SELECT tasks_completed FROM agents WHERE id = {AGENT}") == 1


def test_what_became_of_a_posters_tasks_is_counted(rows: Raw) -> None:
    counted = "SELECT user_id, posted, completed, disputed FROM hive_posters"
    rows.run(*DISPUTED)
    assert rows.rows(counted) == [(POSTER, 1, 0, 1)]
    rows.run(RESOLVED.format("agent"), move_work("accepted"), move("completed"), task(402))
    assert rows.rows(counted) == [(POSTER, 2, 1, 1)]


def test_a_webhook_is_sealed_under_its_agents_name(rows: Raw) -> None:
    values = {"agent_id": AGENT, "url": "https://x.example", "secret": "x", "secret_prefix": "whsec_ab"}
    assert rows.refuses(insert("webhooks", {**values, "owner": f"agent:{OTHER_AGENT}"}))
    assert rows.refuses(insert("webhooks", {**values, "owner": f"agent:{AGENT}", "failure_count": -1}))
    rows.run(insert("webhooks", {**values, "owner": f"agent:{AGENT}", "is_profile": 1}))
    assert rows.refuses(insert("webhooks", {**values, "owner": f"agent:{AGENT}", "is_profile": 1}))
