"""Scores move by rows of `score_history` alone, told twice: the same story on SQLite and on PostgreSQL."""

from __future__ import annotations

import pytest

from tests.vault_server.storage.both import Raw
from tests.vault_server.storage.rows import CLIENT, SOLVER_A, SOLVER_B, insert

NOBODY = "9" * 32
HISTORY = "SELECT standing, hotkey, score_change, score_after FROM score_history ORDER BY id"
PUSHES = "SELECT receiver, endpoint, kind, subject, standing, created_at FROM outbox ORDER BY seq"


def change(key: str, by: float, after: float, standing: str = "solver", **columns: object) -> str:
    """An INSERT of one change."""
    values: dict[str, object] = {
        "standing": standing,
        "hotkey": key * 2,
        "score_change": by,
        "score_after": after,
        "reason": "because",
        "created_at": 7,
        **columns,
    }
    return insert("score_history", values)


def score(raw: Raw, key: str) -> float:
    """A solver's score."""
    found: float = raw.one(f"SELECT reputation_score FROM solvers WHERE solver_id = '{key}'")
    return found


def client_score(raw: Raw) -> float:
    """The client's score."""
    found: float = raw.one("SELECT reputation_score FROM clients")
    return found


def test_a_score_begins_at_50_and_follows_its_history(raw: Raw) -> None:
    assert score(raw, SOLVER_A) == client_score(raw) == 50
    raw.run(change(SOLVER_A, 16.666667, 66.666667), change(SOLVER_A, -0.000001, 66.666666))
    raw.run(change(CLIENT, -25.0, 25.0, "client"))
    assert (score(raw, SOLVER_A), score(raw, SOLVER_B), client_score(raw)) == (66.666666, 50, 25)


def test_each_standing_of_a_key_is_its_own(raw: Raw) -> None:
    raw.run(f"INSERT INTO clients (client_id) VALUES ('{SOLVER_A}')")
    raw.run(change(SOLVER_A, -10, 40), change(SOLVER_A, 10, 60, "client"), change(SOLVER_A, 5, 55, "participant"))
    assert score(raw, SOLVER_A) == 40
    assert raw.one(f"SELECT reputation_score FROM clients WHERE client_id = '{SOLVER_A}'") == 60
    assert raw.one(f"SELECT reputation_score FROM participants WHERE fingerprint = '{SOLVER_A}'") == 55


def test_a_participants_score_moves_by_its_history_alone(raw: Raw) -> None:
    assert raw.refuses(f"UPDATE participants SET reputation_score = 51 WHERE fingerprint = '{SOLVER_A}'")
    assert raw.refuses(
        "INSERT INTO participants (hotkey, fingerprint, reputation_score, registered_at)"
        f" VALUES ('{'9' * 64}', '{'9' * 32}', 51, 1)"
    )
    assert raw.refuses(change(SOLVER_A, 1, 52, "participant"))
    raw.run(change(SOLVER_A, 1, 51, "participant"))
    assert raw.refuses(f"UPDATE participants SET reputation_score = 50 WHERE fingerprint = '{SOLVER_A}'")


def test_its_holder_is_told_on_the_endpoint_of_the_standing(raw: Raw) -> None:
    raw.run(change(SOLVER_A, 1, 51), change(CLIENT, -1, 49, "client"), change(SOLVER_B, 1, 51, "participant"))
    ids = [str(key) for (key,) in raw.rows("SELECT id FROM score_history ORDER BY id")]
    assert raw.rows(PUSHES) == [
        (f"key:{SOLVER_A}", "solver", "standing_changed", ids[0], 0, 7),
        (f"key:{CLIENT}", "client", "standing_changed", ids[1], 0, 7),
        (f"key:{SOLVER_B}", "subnet", "standing_changed", ids[2], 0, 7),
    ]


@pytest.mark.parametrize(
    ("by", "after"),
    [(1, 50), (1, 52), (0, 51), (-1, 51), (60, 110), (-60, -10), (0.5, 50.500002)],
)
def test_a_change_fits_the_score_it_found(raw: Raw, by: float, after: float) -> None:
    raw.run(change(SOLVER_B, 5, 55), change(SOLVER_A, 1, 51, "participant"))  # others' do not count
    assert raw.refuses(change(SOLVER_A, by, after))
    assert not raw.refuses(change(SOLVER_A, 50, 100))
    assert raw.refuses(change(SOLVER_A, 1, 51))
    assert not raw.refuses(change(SOLVER_A, -100, 0))


@pytest.mark.parametrize("standing", ["owner", "", "SOLVER", None])
def test_there_are_four_standings(raw: Raw, standing: str) -> None:
    assert raw.refuses(change(SOLVER_A, 1, 51, standing))


def test_only_a_score_that_is_there_can_move(raw: Raw) -> None:
    assert raw.refuses(change(CLIENT, 1, 51, "solver"))
    assert raw.refuses(change(SOLVER_A, 1, 51, "client"))
    assert raw.refuses(change(NOBODY, 1, 51, "participant"))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE score_history SET reason = 'other'",
        "UPDATE score_history SET score_change = 0",
        "UPDATE score_history SET id = id + 10",
        "DELETE FROM score_history",
        "DELETE FROM score_history WHERE id > 0",
    ],
)
def test_what_is_written_stays(raw: Raw, statement: str) -> None:
    raw.run(change(SOLVER_A, 1, 51), change(SOLVER_A, 1, 52))
    before = raw.rows(HISTORY)
    assert raw.refuses(statement)
    assert raw.rows(HISTORY) == before


def test_nothing_is_written_between_or_over_what_is_there(raw: Raw) -> None:
    raw.run(change(SOLVER_A, 1, 51), change(SOLVER_A, 1, 52))
    first, last = (key for (key,) in raw.rows("SELECT id FROM score_history ORDER BY id"))
    before = raw.rows(HISTORY)
    for key in (first - 10, first, last):
        assert raw.refuses(change(SOLVER_A, 5, 57, id=key))
    if raw.is_sqlite:
        assert raw.refuses(change(SOLVER_A, 5, 57, id=last).replace("INSERT", "INSERT OR REPLACE", 1))
    else:
        assert raw.refuses("TRUNCATE score_history")
    assert raw.rows(HISTORY) == before


@pytest.mark.parametrize("to", [0, 49.999999, 51, 100])
def test_a_score_does_not_move_by_itself(raw: Raw, to: float) -> None:
    assert raw.refuses(f"UPDATE solvers SET reputation_score = {to} WHERE solver_id = '{SOLVER_A}'")
    assert raw.refuses(f"UPDATE clients SET reputation_score = {to}")
    raw.run(change(SOLVER_A, 1, 51), change(SOLVER_A, -10, 41), change(CLIENT, 9, 59, "client"))
    assert raw.refuses(f"UPDATE solvers SET reputation_score = {to} WHERE solver_id = '{SOLVER_A}'")
    assert raw.refuses(f"UPDATE clients SET reputation_score = {to}")
    assert not raw.refuses("UPDATE solvers SET good = 3")
    assert (score(raw, SOLVER_A), client_score(raw)) == (41, 59)


@pytest.mark.parametrize("at", [0, 49.999999, 51, 100])
def test_a_key_begins_where_everybody_does(raw: Raw, at: float) -> None:
    assert raw.refuses(insert("solvers", {"solver_id": CLIENT, "reputation_score": at}))
    assert raw.refuses(insert("clients", {"client_id": SOLVER_A, "reputation_score": at}))
    assert not raw.refuses(insert("solvers", {"solver_id": CLIENT, "reputation_score": 50}))


def test_a_key_that_was_taken_out_does_not_begin_anew(raw: Raw) -> None:
    raw.run(change(SOLVER_A, -10, 40), f"DELETE FROM solvers WHERE solver_id = '{SOLVER_A}'")
    assert raw.refuses(insert("solvers", {"solver_id": SOLVER_A}))
    assert not raw.refuses(insert("solvers", {"solver_id": SOLVER_A, "reputation_score": 40}))
