"""The subnet's part of the schema as the second guard: what the rules forbid, raw SQL cannot do either, on both."""

from __future__ import annotations

from typing import Any

import pytest

from tests.vault_server.storage.both import Raw, Refused
from tests.vault_server.storage.conftest import raw  # noqa: F401
from tests.vault_server.storage.rows import insert

VALIDATOR, MINER, HELPER, VOTER, OTHER = (digit * 64 for digit in "12345")
LATE = "6" * 64
"""Registered only after the task was submitted."""
NOBODY = "9" * 64
CREATED, SUBMITTED, NOW, CLOSES, EXPIRES = 100, 200, 300, 400, 1000


def fingerprint(hotkey: str) -> str:
    return hotkey[:32]


def task(number: int = 1, **columns: object) -> str:
    values: dict[str, object] = {
        "id": number,
        "task_type": "summary",
        "task_metadata": "{}",
        "validator_hotkey": VALIDATOR,
        "validator_completion_id": 0,
        "assigned_miner_hotkey": MINER,
        "status": "assigned",
        "expire_at": EXPIRES,
        "created_at": CREATED,
        "updated_at": CREATED,
        **columns,
    }
    return insert("subnet_tasks", values)


def completion(number: int, hotkey: str, of: int = 1, at: int = CREATED, **columns: object) -> str:
    values: dict[str, object] = {
        "id": number,
        "hotkey": hotkey,
        "task_id": of,
        "completion": '"x"',
        "created_at": at,
        "updated_at": at,
        **columns,
    }
    return insert("completions", values)


def created(number: int = 1) -> list[str]:
    """A task with its validator's completion, numbered ten times the task."""
    return [
        task(number),
        completion(10 * number, VALIDATOR, number),
        f"UPDATE subnet_tasks SET validator_completion_id = {10 * number} WHERE id = {number}",
    ]


def submitted(number: int = 1, by: str = MINER) -> list[str]:
    """The same with an answer, under judgement."""
    moved = f"status = 'submitted', submitted_at = {SUBMITTED}, voting_closes_at = {CLOSES}, updated_at = {SUBMITTED}"
    return [
        *created(number),
        completion(10 * number + 1, by, number, SUBMITTED),
        f"UPDATE subnet_tasks SET {moved} WHERE id = {number}",
    ]


def link(contributor: str, miner: str = MINER, **columns: object) -> str:
    values = {"contributor_hotkey": contributor, "miner_hotkey": miner, "created_at": 50, **columns}
    return insert("miner_contributors", values)


def vote(voter: str = VOTER, chosen: int = 10, against: int | None = 11, of: int = 1, **columns: object) -> str:
    values: dict[str, object] = {
        "voter_hotkey": voter,
        "task_id": of,
        "chosen_completion_id": chosen,
        "against_completion_id": against,
        "weight": 0.5,
        "created_at": NOW,
        "updated_at": NOW,
        **columns,
    }
    return insert("votes", values)


def score(hotkey: str, change: float, after: float) -> str:
    values = {
        "standing": "participant",
        "hotkey": hotkey,
        "score_change": change,
        "score_after": after,
        "reason": "test",
        "created_at": 60,
    }
    return insert("score_history", values)


@pytest.fixture
def rows(raw: Raw) -> Raw:  # noqa: F811
    """Five participants who were there before the task, and one who came later."""
    for hotkey in (VALIDATOR, MINER, HELPER, VOTER, OTHER, LATE):
        at = SUBMITTED if hotkey is LATE else 1
        raw.run(
            insert("participants", {"hotkey": hotkey, "fingerprint": fingerprint(hotkey), "registered_at": at}),
        )
    return raw


def commits(rows: Raw) -> bool:
    """Whether what has been written could be committed: deferred keys are looked at."""
    try:
        if rows.is_sqlite:
            assert rows.rows("PRAGMA foreign_key_check") is not None
            rows._execute("COMMIT")
        else:
            rows._execute("SAVEPOINT looking")
            rows._execute("SET CONSTRAINTS ALL IMMEDIATE")
    except Refused:
        if not rows.is_sqlite:
            rows._execute("ROLLBACK TO SAVEPOINT looking")
        return False
    return True


def outbox(rows: Raw, kind: str) -> list[str]:
    """Whom a standing request of that kind waits for."""
    return [
        receiver.removeprefix("key:")[0]
        for (receiver,) in rows.rows(
            f"SELECT receiver FROM outbox WHERE kind = '{kind}' AND standing = 1 ORDER BY receiver"
        )
    ]


def deadlines(rows: Raw) -> list[tuple[Any, ...]]:
    return rows.rows("SELECT name, subject, due FROM deadlines ORDER BY name, subject")


# tasks


TASKS_REFUSED: dict[str, dict[str, Any]] = {
    "validator and miner are one": {"assigned_miner_hotkey": VALIDATOR},
    "no miner": {"assigned_miner_hotkey": None},
    "nobody's miner": {"assigned_miner_hotkey": NOBODY},
    "nobody's validator": {"validator_hotkey": NOBODY},
    "no completion": {"validator_completion_id": None},
    "no type": {"task_type": ""},
    "long type": {"task_type": "x" * 65},
    "no metadata": {"task_metadata": None},
    "expired when it begins": {"expire_at": CREATED},
    "unknown status": {"status": "done"},
    "begins submitted": {"status": "submitted", "submitted_at": SUBMITTED, "voting_closes_at": CLOSES},
    "begins expired": {"status": "expired"},
    "begins scored": {
        "status": "scored", "submitted_at": SUBMITTED, "voting_closes_at": CLOSES, "scored_at": CLOSES,
    },
    "blames thrice": {"blames_miner": 3},
}  # fmt: skip


@pytest.mark.parametrize("columns", TASKS_REFUSED.values(), ids=TASKS_REFUSED)
def test_tasks_that_cannot_be(rows: Raw, columns: dict[str, Any]) -> None:
    assert rows.refuses(task(**columns))


def test_a_task_needs_its_validators_completion_at_the_commit(rows: Raw) -> None:
    rows.run(task())
    assert not commits(rows)


def test_a_task_and_its_completion_commit_together(rows: Raw) -> None:
    rows.run(*created())
    assert commits(rows)


@pytest.mark.parametrize("wrong", [20, 11, 99], ids=["of another task", "of the miner", "of nobody"])
def test_a_task_refers_to_its_own_validators_completion_alone(rows: Raw, wrong: int) -> None:
    rows.run(*created(2), task(1), completion(10, VALIDATOR), completion(11, MINER))
    rows.run(f"UPDATE subnet_tasks SET validator_completion_id = {wrong} WHERE id = 1")
    assert not commits(rows)


def test_the_reference_stays_what_it_is(rows: Raw) -> None:
    rows.run(*submitted())
    assert rows.refuses("UPDATE subnet_tasks SET validator_completion_id = 11")
    assert rows.refuses("UPDATE subnet_tasks SET validator_completion_id = 0")


PAIRS = ["assigned", "submitted", "expired", "scored", "cancelled"]
ALLOWED = {
    ("assigned", "submitted"), ("assigned", "expired"), ("assigned", "cancelled"), ("submitted", "scored"),
}  # fmt: skip
MOVES = {
    "assigned": "submitted_at = NULL, voting_closes_at = NULL, scored_at = NULL",
    "expired": "submitted_at = NULL, voting_closes_at = NULL, scored_at = NULL",
    "cancelled": "submitted_at = NULL, voting_closes_at = NULL, scored_at = NULL",
    "submitted": f"submitted_at = {SUBMITTED}, voting_closes_at = {CLOSES}, scored_at = NULL",
    "scored": f"submitted_at = {SUBMITTED}, voting_closes_at = {CLOSES}, scored_at = {CLOSES}",
}


def move(status: str) -> str:
    return f"UPDATE subnet_tasks SET status = '{status}', {MOVES[status]}"


@pytest.mark.parametrize("before", PAIRS)
@pytest.mark.parametrize("after", PAIRS)
def test_a_status_follows_the_table(rows: Raw, before: str, after: str) -> None:
    rows.run(*created(), completion(11, MINER, at=SUBMITTED))
    path = {"scored": ["submitted", "scored"], "assigned": []}.get(before, [before])
    rows.run(*map(move, path))
    assert rows.refuses(move(after)) is (before != after and (before, after) not in ALLOWED)


def test_nothing_is_submitted_without_an_answer(rows: Raw) -> None:
    rows.run(*created())
    assert rows.refuses(move("submitted"))
    rows.run(completion(11, MINER, at=SUBMITTED))
    assert not rows.refuses(move("submitted"))


@pytest.mark.parametrize(
    "change",
    [
        "id = 5",
        "task_type = 'other'",
        "task_metadata = '{\"a\":1}'",
        f"validator_hotkey = '{OTHER}'",
        f"assigned_miner_hotkey = '{OTHER}'",
        "created_at = 1",
        "submitted_at = 201",
        "submitted_at = NULL",
        "voting_closes_at = NULL",
        "voting_closes_at = 199",
        "scored_at = 1",
    ],
)
def test_what_a_task_is_never_changes(rows: Raw, change: str) -> None:
    rows.run(*submitted())
    assert rows.refuses(f"UPDATE subnet_tasks SET {change}")


def test_tasks_stay(rows: Raw) -> None:
    rows.run(*created())
    assert rows.refuses("DELETE FROM subnet_tasks")
    if rows.is_sqlite:
        assert rows.refuses(task().replace("INSERT INTO", "INSERT OR REPLACE INTO"))


# completions


@pytest.mark.parametrize("first", [MINER, HELPER], ids=["miner", "contributor"])
@pytest.mark.parametrize(
    "second", [MINER, HELPER, OTHER, VALIDATOR], ids=["miner", "contributor", "other", "validator"]
)
def test_a_task_has_one_miner_completion(rows: Raw, first: str, second: str) -> None:
    rows.run(link(HELPER), link(OTHER), *created(), completion(11, first))
    assert rows.refuses(completion(12, second))


@pytest.mark.parametrize("who", [OTHER, VOTER, LATE, NOBODY], ids=["other", "voter", "late", "nobody"])
def test_a_miner_completion_is_by_the_miner_or_who_helps_him(rows: Raw, who: str) -> None:
    rows.run(*created())
    assert rows.refuses(completion(11, who))


def test_a_revoked_contributor_answers_nothing(rows: Raw) -> None:
    rows.run(link(HELPER, revoked_at=60), *created())
    assert rows.refuses(completion(11, HELPER))
    rows.run("UPDATE miner_contributors SET revoked_at = NULL")
    assert not rows.refuses(completion(11, HELPER))


def test_a_contributor_of_another_miner_answers_nothing(rows: Raw) -> None:
    rows.run(link(HELPER, OTHER), *created())
    assert rows.refuses(completion(11, HELPER))


def test_an_unregistered_contributor_answers_nothing(rows: Raw) -> None:
    rows.run(link(NOBODY), *created())
    assert rows.refuses(completion(11, NOBODY))


@pytest.mark.parametrize(("at", "refused"), [(EXPIRES - 1, False), (EXPIRES, True)])
def test_an_answer_comes_before_the_end(rows: Raw, at: int, refused: bool) -> None:
    rows.run(*created())
    assert rows.refuses(completion(11, MINER, at=at)) is refused


@pytest.mark.parametrize("status", ["expired", "cancelled"])
def test_a_task_that_is_over_takes_no_answer(rows: Raw, status: str) -> None:
    rows.run(*created(), move(status))
    assert rows.refuses(completion(11, MINER))


def test_a_completion_is_of_a_task_and_says_something(rows: Raw) -> None:
    assert rows.refuses(completion(11, MINER, of=7))
    rows.run(*created())
    assert rows.refuses(completion(11, MINER, completion=None))


@pytest.mark.parametrize(
    "change", ["completion = '1'", f"hotkey = '{MINER}'", "task_id = 2", "id = 77", "updated_at = 9"]
)
def test_completions_are_never_changed(rows: Raw, change: str) -> None:
    rows.run(*created())
    assert rows.refuses(f"UPDATE completions SET {change}")
    assert rows.refuses("DELETE FROM completions")
    if rows.is_sqlite:
        assert rows.refuses(completion(10, VALIDATOR).replace("INSERT INTO", "INSERT OR REPLACE INTO"))


# contributors


def test_one_contributor_one_miner(rows: Raw) -> None:
    rows.run(link(HELPER))
    assert rows.refuses(link(HELPER))
    assert rows.refuses(link(HELPER, OTHER))
    assert not rows.refuses(link(VOTER))


@pytest.mark.parametrize(
    ("contributor", "columns"),
    [
        pytest.param(MINER, {}, id="himself"),
        pytest.param(HELPER, {"miner_hotkey": NOBODY}, id="nobody's"),
        pytest.param("ab", {}, id="short key"),
        pytest.param(HELPER, {"revoked_at": 49}, id="revoked before"),
    ],
)
def test_links_that_cannot_be(rows: Raw, contributor: str, columns: dict[str, Any]) -> None:
    assert rows.refuses(link(contributor, **columns))


def test_a_link_moves_only_when_it_was_revoked(rows: Raw) -> None:
    rows.run(link(HELPER))
    moved = f"UPDATE miner_contributors SET miner_hotkey = '{OTHER}', created_at = 70, revoked_at = NULL"
    assert rows.refuses(moved)
    rows.run("UPDATE miner_contributors SET revoked_at = 60")
    assert not rows.refuses(moved)
    assert rows.refuses(f"UPDATE miner_contributors SET contributor_hotkey = '{VOTER}'")
    assert rows.refuses("DELETE FROM miner_contributors")


# votes


def test_votes_that_can_be(rows: Raw) -> None:
    rows.run(*submitted(), vote(VOTER), vote(OTHER, 11, None), vote(HELPER, 11, 10))
    assert rows.one("SELECT count(*) FROM votes") == 3


VOTES_REFUSED: dict[str, dict[str, Any]] = {
    "of the validator": {"voter": VALIDATOR},
    "of the miner": {"voter": MINER},
    "of nobody": {"voter": NOBODY},
    "of who came later": {"voter": LATE},
    "for itself against itself": {"chosen": 10, "against": 10},
    "for another task's": {"chosen": 20},
    "against another task's": {"against": 20},
    "for nothing": {"chosen": 99},
    "of another task": {"of": 2},
    "of no task": {"of": 9},
    "too heavy": {"weight": 0.6},
    "weightless": {"weight": 0},
    "too light": {"weight": 0.4},
    "at the close": {"created_at": CLOSES, "updated_at": CLOSES},
}


@pytest.mark.parametrize("columns", VOTES_REFUSED.values(), ids=VOTES_REFUSED)
def test_votes_that_cannot_be(rows: Raw, columns: dict[str, Any]) -> None:
    rows.run(*submitted(), *created(2))
    assert rows.refuses(vote(**columns))


@pytest.mark.parametrize(
    ("columns", "refused"),
    [
        pytest.param({}, True, id="active"),
        pytest.param({"revoked_at": SUBMITTED}, True, id="revoked when the answer was there"),
        pytest.param({"revoked_at": SUBMITTED - 1}, False, id="revoked before the answer"),
        pytest.param({"created_at": CREATED, "revoked_at": SUBMITTED}, True, id="linked when the task began"),
        pytest.param({"created_at": CREATED + 1, "revoked_at": SUBMITTED}, False, id="linked later"),
        pytest.param({"created_at": NOW}, True, id="active, linked when it was answered"),
        pytest.param({"miner_hotkey": OTHER}, False, id="of another miner"),
    ],
)
def test_who_helps_the_miner_does_not_judge(rows: Raw, columns: dict[str, Any], refused: bool) -> None:
    rows.run(*submitted(), link(HELPER, **columns))
    assert rows.refuses(vote(HELPER)) is refused


def test_who_has_answered_does_not_judge(rows: Raw) -> None:
    rows.run(link(HELPER), *submitted(by=HELPER))
    rows.run("UPDATE miner_contributors SET revoked_at = 60")
    rows.run(f"UPDATE miner_contributors SET miner_hotkey = '{OTHER}', created_at = 70, revoked_at = NULL")
    assert rows.refuses(vote(HELPER))
    assert rows.refuses(vote(MINER))


def test_a_vote_is_cast_while_the_task_is_judged(rows: Raw) -> None:
    rows.run(*created(), completion(11, MINER, at=SUBMITTED))
    assert rows.refuses(vote())
    rows.run(move("submitted"), vote(), move("scored"))
    assert rows.refuses(vote(OTHER))
    assert rows.refuses("UPDATE votes SET chosen_completion_id = 11, against_completion_id = 10")


def test_one_vote_a_voter_and_task_which_may_change(rows: Raw) -> None:
    rows.run(*submitted(), vote())
    assert rows.refuses(vote())
    change = f"UPDATE votes SET chosen_completion_id = 11, against_completion_id = 10, updated_at = {NOW + 1}"
    assert not rows.refuses(change)
    assert rows.refuses(f"UPDATE votes SET updated_at = {CLOSES}")
    assert rows.refuses(f"UPDATE votes SET updated_at = {NOW - 1}")
    assert rows.refuses("UPDATE votes SET weight = 1")
    assert rows.refuses(f"UPDATE votes SET voter_hotkey = '{OTHER}'")
    assert rows.refuses("UPDATE votes SET created_at = 1")
    assert rows.refuses("DELETE FROM votes")


@pytest.mark.parametrize(("change", "weight"), [(20.0, 0.7), (-48.0, 0.05), (-50.0, 0.05), (-45.0, 0.05), (50.0, 1.0)])
def test_a_vote_weighs_what_the_reputation_says(rows: Raw, change: float, weight: float) -> None:
    rows.run(*submitted(), score(VOTER, change, 50 + change))
    assert rows.refuses(vote(weight=weight + 0.001 if weight < 1 else 0.999))
    assert not rows.refuses(vote(weight=weight))


# what follows by itself


def test_requests_and_deadlines_follow_a_task(rows: Raw) -> None:
    rows.run(link(HELPER), link(OTHER, revoked_at=60), *created())
    assert outbox(rows, "task_assigned") == ["2", "3"]
    assert deadlines(rows) == [("expire_subnet_task", "1", EXPIRES)]
    rows.run(completion(11, HELPER, at=SUBMITTED), move("submitted"))
    assert outbox(rows, "task_assigned") == []
    assert deadlines(rows) == [("close_voting", "1", CLOSES)]
    rows.run(
        *(
            insert(
                "outbox",
                {
                    "receiver": f"key:{fingerprint(who)}",
                    "endpoint": "subnet",
                    "kind": "vote_requested",
                    "subject": "1",
                    "standing": 1,
                    "created_at": 1,
                },
            )
            for who in (VOTER, OTHER)
        )
    )
    rows.run(vote(VOTER))
    assert outbox(rows, "vote_requested") == ["5"]
    rows.run(move("scored"))
    assert outbox(rows, "vote_requested") == []
    assert deadlines(rows) == []


@pytest.mark.parametrize("status", ["expired", "cancelled"])
def test_nothing_waits_for_a_task_that_is_over(rows: Raw, status: str) -> None:
    rows.run(link(HELPER), *created(), move(status))
    assert outbox(rows, "task_assigned") == []
    assert deadlines(rows) == []


def test_requests_follow_a_link(rows: Raw) -> None:
    rows.run(*created(), *submitted(2), *created(3), "UPDATE subnet_tasks SET expire_at = 2000 WHERE id = 3")
    rows.run(link(HELPER))
    assert outbox(rows, "task_assigned") == ["2", "2", "3", "3"]
    rows.run("UPDATE miner_contributors SET revoked_at = 60")
    assert outbox(rows, "task_assigned") == ["2", "2"]
    rows.run("UPDATE miner_contributors SET revoked_at = NULL")
    assert outbox(rows, "task_assigned") == ["2", "2", "3", "3"]
