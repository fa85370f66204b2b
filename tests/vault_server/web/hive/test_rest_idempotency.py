"""Idempotency-Key: the same request again gets the same reply and does nothing twice, also when both come at once."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import httpx
import pytest

from tests.vault_server.systems.hive.harness import DESCRIPTION
from tests.vault_server.web.hive.rest_server import Agent, RestServer
from tests.vault_server.web.hive.test_rest_refusals import refused

POST = {"title": "Said twice", "description": DESCRIPTION, "budget_credits": 50}
REPLAYED = "x-idempotency-replayed"
AT_ONCE = 12
_numbers = itertools.count(1)


@pytest.fixture
def key() -> str:
    return f"key {next(_numbers)}"


def posted(agent: Agent) -> int:
    """How many tasks there are of the agent's operator, one hundred at most."""
    return int(agent.get("/agents/me/tasks", role="poster", limit=100).json()["meta"]["count"])


def test_the_same_again_is_a_replay(rest_on_both: RestServer, key: str) -> None:
    ann = rest_on_both.ann
    first = ann.post("/tasks", POST, key)
    count = posted(ann)
    again = ann.post("/tasks", {name: POST[name] for name in reversed(POST)}, key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["data"] == again.json()["data"]
    assert first.json()["meta"]["request_id"] != again.json()["meta"]["request_id"]
    assert REPLAYED not in first.headers
    assert again.headers[REPLAYED] == "true"
    assert posted(ann) == count


def test_another_request_with_the_key_is_refused(rest_on_both: RestServer, key: str) -> None:
    ann = rest_on_both.ann
    assert ann.post("/tasks", POST, key).status_code == 201
    refused(ann.post("/tasks", POST | {"budget_credits": 51}, key), 422, "IDEMPOTENCY_KEY_MISMATCH")
    refused(ann.post("/tasks/1/cancel", None, key), 422, "IDEMPOTENCY_KEY_MISMATCH")
    other = rest_on_both.bob.post("/tasks", POST, key)
    assert (other.status_code, REPLAYED in other.headers) == (201, False)


def test_what_was_refused_can_be_tried_again(rest_on_both: RestServer, key: str) -> None:
    rest = rest_on_both
    task = rest.task()
    for _ in range(2):
        response = rest.bob.post(f"/tasks/{task}/start", None, key)
        refused(response, 403, "NOT_CLAIMED_BY_YOU") if response.status_code == 403 else refused(
            response, 409, "INVALID_STATUS"
        )
    rest.ann.data(rest.ann.post(f"/tasks/{task}/claims/{rest.claim(task)}/accept"))
    done = rest.bob.post(f"/tasks/{task}/start", None, key)
    assert done.json()["data"]["status"] == "in_progress"
    again = rest.bob.post(f"/tasks/{task}/start", None, key)
    assert (again.status_code, again.json()["data"], again.headers[REPLAYED]) == (200, done.json()["data"], "true")


def test_changes_and_deletions_take_keys_too(rest_on_both: RestServer, key: str) -> None:
    http = rest_on_both.carl.http
    header = {"Idempotency-Key": key}
    told = [http.patch("/agents/me", json={"webhook_url": "https://x.example/"}, headers=header) for _ in range(2)]
    assert told[0].json()["data"]["webhook_secret"]
    assert told[0].json()["data"] == told[1].json()["data"]
    [webhook] = http.get("/webhooks").json()["data"]
    header = {"Idempotency-Key": f"{key} deleted"}
    gone = [http.delete(f"/webhooks/{webhook['id']}", headers=header) for _ in range(2)]
    assert [response.status_code for response in gone] == [200, 200]
    assert [response.headers.get(REPLAYED) for response in gone] == [None, "true"]


@pytest.mark.parametrize("length", [1, 255])
def test_a_key_at_its_limits(rest: RestServer, length: int) -> None:
    key = "k" * length
    assert rest.ann.post("/tasks", POST, key).status_code == 201
    assert rest.ann.post("/tasks", POST, key).headers[REPLAYED] == "true"


@pytest.mark.parametrize("key", ["", "k" * 256, "é", "a\tb"])
def test_a_key_beyond_its_limits(rest: RestServer, key: str) -> None:
    headers: Any = {b"Idempotency-Key": key.encode("latin-1")}
    response = rest.ann.http.post("/tasks", json=POST, headers=headers)
    refused(response, 400, "IDEMPOTENCY_KEY_TOO_LONG", str(len(key)))


def test_two_keys_are_no_key(rest: RestServer) -> None:
    twice = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    refused(rest.ann.http.post("/tasks", json=POST, headers=twice), 400, "INVALID_PARAMETER", "Idempotency-Key")


def test_questions_need_none(rest: RestServer) -> None:
    for _ in range(2):
        response = rest.bob.http.get("/tasks", headers={"Idempotency-Key": "k" * 300})
        assert (response.status_code, REPLAYED in response.headers) == (200, False)


async def at_once(rest: RestServer, path: str, body: Any, key: str) -> list[httpx.Response]:
    """The same request on many connections that are all open before."""
    header = {"Authorization": f"Bearer {rest.ann.key}"}
    async with httpx.AsyncClient(base_url=rest.base, headers=header, timeout=20) as client:
        await asyncio.gather(*(client.get("/agents/me") for _ in range(AT_ONCE)))
        sent = (client.post(path, json=body, headers={"Idempotency-Key": key}) for _ in range(AT_ONCE))
        return list(await asyncio.gather(*sent))


async def test_of_many_at_once_one_is_carried_out(rest_on_both: RestServer, key: str) -> None:
    """The others are told that it is under way, or get its reply."""
    rest = rest_on_both
    before = await asyncio.to_thread(posted, rest.ann)
    responses = await at_once(rest, "/tasks", POST, key)
    done = [response for response in responses if response.status_code == 201]
    fresh = [response for response in done if REPLAYED not in response.headers]
    assert len(fresh) == 1
    assert {response.json()["data"]["id"] for response in done} == {fresh[0].json()["data"]["id"]}
    for response in responses:
        if response.status_code != 201:
            assert refused(response, 409, "IDEMPOTENCY_KEY_IN_FLIGHT")["retryable"]
            assert response.headers["retry-after"] == "1"
    assert await asyncio.to_thread(posted, rest.ann) == before + 1
    again = await asyncio.to_thread(rest.ann.post, "/tasks", POST, key)
    assert (again.status_code, again.headers[REPLAYED]) == (201, "true")
