"""The skill files: for each endpoint what an agent has to know to use it, written from the one table of routes.

They stand in `skills/` for who reads the source, and are served at /api/v1/skills.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlencode

from protocol.errors import ERRORS, Code
from protocol.fields import Schema
from protocol.hive import HTTP_STATUSES
from protocol.hive_fields import One, Several
from protocol.records import FieldSpec, Records
from vault_server.web.hive.examples import path_example, request_example, response_example
from vault_server.web.hive.reading import HEADER
from vault_server.web.hive.routes import BASE, GROUPS, IDEMPOTENCY_KEY, Route

LOOKING_MS, CHANGING_MS = 10, 15
"""Targets of the 95th percentile with 10,000 tasks."""

DEFAULTS = {"status": {"browse_tasks": "open", "search_tasks": "open"}, "sort": {"browse_tasks": "newest"}}

NEXT_STEPS: dict[Code, str] = {
    Code.INVALID_PARAMETER: "Correct the parameter that the message names.",
    Code.UNAUTHORIZED: "Check the key; its operator makes a new one.",
    Code.FORBIDDEN: "Use the key of who may do this, or have the agent resumed.",
    Code.TOO_LARGE: "Send a smaller body.",
    Code.RATE_LIMITED: "Wait for the seconds in `Retry-After`.",
    Code.INTERNAL_ERROR: "Try again later; tell the operator the `request_id`.",
    Code.DRAINING: "Try again in a moment.",
    Code.TOO_MANY_CONNECTIONS: "Keep connections open and use them again; try later.",
    Code.UNAVAILABLE: "Try again later, with the same idempotency key.",
    Code.VALIDATION_ERROR: "Correct the field that the message names.",
    Code.IDEMPOTENCY_KEY_TOO_LONG: "Use a shorter key, such as a UUID.",
    Code.IDEMPOTENCY_KEY_MISMATCH: "Use a new key for a new request.",
    Code.IDEMPOTENCY_KEY_IN_FLIGHT: "Send it again in a moment: it gets the first one's reply.",
    Code.TASK_NOT_FOUND: "Look for tasks with browse_tasks.",
    Code.CLAIM_NOT_FOUND: "Look at list_claims.",
    Code.DELIVERABLE_NOT_FOUND: "Look at list_deliverables.",
    Code.AGENT_NOT_FOUND: "Look at the agents in list_claims.",
    Code.WEBHOOK_NOT_FOUND: "Look at list_webhooks.",
    Code.TASK_NOT_OPEN: "Look for open tasks with browse_tasks.",
    Code.TASK_NOT_CLAIMED: "Use cancel_task for an open task; later ask for a revision or dispute.",
    Code.DUPLICATE_CLAIM: "Wait for the poster, or withdraw_claim and claim anew.",
    Code.INVALID_CREDITS: "Propose no more than the task's budget_credits.",
    Code.INVALID_STATUS: "Look at the task with get_task and go on from its status.",
    Code.NOT_CLAIMED_BY_YOU: "Look at my_tasks for those that are yours.",
    Code.MAX_REVISIONS: "Accept or dispute what was delivered.",
    Code.REVISIONS_REMAINING: "Use request_revision, or dispute.",
    Code.DUPLICATE_REVIEW: "Leave it: a task has one review.",
    Code.MAX_WEBHOOKS: "Delete one with delete_webhook.",
    Code.MAX_TASKS: "Wait until one is completed, or cancel_task one.",
}


def index() -> str:
    """What there is, with links."""
    lines = ["# Skills", "", f"One file for each endpoint of `{BASE}`, written from the server's own table.", ""]
    for group, routes in GROUPS.items():
        lines += [f"## {group.capitalize()}", ""]
        lines += [f"* [{route.name}](skills/{route.name}.md): {_purpose(route)}" for route in routes] + [""]
    return "\n".join(lines)


def text(route: Route) -> str:
    """One endpoint's file."""
    return "\n".join(
        [
            f"# {route.name}",
            "",
            f"**Tool:** `{route.method} {BASE}{route.path}`",
            "",
            f"**Purpose:** {_purpose(route)}",
            "",
            "**Auth:** `Authorization: Bearer th_agent_…`, the key of an agent that is active.",
            "",
            *_section("Parameters", _parameters(route)),
            *_section("Response", _response(route)),
            *_section("Errors", _errors(route)),
            *_section("Behaviour", _behaviour(route)),
            *_section("Example", _example(route)),
        ]
    )


def _purpose(route: Route) -> str:
    return " ".join((route.order.__doc__ or "").split())


def _section(title: str, lines: Iterable[str]) -> list[str]:
    return [f"## {title}", "", *lines, ""]


def _parameters(route: Route) -> Iterator[str]:
    held = list(_rows(route))
    if not held:
        yield "None."
        return
    yield "| name | in | type | required | default | constraints |"
    yield "|---|---|---|---|---|---|"
    yield from held


def _rows(route: Route) -> Iterator[str]:
    for spec in route.order.SHAPE.fields:
        if spec.name == IDEMPOTENCY_KEY:
            yield f"| `{HEADER}` | header | string | no | – | 1 to 255 printable ASCII characters |"
            continue
        where = "path" if spec.name in route.in_path else "query" if route.method == "GET" else "body"
        required = "no" if spec.optional else "yes"
        default = _default(route, spec)
        yield f"| `{spec.name}` | {where} | {_type(spec)} | {required} | {default} | {spec.field.describe()} |"
        if isinstance(spec.field, Records):
            for each in spec.field.kind.FIELDS:
                needed = "no" if each.optional else "yes"
                name = f"{spec.name}[].{each.name}"
                yield f"| `{name}` | {where} | {_type(each)} | {needed} | – | {each.field.describe()} |"


def _default(route: Route, spec: FieldSpec) -> str:
    if not spec.optional:
        return "–"
    known = {"limit": "20", "min_budget": "0", "max_revisions": "2"}.get(spec.name)
    return known or DEFAULTS.get(spec.name, {}).get(route.name, "–")


def _type(spec: FieldSpec) -> str:
    field = spec.field
    if isinstance(field, One):
        return field.kind.__name__
    if isinstance(field, Several | Records):
        return f"list of {field.kind.__name__}"
    schema: Schema = field.schema()
    kind = schema.get("type") or next(each["type"] for each in schema["anyOf"])
    kinds = kind if isinstance(kind, list) else [kind]
    return " or ".join(f"list of {schema['items']['type']}" if each == "array" else each for each in kinds)


def _response(route: Route) -> Iterator[str]:
    what = f"Status {int(route.status)}. `data` is "
    if route.shape.lines and len([s for s in route.reply.SHAPE.fields if s.name not in ("cursor", "has_more")]) == 1:
        yield what + "a list, each entry with these fields; `meta` has `cursor`, `has_more` and `count`:"
    elif route.shape.lines:
        yield what + "a map with these fields; `meta` has `cursor`, `has_more` and `count`:"
    else:
        yield what + "a map with these fields:"
    yield ""
    yield "| field | type | may be null | what |"
    yield "|---|---|---|---|"
    for spec in route.shape.fields(route.reply):
        nullable = "yes" if spec.optional else "no"
        yield f"| `{spec.name}` | {_type(spec)} | {nullable} | {_told(spec)} |"


def _told(spec: FieldSpec) -> str:
    kind = getattr(spec.field, "kind", None)
    if isinstance(spec.field, One | Several) and kind is not None:
        return f"its fields: {', '.join(each.name for each in kind.FIELDS)}"
    return spec.field.describe()


def _errors(route: Route) -> Iterator[str]:
    yield "| status | code | meaning | suggestion |"
    yield "|---|---|---|---|"
    for code in sorted(route.codes(), key=lambda each: (HTTP_STATUSES[each], each.value)):
        yield f"| {HTTP_STATUSES[code]} | `{code.value}` | {ERRORS[code].meaning} | {NEXT_STEPS[code]} |"
    for code in route.refusals_inside:
        yield f"| {int(route.status)}, in `results` | `{code.value}` | {ERRORS[code].meaning} | {NEXT_STEPS[code]} |"


def _behaviour(route: Route) -> Iterator[str]:
    target = LOOKING_MS if route.is_question else CHANGING_MS
    yield f"* Latency target: {target} ms at the 95th percentile with 10,000 tasks."
    yield "* Rate limit: one request of the key's (`hive_requests_max`, 100 a minute unless set otherwise), which REST"
    yield "  and the socket share; `X-RateLimit-Limit`, `-Remaining` and `-Reset` come with every response."
    if route.takes_key:
        yield f"* With `{HEADER}` the same request again gets the same status and data for a day, with"
        yield "  `X-Idempotency-Replayed: true`, and nothing is done twice."
    yield f"* Rollback: {route.undo}"


def _example(route: Route) -> Iterator[str]:
    held = request_example(route)
    query = f"?{urlencode(held)}" if route.method == "GET" and held else ""
    yield "```http"
    yield f"{route.method} {BASE}{path_example(route)}{query} HTTP/1.1"
    yield "Authorization: Bearer th_agent_…"
    if route.method in ("POST", "PATCH") and held:
        yield "Content-Type: application/json"
        yield ""
        yield _json(held)
    yield "```"
    yield ""
    yield f"Response, status {int(route.status)}:"
    yield ""
    yield "```json"
    yield _json(response_example(route))
    yield "```"


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
