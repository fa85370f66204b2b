"""The skill files are what the server does: written from its table, fresh, served, and each example is sent."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import httpx
import jsonschema_rs
import pytest

from protocol.hive_fields import instant_text
from tests.protocol.regenerate import SKILLS, skill_files
from tests.vault_server.web.hive.rest_server import Agent, RestServer
from vault_server.clock import Clock
from vault_server.web.hive import openapi
from vault_server.web.hive.routes import BASE, ROUTES, Route
from vault_server.web.hive.skills import NEXT_STEPS

EVERY_ROUTE = pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
EXAMPLE = re.compile(
    r"```http\n(?P<method>[A-Z]+) (?P<url>\S+) HTTP/1\.1\n(?P<headers>(?:[A-Za-z-]+: [^\n]*\n)+)(?:\n(?P<body>.*?))?```"
    r"\n\nResponse, status (?P<status>\d+):\n\n```json\n(?P<response>.*?)```",
    re.DOTALL,
)

Ids = dict[str, int]


def test_they_are_fresh_and_there_are_no_others() -> None:
    written = {path.name: path.read_text() for path in SKILLS.iterdir()}
    assert written == skill_files(), "run `python -m tests.protocol.regenerate` and look at the difference"


@EVERY_ROUTE
def test_each_says_all_there_is_to_say(route: Route) -> None:
    text = skill_files()[f"{route.name}.md"]
    for heading in (
        "**Tool:**",
        "**Purpose:**",
        "**Auth:**",
        "## Parameters",
        "## Response",
        "## Errors",
        "## Example",
    ):
        assert heading in text
    for promise in ("Latency target", "Rate limit", "Rollback"):
        assert f"* {promise}: " in text
    for spec in route.given():
        assert f"| `{spec.name}` |" in text
    for code in route.codes():
        assert f"| `{code.value}` | " in text
        assert NEXT_STEPS[code] in text


def test_they_are_served_to_everybody(rest: RestServer) -> None:
    index = httpx.get(f"{rest.base}/skills")
    assert index.headers["content-type"] == "text/markdown; charset=utf-8"
    linked = re.findall(r"\]\((skills/\w+\.md)\)", index.text)
    assert len(linked) == len(ROUTES)
    files = skill_files()
    with rest.stranger() as client:
        for link in linked:
            assert client.get(f"/{link}").text == files[link.removeprefix("skills/")]
        assert client.get("/skills/nonsense.md").json()["error"]["code"] == "NOT_FOUND"


def open_task(rest: RestServer) -> Ids:
    return {"task_id": rest.task(title="Write a CSV parser", category_id=1)}


def claim(rest: RestServer) -> Ids:
    task = open_task(rest)["task_id"]
    return {"task_id": task, "claim_id": rest.claim(task)}


def claimed(rest: RestServer) -> Ids:
    return {"task_id": rest.claimed()}


def overdue(rest: RestServer) -> Ids:
    """In progress, and its deadline has passed."""
    deadline_ms = Clock().now_ms() + 1000
    task = rest.claimed(deadline=instant_text(deadline_ms))
    rest.bob.data(rest.bob.post(f"/tasks/{task}/start"))
    while Clock().now_ms() <= deadline_ms:
        rest.bob.get("/agents/me")
    return {"task_id": task}


def delivered(rest: RestServer) -> Ids:
    return dict(zip(("task_id", "deliverable_id"), rest.delivered(), strict=True))


def exhausted(rest: RestServer) -> Ids:
    return dict(zip(("task_id", "deliverable_id"), rest.delivered(max_revisions=0), strict=True))


def completed(rest: RestServer) -> Ids:
    return {"task_id": rest.completed()}


def reviewed(rest: RestServer) -> Ids:
    rest.ann.data(rest.ann.post(f"/tasks/{rest.completed()}/review", {"rating": 5}))
    return {"agent_id": rest.bob.id}


def webhook(rest: RestServer) -> Ids:
    body = {"url": "https://agent.example/hooks", "events": ["claim.accepted"]}
    return {"webhook_id": int(rest.bob.data(rest.bob.post("/webhooks", body))["id"])}


def nothing(_rest: RestServer) -> Ids:
    return {}


BEFORE: dict[str, Callable[[RestServer], Ids]] = {
    "browse_tasks": open_task,
    "search_tasks": lambda rest: open_task(rest) and open_task(rest),
    "get_task": open_task,
    "cancel_task": open_task,
    "rollback_task": claimed,
    "reclaim_task": overdue,
    "bulk_claim": open_task,
    "claim_task": open_task,
    "list_claims": claim,
    "accept_claim": claim,
    "reject_claim": claim,
    "withdraw_claim": claim,
    "start_task": claimed,
    "deliver": claimed,
    "list_deliverables": delivered,
    "accept_deliverable": delivered,
    "request_revision": delivered,
    "reject_deliverable": exhausted,
    "dispute": delivered,
    "review": completed,
    "my_claims": claim,
    "my_tasks": claimed,
    "get_agent": lambda rest: {"agent_id": rest.bob.id},
    "list_reviews": reviewed,
    "list_webhooks": webhook,
    "delete_webhook": webhook,
    "rotate_webhook_secret": webhook,
}
"""What has to be there before an example is sent, and the ids it has then."""

OF_THE_POSTER = {
    "post_task", "cancel_task", "rollback_task", "reclaim_task", "list_claims", "accept_claim", "reject_claim",
    "accept_deliverable", "request_revision", "reject_deliverable", "dispute", "review",
}  # fmt: skip


def form(value: Any) -> Any:
    """What a value is made of: the names of maps, the first entry of lists, the kinds of everything else."""
    if isinstance(value, dict):
        return {name: form(each) for name, each in value.items()}
    if isinstance(value, list):
        return [form(value[0])] if value else []
    return type(value).__name__


def same_form(shown: Any, seen: Any) -> bool:
    """Null may stand for anything."""
    if "NoneType" in (shown, seen) or [] in (shown, seen):
        return True
    if isinstance(shown, dict) and isinstance(seen, dict):
        return shown.keys() == seen.keys() and all(same_form(shown[name], seen[name]) for name in shown)
    if isinstance(shown, list) and isinstance(seen, list):
        return same_form(shown[0], seen[0])
    return bool(shown == seen)


def send(rest: RestServer, agent: Agent, found: re.Match[str], ids: Ids) -> httpx.Response:
    """The example's request as it is written, but for the key and the ids of this server."""
    url = found["url"].removeprefix(BASE)
    for name, example in (("task_id", 42), ("claim_id", 7), ("deliverable_id", 9), ("agent_id", 5), ("webhook_id", 1)):
        if name in ids:
            where = {"task_id": "tasks", "claim_id": "claims", "deliverable_id": "deliverables"}
            folder = where.get(name, f"{name.removesuffix('_id')}s")
            url = url.replace(f"/{folder}/{example}", f"/{folder}/{ids[name]}")
    body = json.loads(found["body"]) if found["body"] else None
    for bid in (body or {}).get("claims", ())[:1]:
        bid["task_id"] = ids["task_id"]
    if body and "claims" in body:
        body["claims"][1]["task_id"] = 999_999
    return agent.http.request(found["method"], url, json=body)


@EVERY_ROUTE
def test_each_example_gets_the_response_that_it_shows(rest: RestServer, route: Route) -> None:
    found = EXAMPLE.search(skill_files()[f"{route.name}.md"])
    assert found
    assert (found["method"], route.method) == (route.method, found["method"])
    ids = BEFORE.get(route.name, nothing)(rest)
    response = send(rest, rest.ann if route.name in OF_THE_POSTER else rest.bob, found, ids)
    assert response.status_code == int(found["status"]) == route.status, response.text
    shown, seen = json.loads(found["response"]), response.json()
    assert same_form(form(shown), form(seen)), (form(shown), form(seen))
    document = openapi.document()
    told = document["paths"][route.path][route.method.lower()]["responses"][found["status"]]
    schema = told["content"]["application/json"]["schema"]
    for body in (shown, seen):
        assert jsonschema_rs.is_valid({**schema, "components": document["components"]}, body)
    if route.name in ("deliver", "claim_task", "post_task"):
        known = {name: value for name, value in shown["data"].items() if name in ("status", "content", "title")}
        assert {name: seen["data"][name] for name in known} == known
