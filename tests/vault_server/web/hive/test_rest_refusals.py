"""What is wrong with a request is said in the envelope, under its code, by its name, with the limits in the headers."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest

from protocol.hive import BULK_CLAIMS_MAX
from tests.vault_server.web.hive.rest_server import RestServer
from tests.vault_server.web.http import request, say

BODY_BYTES_MAX = 2**20
JSON = {"Content-Type": "application/json"}
POST = {"title": "Sort these", "description": "x" * 20, "budget_credits": 10}
LIMITS = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")


def refused(response: httpx.Response, status: int, code: str, named: str = "") -> dict[str, Any]:
    """The error of a response that is a refusal, whole."""
    body = response.json()
    assert (response.status_code, body["ok"], body["error"]["code"]) == (status, False, code), response.text
    assert set(body) == {"ok", "error", "meta"}
    assert response.headers["content-type"] == "application/json"
    assert re.fullmatch("req_[0-9a-f]{24}", body["meta"]["request_id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", body["meta"]["timestamp"])
    assert all(response.headers[name].isdecimal() for name in LIMITS)
    assert body["error"]["message"]
    assert body["error"]["suggestion"]
    assert named in body["error"]["message"]
    error: dict[str, Any] = body["error"]
    return error


@pytest.mark.parametrize("path", ["/nope", "", "/", "/tasks/", "/tasks/1/", "//tasks", "/tasks/1/2", "/agents"])
def test_a_path_that_is_not_there(rest: RestServer, path: str) -> None:
    refused(httpx.get(rest.base + path), 404, "NOT_FOUND", "There is nothing at /api/v1")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/tasks", "GET, HEAD, POST"),
        ("OPTIONS", "/tasks", "GET, HEAD, POST"),
        ("DELETE", "/tasks/1", "GET, HEAD"),
        ("GET", "/tasks/bulk/claims", "POST"),
        ("HEAD", "/tasks/1/cancel", "POST"),
        ("GET", "/webhooks/1", "DELETE"),
        ("POST", "/openapi.json", "GET, HEAD"),
        ("TRACE", "/agents/me", "GET, HEAD, PATCH"),
    ],
)
def test_a_method_that_a_path_does_not_have(rest: RestServer, method: str, path: str, allowed: str) -> None:
    response = rest.bob.http.request(method, path)
    assert response.headers["allow"] == allowed
    if method == "HEAD":
        assert (response.status_code, response.content) == (405, b"")
    else:
        refused(response, 405, "METHOD_NOT_ALLOWED", f"{method} is not for /api/v1{path}")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer th_agent_" + "0" * 64},
        {"Authorization": "Bearer th_agent_" + "0" * 63},
        {"Authorization": "Basic dTpw"},
        {"Cookie": "session=" + "0" * 64},
    ],
)
def test_who_shows_no_key_that_is_known(rest: RestServer, headers: dict[str, str]) -> None:
    for path in ("/tasks", "/agents/me"):
        response = httpx.get(rest.base + path, headers=headers)
        refused(response, 401, "UNAUTHORIZED")
        assert response.headers["www-authenticate"].startswith("Bearer")


def test_a_key_counts_however_its_scheme_is_written_and_not_twice(rest: RestServer) -> None:
    with rest.stranger(Authorization=f"bearer  {rest.bob.key}") as client:
        assert client.get("/agents/me").json()["data"]["id"] == rest.bob.id
    twice = [("Authorization", f"Bearer {rest.bob.key}"), ("Authorization", f"Bearer {rest.ann.key}")]
    refused(httpx.get(f"{rest.base}/agents/me", headers=twice), 401, "UNAUTHORIZED")


@pytest.mark.parametrize(
    "number", ["0", "-1", "x", "1.0", "1e3", "01", "+1", "9007199254740992", "9" * 40, "%31x", "٣"]
)
def test_an_id_in_a_path_is_a_positive_integer(rest: RestServer, number: str) -> None:
    refused(rest.bob.get(f"/tasks/{number}"), 400, "INVALID_PARAMETER", "task_id")
    refused(rest.bob.post(f"/tasks/{number}/claims", {"proposed_credits": 1}), 400, "INVALID_PARAMETER", "task_id")
    refused(rest.bob.http.delete(f"/webhooks/{number}"), 400, "INVALID_PARAMETER", "webhook_id")
    refused(rest.bob.post(f"/tasks/1/claims/{number}/accept"), 400, "INVALID_PARAMETER", "claim_id")


def test_the_largest_id_is_one(rest: RestServer) -> None:
    refused(rest.bob.get("/tasks/9007199254740991"), 404, "TASK_NOT_FOUND", "9007199254740991")


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("limit=", "limit"),
        ("limit=1&limit=1", "limit"),
        ("limit=1.0", "limit"),
        ("status=cancelled", "status"),
        ("status=", "status"),
        ("sort=random", "sort"),
        ("category=coding", "category"),
        ("min_budget=-1", "min_budget"),
        ("min_budget=20&max_budget=10", "min_budget"),
        ("cursor=nonsense", "cursor"),
        ("cursor=WyJhIiwxXQ==", "cursor"),
        ("offset=20", "offset"),
        ("task_id=1", "task_id"),
        ("idempotency_key=x", "idempotency_key"),
        ("%ff=1", "UTF-8"),
        ("status=%ff", "UTF-8"),
        ("Status=open", "Status"),
    ],
)
def test_a_parameter_that_does_not_fit_is_named(rest: RestServer, query: str, named: str) -> None:
    refused(rest.bob.http.get(f"/tasks?{query}"), 400, "INVALID_PARAMETER", named)


def test_parameters_at_their_limits_are_taken(rest: RestServer) -> None:
    for query in ("limit=1", "limit=100", "min_budget=0&max_budget=1000000000", "min_budget=10&max_budget=10"):
        assert rest.bob.http.get(f"/tasks?{query}").status_code == 200


@pytest.mark.parametrize("query", ["", "q=", "q=a", "q=%20%20", "q=--", "q=" + "a" * 201, "q=a%00b"])
def test_a_search_needs_words(rest: RestServer, query: str) -> None:
    refused(rest.bob.http.get(f"/tasks/search?{query}"), 400, "INVALID_PARAMETER", "q")


def test_what_takes_no_parameters_has_none(rest: RestServer) -> None:
    refused(rest.bob.http.post("/tasks?status=open", json=POST), 400, "INVALID_PARAMETER", "status")
    refused(rest.bob.http.get("/agents/me?verbose=1"), 400, "INVALID_PARAMETER", "verbose")


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"{", "no JSON"),
        (b"nonsense", "no JSON"),
        (b"[]", "list"),
        (b"null", "NoneType"),
        (b'"x"', "str"),
        (b"5", "int"),
        (b"\xff\xfe", "UTF-8"),
        (b'{"title": "\xff"}', "UTF-8"),
        (b"\xef\xbb\xbf{}", "no JSON"),
        (b'{"budget_credits": NaN}', "NaN"),
        (b'{"budget_credits": -Infinity}', "-Infinity"),
        (b'{"budget_credits": 1e999}', "title"),
        (b'{"title": "a", "title": "b"}', "title"),
        (b'{"x": {"a": 1, "a": 2}}', "'a'"),
        (b"[" * 100_000, "deep"),
        (b'{"title":' + b"[" * 100_000, "deep"),
        (b'{"budget_credits": ' + b"9" * 5000 + b"}", "no JSON"),
        (b'{"title": "x"} trailing', "no JSON"),
        (b'{"status": "completed"}', "status"),
        (b'{"idempotency_key": "x"}', "idempotency_key"),
        (b'{"task_id": 1}', "task_id"),
        (b"{}", "title"),
        (b"", "title"),
    ],
)
def test_a_body_that_does_not_fit_is_refused(rest: RestServer, body: bytes, named: str) -> None:
    refused(rest.ann.http.post("/tasks", content=body, headers=JSON), 422, "VALIDATION_ERROR", named)


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=latin-1",
        "json",
        "a/b;c=d",
    ],
)
def test_a_body_is_json_and_says_so(rest: RestServer, given: str | None) -> None:
    headers = {} if given is None else {"Content-Type": given}
    response = rest.ann.http.post("/tasks", content=b'{"title": "x"}', headers=headers)
    refused(response, 422, "VALIDATION_ERROR", "Content-Type")


@pytest.mark.parametrize(
    "given", ["application/json", "Application/JSON; charset=UTF-8", 'application/json;charset="utf-8"']
)
def test_json_may_be_said_in_several_ways(rest: RestServer, given: str) -> None:
    refused(
        rest.ann.http.post("/tasks", content=b"{}", headers={"Content-Type": given}), 422, "VALIDATION_ERROR", "title"
    )


def test_questions_and_deletions_take_no_body(rest: RestServer) -> None:
    refused(rest.bob.http.request("GET", "/tasks", json={"limit": 1}), 400, "INVALID_PARAMETER", "no body")
    refused(rest.bob.http.request("DELETE", "/webhooks/1", json={}), 422, "VALIDATION_ERROR", "no body")


@pytest.mark.parametrize("body", [b"", b"{}"])
def test_what_needs_no_fields_needs_no_body(rest: RestServer, body: bytes) -> None:
    cancelled = rest.ann.http.post(f"/tasks/{rest.task()}/cancel", content=body, headers=JSON if body else {})
    assert cancelled.json()["data"]["status"] == "cancelled"


@pytest.mark.parametrize("budget", [9, 1_000_000_001, 10.5, 9.0, "10", True, None, -1, [10]])
def test_a_budget_is_an_integer_within_bounds(rest: RestServer, budget: Any) -> None:
    refused(rest.ann.post("/tasks", POST | {"budget_credits": budget}), 422, "VALIDATION_ERROR", "budget_credits")


@pytest.mark.parametrize("budget", [b"10", b"10.0", b"1e1"])
def test_a_whole_number_may_be_written_in_several_ways(rest: RestServer, budget: bytes) -> None:
    body = b'{"title": "Sort these", "description": "twenty characters, no less", "budget_credits": %b}' % budget
    response = rest.ann.http.post("/tasks", content=body, headers=JSON)
    assert (response.status_code, response.json()["data"]["budget_credits"]) == (201, 10)


def test_several_claims_are_one_to_ten(rest: RestServer) -> None:
    one = {"task_id": rest.task(), "proposed_credits": 5}
    wrong: tuple[Any, ...] = ([], [one] * (BULK_CLAIMS_MAX + 1), one, "x", None, [[]])
    for claims in wrong:
        refused(rest.bob.post("/tasks/bulk/claims", {"claims": claims}), 422, "VALIDATION_ERROR", "claims")
    refused(rest.bob.post("/tasks/bulk/claims", {"claims": [one | {"status": "accepted"}]}), 422, "VALIDATION_ERROR")
    response = rest.bob.post("/tasks/bulk/claims", {"claims": [one | {"message": None}] * BULK_CLAIMS_MAX})
    assert response.json()["data"]["summary"] == {"succeeded": 1, "failed": 9, "total": 10}
    failed = response.json()["data"]["results"][1]
    assert (failed["ok"], failed["code"]) == (False, "DUPLICATE_CLAIM")
    assert failed["suggestion"]


def body_of(length: int) -> bytes:
    """A body of so many bytes that lacks only a title."""
    return b'{"description": "' + b"x" * (length - 19) + b'"}'


def in_parts(body: bytes) -> Iterator[bytes]:
    """Sent as chunks, without a Content-Length."""
    for start in range(0, len(body), 50_000):
        yield body[start : start + 50_000]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_at_its_limit_is_read_and_one_byte_more_is_not(rest: RestServer, chunked: bool) -> None:
    for length, status, code in (
        (BODY_BYTES_MAX, 422, "VALIDATION_ERROR"),
        (BODY_BYTES_MAX + 1, 413, "TOO_LARGE"),
        (2 * BODY_BYTES_MAX, 413, "TOO_LARGE"),
    ):
        body = body_of(length)
        assert len(body) == length
        content: Any = in_parts(body) if chunked else body
        response = rest.ann.http.post("/tasks", content=content, headers=JSON)
        refused(response, status, code)


def test_very_many_names_are_looked_at_once(rest: RestServer) -> None:
    names = ",".join(f'"{number:x}":0' for number in range(90_000))
    body = f'{{{names},"15f8f":0}}'.encode()
    assert len(body) < BODY_BYTES_MAX
    refused(rest.ann.http.post("/tasks", content=body, headers=JSON), 422, "VALIDATION_ERROR", "15f8f")


def test_a_key_that_has_ended_while_its_body_came_is_worth_nothing(rest: RestServer) -> None:
    def replace_key(key_hash: str, prefix: str) -> tuple[str, str]:
        with closing(sqlite3.connect(rest.server.database, timeout=10)) as rows, rows:
            [held] = rows.execute("SELECT api_key_hash, api_key_prefix FROM agents WHERE id = ?", (rest.carl.id,))
            change = "UPDATE agents SET api_key_hash = ?, api_key_prefix = ? WHERE id = ?"
            rows.execute(change, (key_hash, prefix, rest.carl.id))
        return held[0], held[1]

    held: list[tuple[str, str]] = []

    def body() -> Iterator[bytes]:
        yield b'{"title": "Sort these", "budget_credits": 10, '
        time.sleep(0.5)  # the head has come, and the key was good
        held.append(replace_key("ab" * 32, "th_agent_abcde"))
        yield b'"description": "xxxxxxxxxxxxxxxxxxxxxxxxxxxx"}'

    response = rest.carl.http.post("/tasks", content=body(), headers=JSON)
    replace_key(*held[0])
    refused(response, 401, "UNAUTHORIZED")
    assert rest.carl.get("/agents/me").status_code == 200


async def test_a_stranger_is_refused_before_his_body_is_read(rest: RestServer) -> None:
    announced = f"Content-Type: application/json\r\nContent-Length: {100 * BODY_BYTES_MAX}\r\n"
    answer = await say(rest.server.http_port, request("/api/v1/tasks", "POST", announced))
    assert (answer.status, answer.json["error"]["code"]) == (401, "UNAUTHORIZED")


async def test_what_is_announced_to_be_far_too_large_is_refused_unread(rest: RestServer) -> None:
    announced = f"Authorization: Bearer {rest.ann.key}\r\nContent-Length: {2 * BODY_BYTES_MAX + 1}\r\n"
    answer = await say(rest.server.http_port, request("/api/v1/tasks", "POST", announced))
    assert (answer.status, answer.json["error"]["code"]) == (413, "TOO_LARGE")
    assert answer.headers["connection"] == "close"


def test_a_connection_serves_on_after_refusals(rest: RestServer) -> None:
    with rest.stranger() as client:
        for _ in range(3):
            refused(client.post("/tasks", json=POST | {"description": "x" * 100_000}), 401, "UNAUTHORIZED")
            refused(client.post("/nope", content=b"x" * 100_000), 404, "NOT_FOUND")


def test_head_is_get_without_its_body(rest: RestServer) -> None:
    response = rest.bob.http.head("/agents/me")
    assert (response.status_code, response.content) == (200, b"")
    assert int(response.headers["content-length"]) > 100


def test_the_rest_of_the_port_keeps_its_own_words(rest: RestServer) -> None:
    root = rest.base.removesuffix("/api/v1")
    assert httpx.get(f"{root}/healthz").json() == {"status": "alive"}
    assert httpx.get(f"{root}/nope").json()["code"] == "PATH_NOT_FOUND"
    assert httpx.get(f"{root}/api/v2/tasks").json()["code"] == "PATH_NOT_FOUND"


def test_no_key_and_no_work_is_in_the_log(rest: RestServer) -> None:
    rest.task(title="A title nobody needs to read")
    log = rest.server.log_path.read_text() + rest.server.stderr_path.read_text()
    for agent in (rest.ann, rest.bob, rest.carl):
        assert agent.key not in log
        assert agent.key.removeprefix("th_agent_")[:16] not in log
    assert "nobody needs to read" not in log
    assert "hive.task_posted" in log
