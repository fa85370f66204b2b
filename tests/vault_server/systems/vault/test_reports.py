"""What operators are told of the vault: who was chosen and why, every change since, and how many there are."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.puzzle import effort_seconds
from protocol.vault import CancelTask, Complain, RespondToComplaint
from tests.vault_server.systems.vault.harness import AGREED, BITS, COMPUTED, HOUR_MS, START_MS, P, Vault, answer_to
from tests.vault_server.systems.vault.stories import ANN, WRONG, A, B, C, D, start
from vault_server.core.operation import SERVER
from vault_server.systems.vault.orders import StartServing
from vault_server.systems.vault.reports import REPORTS


async def report(vault: Vault, name: str, about: str = "") -> Any:
    [found] = [each for each in REPORTS if each.name == name]
    return await vault.database.read(lambda reader: found.read(reader, about, vault.now_ms))


def changes(explained: dict[str, Any]) -> list[tuple[int, str, str]]:
    """The timeline: milliseconds since the start, what, and its state."""
    return [(entry["at"] - START_MS, entry["about"], entry["state"]) for entry in explained["timeline"]]


async def test_a_task_from_its_submission_to_its_settlement(vault: Vault) -> None:
    task, [a, b] = await start(vault, COMPUTED)
    vault.now_ms += 5
    await vault.accept(B, b)
    vault.now_ms += 1000
    await vault.answer(B, b, answer_to(COMPUTED))
    await vault.wait(40 * HOUR_MS)
    explained = await report(vault, "explain", task)
    first, second = sorted([a, b])
    ended = {a: [(1005, "released")], b: [(1005, "delivered"), (1005, "valid")]}
    assert changes(explained) == [
        (0, "task", "waiting"),
        (0, f"assignment {first}", "offered"),
        (0, f"assignment {second}", "offered"),
        (0, "task", "assigned"),
        (5, f"assignment {b}", "accepted"),
        *((at, f"assignment {key}", state) for key in (first, second) for at, state in ended[key]),
        (1005, "task", "answered"),
        (1005, "score", "+16.67"),
        (40 * HOUR_MS + 1005, "task", "settled"),
    ]
    assert (explained["status"], explained["client"], explained["judged_by"]) == (
        "settled",
        ANN.fingerprint,
        "computed",
    )
    assert explained["effort_seconds"] == float(f"{effort_seconds(COMPUTED.t, BITS):.1e}")
    [score] = explained["scores"]
    assert (score["fingerprint"], score["after"]) == (B.fingerprint, pytest.approx(66.666667))


async def test_the_ranking_is_told_as_it_was_seen(vault: Vault) -> None:
    for one in (A, B, C):
        await vault.join(one)
    first = (await vault.submit(ANN, COMPUTED)).task
    row = (await vault.assignments(first))[0]
    [one] = [one for one in (A, B, C) if one.fingerprint == row["solver_id"]]
    await vault.answer(one, row["db_key"], answer_to(COMPUTED))
    vault.now_ms += 60_000
    await vault.join(D)
    explained = await report(vault, "explain", (await vault.submit(ANN, COMPUTED)).task)
    for assignment in explained["assignments"]:
        ranking = assignment["ranking"]
        assert ranking[assignment["rank"] - 1]["solver"] == assignment["solver"]
        assert {seen["solver"] for seen in ranking} == {one.fingerprint for one in (A, B, C, D)}
        served = {seen["solver"]: seen["last_served_at"] for seen in ranking}
        assert served[D.fingerprint] is None
        assert START_MS in served.values()
        assert all(set(seen) == {"solver", "band", "score", "in_hand", "last_served_at"} for seen in ranking)


async def test_a_slot_that_is_free_again_makes_the_task_wait(vault: Vault) -> None:
    task, [a] = await start(vault, AGREED, [A])
    vault.now_ms += 10
    await vault.hand_back(A, a)
    vault.now_ms += 10
    await vault.join(B)
    vault.now_ms += 10
    await vault.give(ANN, CancelTask(task=task))
    explained = await report(vault, "explain", task)
    assert [(at, state) for at, about, state in changes(explained) if about == "task"] == [
        (0, "waiting"),
        (0, "assigned"),
        (10, "waiting"),
        (20, "assigned"),
        (30, "cancelled"),
    ]
    assert explained["num_returned"] == 1


async def test_a_complaint_its_responses_and_its_ruling(vault: Vault) -> None:
    task, [a, b] = await start(vault, AGREED)
    await vault.answer(A, a, WRONG)
    await vault.answer(B, b, WRONG)
    vault.now_ms += 10
    complaint = (await vault.give(ANN, Complain(task=task, kind="wrong_answer"))).complaint
    vault.now_ms += 10
    await vault.give(A, RespondToComplaint(complaint=complaint, assignment=a, response="stands_by"))
    vault.now_ms += 10
    await vault.give(ANN, Complain(task=task, kind="wrong_answer", factor=P))
    vault.now_ms += 10
    await vault.judge()
    explained = await report(vault, "explain", task)
    [told] = explained["complaints"]
    assert (told["kind"], told["status"], told["factor_revealed"]) == ("wrong_answer", "upheld", True)
    assert told["ruling"]
    assert {party["assignment"]: party["response"] for party in told["about"]} == {a: "stands_by", b: None}
    about = [entry for entry in changes(explained) if entry[1] == f"complaint {complaint}"]
    assert about == [
        (10, f"complaint {complaint}", "open"),
        (20, f"complaint {complaint}", "stands_by"),
        (40, f"complaint {complaint}", "upheld"),
    ]
    assert [row["status"] for row in explained["assignments"]] == ["invalid", "invalid"]
    for key in (a, b):
        ends = [entry for entry in changes(explained) if entry[1] == f"assignment {key}"][-2:]
        assert ends == [(0, f"assignment {key}", "unproved"), (40, f"assignment {key}", "invalid")]
    assert explained["status"] == "failed"
    assert {score["fingerprint"] for score in explained["scores"]} == {A.fingerprint, B.fingerprint}
    assert str(P) not in str(explained)


async def test_an_excused_deadline_says_so(vault: Vault) -> None:
    task, [a] = await start(vault, AGREED, [A])
    due = (await vault.assignments(task))[0]["deadline"]
    vault.now_ms = due + 1
    await vault.give(SERVER, StartServing())
    await vault.wait(vault.settings.restart_grace_ms)
    explained = await report(vault, "explain", task)
    [row] = explained["assignments"]
    assert (row["assignment"], row["status"], row["excused"]) == (a, "expired", True)
    assert [entry["why"] for entry in explained["timeline"] if entry["state"] == "expired"] == [
        "no blame: the server was down at its deadline"
    ]
    assert explained["scores"] == []


async def test_counts_are_of_what_is_there(vault: Vault) -> None:
    empty = await report(vault, "counts")
    assert set(empty["tasks"].values()) == {0}
    assert empty["solvers"] == {"known": 0, "online": 0, "capacity": 0, "in_hand": 0}
    await start(vault, AGREED)
    await vault.give(ANN, CancelTask(task=(await vault.submit(ANN, AGREED)).task))
    counted = await report(vault, "counts")
    assert {state: number for state, number in counted["tasks"].items() if number} == {"assigned": 1, "cancelled": 1}
    assert (counted["solvers"]["known"], counted["solvers"]["online"], counted["solvers"]["in_hand"]) == (2, 2, 2)
    assert counted["complaints"] == 0


@pytest.mark.parametrize(
    ("about", "count"), [("", 2), ("1", 1), ("0", 0), ("9" * 18, 2), ("9" * 19, None), ("-1", None), ("x", None)]
)
async def test_as_many_solvers_as_are_asked_for(vault: Vault, about: str, count: int | None) -> None:
    await start(vault, AGREED)
    rows = await report(vault, "solvers", about)
    assert (None if rows is None else len(rows)) == count
