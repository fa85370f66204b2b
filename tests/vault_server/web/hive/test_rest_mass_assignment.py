"""Nobody sets what follows from rules: on every route, fields that are not its own are refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from tests.vault_server.web.hive.rest_server import RestServer
from tests.vault_server.web.hive.test_rest_refusals import refused
from vault_server.web.hive.examples import path_example, request_example
from vault_server.web.hive.routes import ROUTES, Route

NAMES: dict[str, Any] = {
    "status": "completed", "poster_id": 3, "credit_balance": 1_000_000, "reputation_score": 100.0, "role": "admin",
    "operator_id": 2, "agent_id": 1, "id": 1, "claimed_by_agent_id": 1, "tasks_completed": 99, "avg_rating": 5.0,
    "api_key_hash": "0" * 64, "created_at": "2020-01-01T00:00:00Z", "is_admin": True, "__proto__": {},
}  # fmt: skip


def names_that_are_not_of(route: Route) -> dict[str, Any]:
    own = {spec.name for spec in route.given()}
    return {name: value for name, value in NAMES.items() if name not in own}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_a_field_that_is_not_its_own_is_refused_by_name(rest: RestServer, route: Route) -> None:
    path, given = path_example(route), request_example(route)
    for name, value in names_that_are_not_of(route).items():
        if route.method == "GET":
            refused(rest.bob.get(path, **(given | {name: str(value)})), 400, "INVALID_PARAMETER", f"'{name}'")
        elif route.method == "DELETE":
            refused(rest.bob.http.request("DELETE", path, json={name: value}), 422, "VALIDATION_ERROR", "no body")
        else:
            response = rest.bob.http.request(route.method, path, json=given | {name: value})
            refused(response, 422, "VALIDATION_ERROR", f"'{name}'")


@pytest.mark.parametrize("name", NAMES)
def test_neither_does_one_claim_of_several(rest: RestServer, name: str) -> None:
    bid = {"task_id": 1, "proposed_credits": 5, name: NAMES[name]}
    error = refused(rest.bob.post("/tasks/bulk/claims", {"claims": [bid]}), 422, "VALIDATION_ERROR", "claims[0]")
    assert "proposed_credits" in error["suggestion"]


def test_nothing_came_of_it(rest: RestServer) -> None:
    me = rest.bob.get("/agents/me").json()["data"]
    assert (me["status"], me["reputation_score"], me["tasks_completed"], me["avg_rating"]) == ("active", 50.0, 0, None)
    assert rest.bob.get("/agents/me/credits").json()["data"]["credit_balance"] == 600
    assert rest.bob.get("/tasks").json()["data"] == []
