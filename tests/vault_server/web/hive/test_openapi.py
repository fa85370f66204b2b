"""The OpenAPI document is whole, is valid, and tells the truth: schemathesis asks a real server, with a real key."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pytest
from fastapi.openapi.models import OpenAPI
from schemathesis.specs.openapi.definitions import OPENAPI_31

from protocol import hive as wire
from protocol.errors import Code
from protocol.hive import HTTP_STATUSES
from tests.house.tree import ROOT
from tests.processes import environment
from tests.vault_server.web.hive.rest_server import RestServer
from vault_server.web.hive import openapi, routes
from vault_server.web.hive.examples import EXAMPLES
from vault_server.web.hive.routes import ROUTES, Route

HOOKS = "tests.vault_server.web.hive.what_a_schema_cannot_say"
SEED = 1
RUN_SECONDS_MAX = 600.0
"""It takes some 20 s of one quiet core; this only ends what hangs."""

EVERY_ROUTE = pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(openapi.text())
    return read


def operation(document: Mapping[str, Any], route: Route) -> dict[str, Any]:
    held: dict[str, Any] = document["paths"][route.path][route.method.lower()]
    return held


def valid(document: Mapping[str, Any], schema: Mapping[str, Any], value: Any) -> bool:
    return jsonschema_rs.is_valid({**schema, "components": document["components"]}, value)


def test_what_agents_can_say_has_a_route_and_what_people_alone_can_say_has_none() -> None:
    routed = [route.order for route in ROUTES]
    assert len(set(routed)) == len(routed)
    assert {*routed, *routes.NOT_FOR_AGENTS} == set(wire.TO_SERVER)
    assert routes.NOT_FOR_AGENTS.isdisjoint(routed)
    assert set(EXAMPLES) == {route.name for route in ROUTES}


@EVERY_ROUTE
def test_a_route_fits_its_messages(route: Route) -> None:
    assert set(route.in_path) <= route.order.SHAPE.names
    assert route.is_question == (route.method == "GET")
    assert route.takes_key != route.is_question
    assert all(code in HTTP_STATUSES for code in route.codes())
    assert (route.method != "DELETE") or not route.given()


def test_it_is_served_to_everybody_as_it_is_written(rest: RestServer, document: Mapping[str, Any]) -> None:
    response = httpx.get(f"{rest.base}/openapi.json")
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert response.json() == document
    assert response.headers["x-ratelimit-remaining"].isdecimal()


def test_it_is_openapi(document: Mapping[str, Any]) -> None:
    jsonschema_rs.validate(OPENAPI_31, document)
    OpenAPI.model_validate(document)
    assert len(openapi.text()) < 250_000


def test_it_names_every_route_and_nothing_else(document: Mapping[str, Any]) -> None:
    named = {(path, method) for path, methods in document["paths"].items() for method in methods}
    assert named == {(route.path, route.method.lower()) for route in ROUTES}


@EVERY_ROUTE
def test_it_says_how_each_route_can_end(document: Mapping[str, Any], route: Route) -> None:
    responses = operation(document, route)["responses"]
    wanted = {str(int(route.status)), "431", *(str(HTTP_STATUSES[code]) for code in route.codes())}
    assert set(responses) == wanted
    for status, response in responses.items():
        whole = (
            document["components"]["responses"][response["$ref"].rpartition("/")[2]] if "$ref" in response else response
        )
        assert {"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"} <= set(whole["headers"])
        assert ("Retry-After" in whole["headers"]) == (status == str(int(HTTPStatus.TOO_MANY_REQUESTS)))
        content = whole["content"]["application/json"]
        assert valid(document, content["schema"], content["example"]), content["example"]


@EVERY_ROUTE
def test_examples_fit_and_one_field_more_does_not(document: Mapping[str, Any], route: Route) -> None:
    held = operation(document, route)
    if "requestBody" not in held:
        assert route.method in ("GET", "DELETE")
        return
    content = held["requestBody"]["content"]["application/json"]
    example = content.get("example", {})
    assert valid(document, content["schema"], example)
    assert not valid(document, content["schema"], example | {"status": "completed"})


def test_every_code_of_the_hive_is_met_somewhere_or_belongs_to_people() -> None:
    elsewhere = {
        Code.NOT_FOUND, Code.METHOD_NOT_ALLOWED,  # of no route
        Code.USER_NOT_FOUND, Code.EMAIL_TAKEN, Code.MAX_AGENTS,  # of people
        Code.QUEUE_FULL,  # of the socket
    }  # fmt: skip
    met = {code for route in ROUTES for code in route.codes()}
    assert met | elsewhere == set(HTTP_STATUSES)


def test_schemathesis_finds_nothing(rest: RestServer, tmp_path: Path) -> None:
    """All of its phases and checks, positive and negative, over HTTP; the same requests each time."""
    rest.task()
    config = tmp_path / "schemathesis.toml"
    config.write_text(f'hooks = "{HOOKS}"\nheaders = {{ Authorization = "Bearer ${{HIVE_KEY}}" }}\n')
    bounds = ["--seed", str(SEED), "--max-examples", "2", "--workers", "1", "--generation-database", "none"]
    command = ["--config-file", str(config), "run", f"{rest.base}/openapi.json", *bounds, "--continue-on-failure"]
    done = subprocess.run(
        [str(Path(sys.executable).parent / "schemathesis"), *command, "--warnings", "off", "--checks", "all"],
        cwd=tmp_path,
        env=environment() | {"HIVE_KEY": rest.ann.key, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert f"Tested: {len(ROUTES)}" in done.stdout
    for phase in ("Examples", "Coverage", "Fuzzing", "Stateful"):
        assert f"✅ {phase}" in done.stdout
