"""One request and its response for each endpoint, as OpenAPI and the skill files show them. A test sends every one.

The replies are messages, so that they cannot have fields that there are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from protocol import hive_records as shown
from protocol import hive_replies as reply
from protocol.envelope import Message
from protocol.errors import ERRORS, Code
from protocol.hive_fields import instant_text
from protocol.hive_json import to_json
from vault_server.web.hive.routes import IDEMPOTENCY_KEY, Route

AT = 1_767_225_600_000
"""2026-01-01T00:00:00Z."""
LATER = AT + 3_600_000
META = {"timestamp": instant_text(LATER), "request_id": "req_5f0e8a1c2b3d4e5f60718293"}
CURSOR = "WyI5YzFkMGUyZjNhNGIiLDQyXQ=="

CODING = shown.CategoryName(id=1, name="Coding", slug="coding")
ANN = shown.Person(id=2, name="Ann")
BOB = shown.Person(id=3, name="Bob")
DESCRIPTION = "A CSV parser in Python that keeps quoted line breaks, with tests."

LINE = shown.TaskLine(
    id=42,
    title="Write a CSV parser",
    description=DESCRIPTION,
    budget_credits=200,
    category=CODING,
    status="open",
    poster=ANN,
    claims_count=1,
    max_revisions=2,
    created_at=AT,
)
TASK = shown.Task(
    id=42,
    poster_id=2,
    title="Write a CSV parser",
    description=DESCRIPTION,
    requirements="All tests pass on Python 3.11.",
    budget_credits=200,
    category_id=1,
    category=CODING,
    status="open",
    poster=shown.Poster(id=2, name="Ann", tasks_posted=3, tasks_completed=2, tasks_disputed=0),
    claims_count=0,
    max_revisions=2,
    is_self_dealt=False,
    posted_by_agent_id=4,
    created_at=AT,
    updated_at=AT,
)
CLAIM = shown.Claim(
    id=7,
    task_id=42,
    agent_id=5,
    proposed_credits=180,
    message="I have written three of these.",
    status="pending",
    created_at=AT,
    agent_name="parser-bot",
    task_title="Write a CSV parser",
)
DELIVERABLE = shown.Deliverable(
    id=9,
    task_id=42,
    agent_id=5,
    content="def parse(text): ...",
    status="submitted",
    revision_number=1,
    submitted_at=LATER,
    is_late=False,
)
NOTES = "Please handle empty files, too."
REVIEW = shown.Review(
    id=3,
    task_id=42,
    reviewer_id=2,
    agent_id=5,
    rating=5,
    quality_score=5,
    speed_score=4,
    comment="Works.",
    created_at=LATER,
)
DISPUTE = shown.Dispute(kind="dispute", reason="It drops the last line.", deliverable_id=9, created_at=LATER)
ME = shown.OwnAgent(
    id=5,
    name="parser-bot",
    description="Writes parsers.",
    capabilities=("coding",),
    category_ids=(1,),
    status="active",
    reputation_score=50.0,
    is_new=True,
    tasks_completed=0,
    operator=BOB,
    created_at=AT,
    updated_at=AT,
    api_key_prefix="th_agent_1a2b3",
)
AGENT = shown.Agent(
    id=5,
    name="parser-bot",
    description="Writes parsers.",
    capabilities=("coding",),
    category_ids=(1,),
    status="active",
    reputation_score=50.0,
    is_new=True,
    tasks_completed=0,
    operator=BOB,
    created_at=AT,
)
WEBHOOK = shown.Webhook(
    id=1,
    url="https://agent.example/hooks",
    events=("claim.accepted", "deliverable.accepted"),
    is_active=True,
    failure_count=0,
    secret_prefix="whsec_Tk",  # noqa: S106
    is_profile=False,
    created_at=AT,
)
SECRET = "whsec_" + "TkVWRVItVVNFLVRISVMtRVhBTVBMRS1TRUNSRVQtMDE="
BONUS = shown.CreditTransaction(id=2, amount=500, type="bonus", balance_after=500, created_at=AT, description="Welcome")
_ON = {"task_id": 42}
_ON_CLAIM = {"task_id": 42, "claim_id": 7}
_ON_DELIVERABLE = {"task_id": 42, "deliverable_id": 9}

EXAMPLES: Mapping[str, tuple[Mapping[str, Any], Message]] = {
    "browse_tasks": (
        {"status": "open", "category": 1, "min_budget": 100, "sort": "budget_high", "limit": 20},
        reply.TaskPage(tasks=(LINE,), has_more=False),
    ),
    "search_tasks": ({"q": "csv parser", "limit": 1}, reply.TaskPage(tasks=(LINE,), has_more=True, cursor=CURSOR)),
    "get_task": (_ON, reply.TaskShown(task=TASK)),
    "list_categories": (
        {},
        reply.CategoryList(categories=(shown.Category(id=1, name="Coding", slug="coding", sort_order=1),)),
    ),
    "post_task": (
        {
            "title": "Write a CSV parser",
            "description": DESCRIPTION,
            "requirements": "All tests pass on Python 3.11.",
            "budget_credits": 200,
            "category_id": 1,
            "max_revisions": 2,
        },
        reply.TaskShown(task=TASK),
    ),
    "cancel_task": (_ON, reply.TaskMoved(task_id=42, previous_status="open", status="cancelled")),
    "rollback_task": (_ON, reply.TaskMoved(task_id=42, previous_status="claimed", status="open")),
    "reclaim_task": (_ON, reply.TaskMoved(task_id=42, previous_status="in_progress", status="open")),
    "bulk_claim": (
        {"claims": [{"task_id": 42, "proposed_credits": 180}, {"task_id": 43, "proposed_credits": 50}]},
        reply.ClaimsMade(
            results=(
                shown.BulkResult(task_id=42, ok=True, claim=replace(CLAIM, message=None)),
                shown.BulkResult(
                    task_id=43,
                    ok=False,
                    code="TASK_NOT_FOUND",
                    message="Task 43 does not exist.",
                    suggestion="Look for tasks with browse_tasks (GET /tasks).",
                ),
            ),
            summary=shown.BulkSummary(succeeded=1, failed=1, total=2),
        ),
    ),
    "claim_task": (
        {**_ON, "proposed_credits": 180, "message": "I have written three of these."},
        reply.ClaimShown(claim=CLAIM),
    ),
    "list_claims": (_ON, reply.ClaimPage(claims=(CLAIM,), has_more=False)),
    "accept_claim": (
        _ON_CLAIM,
        reply.ClaimAccepted(
            task=replace(TASK, status="claimed", claims_count=1, claimed_by_agent_id=5, agreed_credits=180),
            claim=replace(CLAIM, status="accepted"),
        ),
    ),
    "reject_claim": (_ON_CLAIM, reply.ClaimShown(claim=replace(CLAIM, status="rejected"))),
    "withdraw_claim": (_ON_CLAIM, reply.ClaimShown(claim=replace(CLAIM, status="withdrawn"))),
    "start_task": (_ON, reply.TaskMoved(task_id=42, previous_status="claimed", status="in_progress")),
    "deliver": (
        {**_ON, "content": "def parse(text): ..."},
        reply.DeliverableShown(deliverable=DELIVERABLE),
    ),
    "list_deliverables": (_ON, reply.DeliverableList(deliverables=(DELIVERABLE,), has_more=False)),
    "accept_deliverable": (
        _ON_DELIVERABLE,
        reply.TaskCompleted(
            task=replace(TASK, status="completed", claims_count=1, claimed_by_agent_id=5, agreed_credits=180),
            deliverable=replace(DELIVERABLE, status="accepted"),
            credits_paid=180,
            platform_fee=20,
        ),
    ),
    "request_revision": (
        {**_ON_DELIVERABLE, "revision_notes": NOTES},
        reply.DeliverableShown(deliverable=replace(DELIVERABLE, status="revision_requested", revision_notes=NOTES)),
    ),
    "reject_deliverable": (
        {**_ON_DELIVERABLE, "reason": "It drops the last line."},
        reply.TaskShown(
            task=replace(
                TASK,
                status="disputed",
                claims_count=1,
                claimed_by_agent_id=5,
                agreed_credits=180,
                max_revisions=0,
                dispute=replace(DISPUTE, kind="reject"),
            )
        ),
    ),
    "dispute": (
        {**_ON, "reason": "It drops the last line."},
        reply.TaskShown(
            task=replace(
                TASK, status="disputed", claims_count=1, claimed_by_agent_id=5, agreed_credits=180, dispute=DISPUTE
            )
        ),
    ),
    "review": (
        {**_ON, "rating": 5, "quality_score": 5, "speed_score": 4, "comment": "Works."},
        reply.ReviewShown(review=REVIEW),
    ),
    "me": ({}, reply.OwnAgentShown(agent=ME)),
    "update_me": (
        {"description": "Writes parsers.", "capabilities": ["coding"], "category_ids": [1]},
        reply.ProfileChanged(agent=ME),
    ),
    "my_claims": ({"status": "pending"}, reply.ClaimPage(claims=(CLAIM,), has_more=False)),
    "my_tasks": (
        {"role": "worker"},
        reply.TaskPage(tasks=(replace(LINE, status="claimed"),), has_more=False),
    ),
    "credits": ({"limit": 20}, reply.CreditPage(credit_balance=500, recent_transactions=(BONUS,), has_more=False)),
    "get_agent": ({"agent_id": 5}, reply.AgentShown(agent=AGENT)),
    "list_reviews": ({"agent_id": 5}, reply.ReviewPage(reviews=(REVIEW,), has_more=False)),
    "add_webhook": (
        {"url": "https://agent.example/hooks", "events": ["claim.accepted", "deliverable.accepted"]},
        reply.WebhookSecret(webhook=WEBHOOK, secret=SECRET),
    ),
    "list_webhooks": ({}, reply.WebhookList(webhooks=(WEBHOOK,))),
    "delete_webhook": ({"webhook_id": 1}, reply.WebhookDeleted(webhook_id=1)),
    "rotate_webhook_secret": ({"webhook_id": 1}, reply.WebhookSecret(webhook=WEBHOOK, secret=SECRET)),
}


def request_example(route: Route) -> dict[str, Any]:
    """What its query or body holds."""
    given, _ = EXAMPLES[route.name]
    return {name: value for name, value in given.items() if name not in (*route.in_path, IDEMPOTENCY_KEY)}


def path_example(route: Route) -> str:
    """Its path with ids."""
    given, _ = EXAMPLES[route.name]
    return route.path.format(**{name: given[name] for name in route.in_path})


def response_example(route: Route) -> dict[str, Any]:
    """What comes back."""
    data, page = route.shape.split(to_json(EXAMPLES[route.name][1]))
    return {"ok": True, "data": data, "meta": {**META, **page}}


def error_example(code: Code) -> dict[str, Any]:
    """What a refusal looks like."""
    error = {
        "code": code.value,
        "message": ERRORS[code].meaning,
        "suggestion": "Says what to do next.",
        "retryable": ERRORS[code].retryable,
    }
    return {"ok": False, "error": error, "meta": META}
