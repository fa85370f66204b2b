"""Rate limits by key and by address, the body's limit as it is set, and what a server that cannot serve answers."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from tests.vault_server.web.hive.rest_server import RestServer, on_sqlite
from tests.vault_server.web.hive.test_rest_refusals import JSON, refused
from tests.vault_server.web.http import request, say
from vault_server import keys
from vault_server.app import App
from vault_server.settings import Settings

REQUESTS_MAX = 5
BODY_BYTES_MAX = 4096
HEAD_BYTES_MAX = 4096
HOUR_MS = 3_600_000
FROM = "X-Forwarded-For"


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestServer]:
    """Five requests an hour; behind a proxy, so that every test comes from addresses of its own."""
    started = on_sqlite(
        tmp_path_factory.mktemp("strict"),
        hive_requests_max=REQUESTS_MAX,
        hive_requests_window_ms=HOUR_MS,
        hive_body_bytes_max=BODY_BYTES_MAX,
        http_header_bytes_max=HEAD_BYTES_MAX,
        trusted_proxies="127.0.0.1",
    )
    started.start()
    yield started
    started.stop()


def remaining(response: httpx.Response) -> int:
    assert response.headers["x-ratelimit-limit"] == str(REQUESTS_MAX)
    return int(response.headers["x-ratelimit-remaining"])


def test_every_response_counts_once_and_one_too_many_is_told_when(strict: RestServer) -> None:
    ann = strict.ann
    responses = [
        ann.get("/agents/me"),
        ann.get("/nope"),
        ann.http.put("/tasks"),
        ann.post("/tasks", {"title": "x"}),
        ann.get("/tasks/x"),
    ]
    assert [response.status_code for response in responses] == [200, 404, 405, 422, 400]
    assert {response.headers["x-content-type-options"] for response in responses} == {"nosniff"}
    assert [remaining(response) for response in responses] == [4, 3, 2, 1, 0]
    resets = {int(response.headers["x-ratelimit-reset"]) for response in responses}
    assert max(resets) - min(resets) <= 1
    for path in ("/agents/me", "/nope", "/openapi.json"):
        limited = ann.get(path)
        error = refused(limited, 429, "RATE_LIMITED", str(REQUESTS_MAX))
        wait = int(limited.headers["retry-after"])
        assert 0 < wait <= HOUR_MS // 1000
        assert error["retryable"]
        assert 0 < error["retry_after_ms"] <= wait * 1000
        assert str(-(-error["retry_after_ms"] // 1000)) in error["suggestion"]
        assert remaining(limited) == 0
        assert abs(int(limited.headers["x-ratelimit-reset"]) - min(resets)) <= 1


def test_several_connections_with_one_key_share_it(strict: RestServer) -> None:
    header = {"Authorization": f"Bearer {strict.bob.key}"}
    statuses = [httpx.get(f"{strict.base}/agents/me", headers=header).status_code for _ in range(REQUESTS_MAX + 1)]
    assert statuses == [200] * REQUESTS_MAX + [429]


def test_whoever_has_no_key_is_counted_by_address(strict: RestServer) -> None:
    with strict.stranger(**{FROM: "192.0.2.1"}) as client, strict.stranger(**{FROM: "192.0.2.2"}) as other:
        statuses = [client.get(path).status_code for path in ("/tasks", "/nope", "/openapi.json", "/skills", "/tasks")]
        assert statuses == [401, 404, 200, 200, 401]
        limited = client.get("/tasks")
        assert "Your address" in refused(limited, 429, "RATE_LIMITED")["message"]
        assert client.get("/openapi.json").status_code == 429
        assert remaining(other.get("/tasks")) == REQUESTS_MAX - 1
        good = {"Authorization": f"Bearer {strict.carl.key}"}
        assert client.get("/agents/me", headers=good).status_code == 200


def test_keys_that_are_guessed_are_counted_by_address(strict: RestServer) -> None:
    with strict.stranger(**{FROM: "192.0.2.3"}) as client:
        for number in range(REQUESTS_MAX):
            guess = {"Authorization": f"Bearer th_agent_{number:064x}"}
            response = client.get("/agents/me", headers=guess)
            refused(response, 401, "UNAUTHORIZED")
            assert remaining(response) == REQUESTS_MAX - 1 - number
        refused(client.get("/agents/me", headers=guess), 429, "RATE_LIMITED", "Your address")


def row(server: RestServer, sql: str, *values: object) -> None:
    """Change a row under the server, as no door lets anybody."""
    connection = sqlite3.connect(server.server.database, timeout=10)
    with connection:
        connection.execute(sql, values)
    connection.close()


@pytest.mark.parametrize("status", ["paused", "suspended"])
def test_an_agent_that_may_not_work_is_told_so_and_counted_by_address(strict: RestServer, status: str) -> None:
    carl = strict.carl
    row(strict, "UPDATE agents SET status = ? WHERE id = ?", status, carl.id)
    try:
        came = {FROM: f"192.0.2.{len(status)}"}
        response = carl.http.get("/agents/me", headers=came)
        refused(response, 403, "FORBIDDEN", f"Agent {carl.id} is {status}")
        assert remaining(response) == REQUESTS_MAX - 1
    finally:
        row(strict, "UPDATE agents SET status = 'active' WHERE id = ?", carl.id)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestServer]:
    """Small bodies and heads, and no limit of requests that matters."""
    started = on_sqlite(
        tmp_path_factory.mktemp("small"), hive_body_bytes_max=BODY_BYTES_MAX, http_header_bytes_max=HEAD_BYTES_MAX
    )
    started.start()
    yield started
    started.stop()


def test_the_bodys_limit_is_the_setting(small: RestServer) -> None:
    for length, status in ((BODY_BYTES_MAX, 422), (BODY_BYTES_MAX + 1, 413)):
        body = b'{"title": "' + b"x" * (length - 13) + b'"}'
        assert len(body) == length
        assert small.ann.http.post("/tasks", content=body, headers=JSON).status_code == status


async def test_a_head_that_is_too_long_is_refused_in_the_envelope(small: RestServer) -> None:
    long = f"X-Long: {'x' * HEAD_BYTES_MAX}\r\n"
    answer = await say(small.server.http_port, request("/api/v1/tasks", headers=long))
    assert (answer.status, answer.json["error"]["code"]) == (431, "TOO_LARGE")
    assert answer.headers["x-ratelimit-remaining"].isdecimal()
    assert (await say(small.server.http_port, request("/healthz", headers=long))).json["code"] == "TOO_LARGE"


def test_a_defect_is_told_as_one_and_nothing_of_it_is_shown(small: RestServer) -> None:
    small.server.errors_expected |= {"operation.failed"}
    row(small, "UPDATE agents SET capabilities = 'nonsense' WHERE id = ?", small.carl.id)
    response = small.carl.get("/agents/me")
    error = refused(response, 500, "INTERNAL_ERROR")
    assert "nonsense" not in response.text
    assert "Traceback" not in response.text
    assert error["retryable"]
    row(small, "UPDATE agents SET capabilities = '[]' WHERE id = ?", small.carl.id)
    assert small.carl.get("/agents/me").status_code == 200


def test_a_key_that_is_revoked_ends_at_once(small: RestServer) -> None:
    """Between two requests on one connection."""
    carl = small.carl
    assert carl.get("/agents/me").status_code == 200
    row(small, "UPDATE agents SET api_key_hash = NULL, api_key_prefix = NULL WHERE id = ?", carl.id)
    refused(carl.get("/agents/me"), 401, "UNAUTHORIZED")


def test_one_connection_too_many_is_refused_in_the_envelope(tmp_path: Path) -> None:
    crowded = on_sqlite(tmp_path, http_connections_max=1)
    crowded.start()
    try:
        with crowded.stranger() as first, crowded.stranger() as second:
            assert first.get("/nope").status_code == 404
            response = second.get("/tasks")
            refused(response, 503, "TOO_MANY_CONNECTIONS")
            assert response.headers["retry-after"] == "1"
            assert response.headers["connection"] == "close"
    finally:
        crowded.stop()


@pytest.fixture
async def draining(tmp_path: Path) -> AsyncIterator[tuple[App, RestServer]]:
    """A server in this process that has carried out its last order and is about to close its ports."""
    people = on_sqlite(tmp_path)
    await asyncio.to_thread(people.register)
    settings = Settings(database=people.server.database, port=0, http_port=0)
    master_keys, _ = keys.load_master_keys(settings.files, None)
    identity, _ = keys.load_identity(settings.files)
    app = App(settings, identity, master_keys)
    await app.start()
    await app._dispatcher.stop()
    yield app, people
    await app.stop()


async def test_a_server_that_drains_takes_nothing_more(draining: tuple[App, RestServer]) -> None:
    app, people = draining
    header = {"Authorization": f"Bearer {people.keys[0]}"}
    async with httpx.AsyncClient(base_url=f"{app.web.url}/api/v1", headers=header) as client:
        refused(await client.get("/tasks"), 503, "DRAINING")
        response = await client.post("/tasks/1/cancel")
        refused(response, 503, "DRAINING")
        assert response.headers["retry-after"] == "1"
