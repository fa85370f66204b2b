"""A task's whole way through /api/v1, on both databases, and what every response looks like on it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.vault_server.systems.hive.harness import DESCRIPTION
from tests.vault_server.web.hive.rest_server import Agent, RestServer
from tests.vault_server.web.hive.test_rest_refusals import refused

MAX_REVISIONS = 1
POSTED = {
    "title": "  Sort these numbers ",
    "description": DESCRIPTION,
    "requirements": "Ascending.",
    "budget_credits": 200,
    "category_id": 4,
    "deadline": "2999-01-31T12:00:00+02:00",
    "max_revisions": MAX_REVISIONS,
}


def ok(response: httpx.Response, status: int = 200) -> Any:
    """The data of a success."""
    body = response.json()
    assert (response.status_code, body["ok"]) == (status, True), response.text
    assert set(body) == {"ok", "data", "meta"}
    return body["data"]


def meta(response: httpx.Response) -> dict[str, Any]:
    held: dict[str, Any] = response.json()["meta"]
    return held


def credits(agent: Agent) -> int:
    return int(ok(agent.get("/agents/me/credits"))["credit_balance"])


def test_from_posting_to_payment_and_review(rest_on_both: RestServer) -> None:
    rest = rest_on_both
    ann, bob, carl = rest.ann, rest.bob, rest.carl
    before = credits(bob)
    posted = ok(ann.post("/tasks", POSTED), 201)
    task, title = posted["id"], "Sort these numbers"
    assert (posted["title"], posted["status"], posted["deadline"]) == (title, "open", "2999-01-31T10:00:00.000Z")
    assert posted["category"] == {"id": 4, "name": "Data Processing", "slug": "data-processing"}
    assert posted["poster"]["name"] == "ann"
    assert posted["posted_by_agent_id"] == ann.id
    assert ok(bob.get(f"/tasks/{task}")) == posted

    made = ok(bob.post(f"/tasks/{task}/claims", {"proposed_credits": 150, "message": "I can."}), 201)
    assert {name: made[name] for name in ("task_id", "agent_id", "proposed_credits", "message", "status")} == {
        "task_id": task, "agent_id": bob.id, "proposed_credits": 150, "message": "I can.", "status": "pending",
    }  # fmt: skip
    refused(bob.post(f"/tasks/{task}/claims", {"proposed_credits": 1}), 409, "DUPLICATE_CLAIM", f"task {task}")
    refused(carl.post(f"/tasks/{task}/claims", {"proposed_credits": 201}), 422, "INVALID_CREDITS", "201")
    refused(carl.post(f"/tasks/{task}/claims", {"proposed_credits": "5"}), 422, "VALIDATION_ERROR", "proposed_credits")
    other = ok(carl.post(f"/tasks/{task}/claims", {"proposed_credits": 200}), 201)
    assert len(ok(ann.get(f"/tasks/{task}/claims"))) == 2
    assert [claim["id"] for claim in ok(carl.get(f"/tasks/{task}/claims"))] == [other["id"]]

    refused(bob.post(f"/tasks/{task}/claims/{made['id']}/accept"), 403, "FORBIDDEN", f"Task {task}")
    refused(ann.post(f"/tasks/{task}/claims/999/accept"), 404, "CLAIM_NOT_FOUND", "999")
    accepted = ok(ann.post(f"/tasks/{task}/claims/{made['id']}/accept"))
    assert (accepted["task"]["claimed_by_agent_id"], accepted["claim"]["status"]) == (bob.id, "accepted")
    refused(ann.post(f"/tasks/{task}/claims/{other['id']}/accept"), 409, "TASK_NOT_OPEN", f"Task {task}")
    assert ok(carl.get("/agents/me/claims", status="rejected"))[0]["task_id"] == task
    assert ok(bob.get("/agents/me/tasks"))[0]["id"] == task
    assert ok(ann.get("/agents/me/tasks", role="poster"))[0]["id"] == task

    refused(carl.post(f"/tasks/{task}/start"), 403, "NOT_CLAIMED_BY_YOU")
    moved = {"task_id": task, "previous_status": "claimed", "status": "in_progress"}
    assert ok(bob.post(f"/tasks/{task}/start")) == moved
    refused(ann.post(f"/tasks/{task}/rollback"), 409, "TASK_NOT_CLAIMED", f"Task {task}")

    refused(bob.post(f"/tasks/{task}/deliverables", {"content": " \n"}), 422, "VALIDATION_ERROR", "content")
    first = ok(bob.post(f"/tasks/{task}/deliverables", {"content": " 3, 2, 1\n"}), 201)
    assert (first["content"], first["revision_number"], first["is_late"]) == (" 3, 2, 1\n", 1, False)
    refused(bob.post(f"/tasks/{task}/deliverables", {"content": "1"}), 409, "INVALID_STATUS", f"Task {task}")
    at = f"/tasks/{task}/deliverables"
    refused(ann.post(f"{at}/{first['id']}/reject", {"reason": "No."}), 409, "REVISIONS_REMAINING")
    refused(ann.post(f"{at}/{first['id']}/revision", {}), 422, "VALIDATION_ERROR", "revision_notes")
    assert ok(ann.post(f"{at}/{first['id']}/revision", {"revision_notes": "Ascending."}))["revision_notes"]
    second = ok(bob.post(at, {"content": "1, 2, 3"}), 201)
    refused(ann.post(f"{at}/{second['id']}/revision", {"revision_notes": "More."}), 409, "MAX_REVISIONS")
    refused(ann.post(f"{at}/{first['id']}/accept"), 409, "INVALID_STATUS")
    assert [each["id"] for each in ok(bob.get(at))] == [first["id"], second["id"]]
    refused(carl.get(at), 403, "FORBIDDEN")

    refused(ann.post(f"/tasks/{task}/review", {"rating": 5}), 409, "INVALID_STATUS")
    paid = ok(ann.post(f"{at}/{second['id']}/accept"))
    assert (paid["credits_paid"], paid["platform_fee"], paid["task"]["status"]) == (180, 20, "completed")
    assert paid["deliverable"]["status"] == "accepted"
    assert credits(bob) == before + 180
    newest = ok(bob.get("/agents/me/credits", limit=1))["recent_transactions"]
    assert [(line["type"], line["amount"], line["task_id"]) for line in newest] == [("payment", 180, task)]
    refused(ann.post(f"{at}/{second['id']}/accept"), 409, "INVALID_STATUS")

    refused(ann.post(f"/tasks/{task}/review", {"rating": 6}), 422, "VALIDATION_ERROR", "rating")
    assert ok(ann.post(f"/tasks/{task}/review", {"rating": 4, "comment": "Good."}), 201)["rating"] == 4
    refused(ann.post(f"/tasks/{task}/review", {"rating": 5}), 409, "DUPLICATE_REVIEW")
    profile = ok(carl.get(f"/agents/{bob.id}"))
    assert (profile["tasks_completed"], profile["avg_rating"]) == (1, 4.0)
    assert [each["comment"] for each in ok(carl.get(f"/agents/{bob.id}/reviews"))] == ["Good."]


def test_ways_that_end_early(rest_on_both: RestServer) -> None:
    rest = rest_on_both
    task = rest.task()
    claim = rest.claim(task)
    assert ok(rest.ann.post(f"/tasks/{task}/claims/{claim}/reject"))["status"] == "rejected"
    claim = rest.claim(task)
    assert ok(rest.bob.post(f"/tasks/{task}/claims/{claim}/withdraw"))["status"] == "withdrawn"
    assert ok(rest.ann.post(f"/tasks/{task}/cancel"))["previous_status"] == "open"
    claimed = rest.claimed()
    assert ok(rest.ann.post(f"/tasks/{claimed}/rollback"))["status"] == "open"
    refused(rest.ann.post(f"/tasks/{claimed}/reclaim"), 409, "INVALID_STATUS")
    task, deliverable = rest.delivered(max_revisions=0)
    assert ok(rest.ann.post(f"/tasks/{task}/deliverables/{deliverable}/reject", {"reason": "No."}))["dispute"]
    task, _ = rest.delivered()
    disputed = ok(rest.ann.post(f"/tasks/{task}/dispute", {"reason": "No."}))
    assert (disputed["status"], disputed["dispute"]["reason"]) == ("disputed", "No.")
    assert ok(rest.carl.get(f"/tasks/{task}"))["dispute"] is None


def test_several_claims_stand_or_fall_each_for_itself(rest_on_both: RestServer) -> None:
    rest = rest_on_both
    one, two = rest.task(), rest.task(budget_credits=20)
    rest.claim(one)
    claims = [
        {"task_id": two, "proposed_credits": 20, "message": "Both."},
        {"task_id": one, "proposed_credits": 5},
        {"task_id": 999_999, "proposed_credits": 5},
        {"task_id": two, "proposed_credits": 21},
    ]
    done = ok(rest.bob.post("/tasks/bulk/claims", {"claims": claims}))
    assert [result["task_id"] for result in done["results"]] == [two, one, 999_999, two]
    assert [result["code"] for result in done["results"]] == [
        None, "DUPLICATE_CLAIM", "TASK_NOT_FOUND", "DUPLICATE_CLAIM",
    ]  # fmt: skip
    assert done["results"][0]["claim"]["proposed_credits"] == 20
    assert done["summary"] == {"succeeded": 1, "failed": 3, "total": 4}


def test_an_agent_describes_itself_and_shows_others_less(rest_on_both: RestServer) -> None:
    rest = rest_on_both
    changed = ok(
        rest.carl.http.patch(
            "/agents/me", json={"capabilities": ["coding"], "category_ids": [1, 2], "hourly_rate_credits": 5}
        )
    )
    assert (changed["capabilities"], changed["category_ids"], changed["webhook_secret"]) == (["coding"], [1, 2], None)
    hooked = ok(rest.carl.http.patch("/agents/me", json={"webhook_url": "https://x.example/", "name": None}))
    assert hooked["webhook_secret"].startswith("whsec_")
    assert hooked["name"] == "carls-bot"
    mine = ok(rest.carl.get("/agents/me"))
    assert (mine["webhook_url"], mine["hourly_rate_credits"]) == ("https://x.example/", 5)
    assert mine["operator"] == {"id": 4, "name": "carl"}
    assert len(mine["api_key_prefix"]) == 14
    for secret in ("api_key_hash", "email"):
        assert secret not in mine
    public = ok(rest.bob.get(f"/agents/{rest.carl.id}"))
    assert {"webhook_url", "api_key_prefix", "api_key_hash", "email"}.isdisjoint(public)
    cleared = ok(rest.carl.http.patch("/agents/me", json={"webhook_url": None, "hourly_rate_credits": None}))
    assert (cleared["webhook_url"], cleared["hourly_rate_credits"]) == (None, None)
    refused(rest.carl.http.patch("/agents/me", json={"category_ids": [999]}), 422, "VALIDATION_ERROR", "999")
    refused(rest.carl.http.patch("/agents/me", json={"webhook_url": "http://x.example/"}), 422, "VALIDATION_ERROR")
    refused(rest.bob.get("/agents/999"), 404, "AGENT_NOT_FOUND", "999")


def test_webhooks_come_and_go_and_show_their_secret_once(rest_on_both: RestServer) -> None:
    bob = rest_on_both.bob
    body = {"url": "https://agent.example/hooks", "events": ["claim.accepted"]}
    made = ok(bob.post("/webhooks", body), 201)
    assert made["secret"].startswith("whsec_")
    [listed] = ok(bob.get("/webhooks"))
    assert "secret" not in listed
    assert listed["secret_prefix"] == made["secret"][:8]
    rotated = ok(bob.post(f"/webhooks/{made['id']}/secret"))
    assert rotated["secret"] != made["secret"]
    refused(rest_on_both.carl.http.delete(f"/webhooks/{made['id']}"), 404, "WEBHOOK_NOT_FOUND")
    assert ok(bob.http.delete(f"/webhooks/{made['id']}")) == {"webhook_id": made["id"]}
    refused(bob.http.delete(f"/webhooks/{made['id']}"), 404, "WEBHOOK_NOT_FOUND", str(made["id"]))
    several: tuple[dict[str, Any], ...] = ({"events": ["nonsense"]}, {"events": []}, {"url": "http://x.example/"})
    for wrong in several:
        refused(bob.post("/webhooks", body | wrong), 422, "VALIDATION_ERROR")
    made_ids = [ok(bob.post("/webhooks", body), 201)["id"] for _ in range(5)]
    refused(bob.post("/webhooks", body), 409, "MAX_WEBHOOKS", "5")
    for number in made_ids:
        ok(bob.http.delete(f"/webhooks/{number}"))


def test_categories_stand_in_the_seeds_order(rest_on_both: RestServer) -> None:
    response = rest_on_both.bob.get("/categories")
    names = [category["name"] for category in ok(response)]
    assert names == ["Coding", "Writing", "Research", "Data Processing", "Design", "Translation", "General"]
    page = {name: meta(response)[name] for name in ("cursor", "has_more", "count")}
    assert page == {"cursor": None, "has_more": False, "count": 7}


def all_pages(agent: Agent, path: str, rest: RestServer, **query: Any) -> list[int]:
    """The ids of all pages; new tasks of every kind are posted between the first ones of them."""
    found: list[int] = []
    cursor: dict[str, str] = {}
    for number in range(20):
        response = agent.get(path, **query, **cursor)
        found += [line["id"] for line in ok(response)]
        held = meta(response)
        assert held["count"] == len(ok(response)) <= query["limit"]
        assert held["has_more"] is (held["cursor"] is not None)
        if not held["has_more"]:
            return found
        cursor = {"cursor": held["cursor"]}
        for budget in (60, 61, 65) if number < 2 else ():
            rest.task(budget_credits=budget, title="Paged anew")
    raise AssertionError("the pages do not end")


@pytest.mark.parametrize("sort", ["newest", "oldest", "budget_high", "budget_low"])
def test_pages_neither_repeat_nor_skip_while_tasks_come(rest_on_both: RestServer, sort: str) -> None:
    rest = rest_on_both
    there = {rest.task(budget_credits=budget, title="Paged") for budget in (60, 61, 61, 61, 62, 62, 70)}
    bounds = {"min_budget": 60, "max_budget": 70, "limit": 3, "sort": sort}
    found = all_pages(rest.bob, "/tasks", rest, **bounds)
    assert len(found) == len(set(found))
    assert there <= set(found)


def test_pages_of_a_search_neither_repeat_nor_skip(rest_on_both: RestServer) -> None:
    rest = rest_on_both
    there = {rest.task(title=f"Zebra {number}") for number in range(4)}
    there |= {rest.task(description=f"About a zebra and its stripes {number}") for number in range(4)}
    found: list[int] = []
    cursor: dict[str, str] = {}
    for _ in range(20):
        response = rest.bob.get("/tasks/search", q="zebra", limit=3, **cursor)
        found += [line["id"] for line in ok(response)]
        if not meta(response)["has_more"]:
            break
        cursor = {"cursor": meta(response)["cursor"]}
        rest.task(title="Zebra anew")
    assert len(found) == len(set(found))
    assert there <= set(found)
    titled = [ok(rest.bob.get(f"/tasks/{number}"))["title"].startswith("Zebra") for number in found]
    assert titled == sorted(titled, reverse=True)


def test_a_cursor_belongs_to_its_question(rest_on_both: RestServer) -> None:
    rest = rest_on_both
    for _ in range(2):
        rest.task()
    cursor = meta(rest.bob.get("/tasks", limit=1))["cursor"]
    assert ok(rest.bob.get("/tasks", limit=2, cursor=cursor))
    for other in ({"sort": "oldest"}, {"status": "claimed"}, {"category": 1}, {"min_budget": 5}):
        refused(rest.bob.get("/tasks", cursor=cursor, **other), 400, "INVALID_PARAMETER", "cursor")
    refused(rest.bob.get("/tasks/search", q="sort", cursor=cursor), 400, "INVALID_PARAMETER", "cursor")


def test_filters(rest_on_both: RestServer) -> None:
    rest = rest_on_both
    cheap, dear = rest.task(budget_credits=11, category_id=5), rest.task(budget_credits=5000, category_id=5)
    assert [line["id"] for line in ok(rest.bob.get("/tasks", category=5, sort="budget_high"))] == [dear, cheap]
    assert [line["id"] for line in ok(rest.bob.get("/tasks", category=5, max_budget=11))] == [cheap]
    assert [line["id"] for line in ok(rest.bob.get("/tasks", category=5, min_budget=12))] == [dear]
    assert ok(rest.bob.get("/tasks", category=5, status="completed")) == []
