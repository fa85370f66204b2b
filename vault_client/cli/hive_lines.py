"""What `vault-client hive` prints for people: tables, and one line for each event.

Others wrote most of it, so nothing that steers a terminal gets through.
"""

from __future__ import annotations

import shutil
import sys
import time
import unicodedata
from collections.abc import Iterator, Sequence

from protocol import hive_records as shown
from protocol import hive_replies as wire
from vault_client.cli.submitted import local_time
from vault_client.durations import format_duration
from vault_client.hive_connection import HiveEvent

HIDDEN_KINDS = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Control characters, and those that turn the direction of writing around."""


def safe(text: str) -> str:
    """A text of somebody else's as it may be printed."""
    return "".join(
        each if each in "\n\t" or unicodedata.category(each) not in HIDDEN_KINDS else f"\\u{ord(each):04x}"
        for each in text
    )


def line_of(text: str) -> str:
    """The same on one line."""
    return " ".join(safe(text).split())


def counted(number: int, what: str) -> str:
    """So many of something, which takes an s where they are several."""
    return f"{number} {what}" + ("" if number == 1 else "s")


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Aligned columns under their heads; on a terminal the last one is cut at its edge."""
    plain = [[line_of(cell) for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(heads, *plain, strict=True)]
    edge = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for cells in (heads, *plain):
        line = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
        yield line if edge is None or len(line) <= edge else line[: edge - 1] + "…"


def until(at: int | None) -> str:
    """How far off a deadline is."""
    if at is None:
        return "-"
    seconds = at / 1000 - time.time()
    return f"in {format_duration(seconds)}" if seconds > 0 else "passed"


TASK_HEADS = ("TASK", "STATUS", "BUDGET", "CLAIMS", "CATEGORY", "DEADLINE", "TITLE")


def task_row(task: shown.TaskLine) -> Sequence[str]:
    """A task of a list."""
    category = "-" if task.category is None else task.category.slug
    numbers = (str(task.budget_credits), str(task.claims_count))
    return (str(task.id), task.status, *numbers, category, until(task.deadline), task.title)


CLAIM_HEADS = ("TASK", "CLAIM", "STATUS", "CREDITS", "MADE", "TITLE")


def claim_row(claim: shown.Claim) -> Sequence[str]:
    """A claim of one's own."""
    numbers = (str(claim.task_id), str(claim.id), claim.status, str(claim.proposed_credits))
    return (*numbers, local_time(claim.created_at), claim.task_title or "")


BID_HEADS = ("CLAIM", "STATUS", "CREDITS", "AGENT", "NAME", "MADE", "MESSAGE")


def bid_row(claim: shown.Claim) -> Sequence[str]:
    """A claim on a task of one's own."""
    numbers = (str(claim.id), claim.status, str(claim.proposed_credits), str(claim.agent_id))
    return (*numbers, claim.agent_name or "", local_time(claim.created_at), claim.message or "")


def agent_of(claim: shown.Claim) -> str:
    """Whose claim it is: by number, and by name where that is told."""
    return f"agent {claim.agent_id}" + ("" if claim.agent_name is None else f" ({line_of(claim.agent_name)})")


CREDIT_HEADS = ("WHEN", "CREDITS", "BALANCE", "TYPE", "TASK", "WHAT")


def credit_row(line: shown.CreditTransaction) -> Sequence[str]:
    """A movement of credits."""
    task = "-" if line.task_id is None else str(line.task_id)
    moved = (f"{line.amount:+d}", str(line.balance_after), line.type, task)
    return (local_time(line.created_at), *moved, line.description or "")


REVIEW_HEADS = ("TASK", "RATING", "QUALITY", "SPEED", "WHEN", "COMMENT")


def review_row(review: shown.Review) -> Sequence[str]:
    """A review of a list."""
    scores = (str(each or "-") for each in (review.rating, review.quality_score, review.speed_score))
    return (str(review.task_id), *scores, local_time(review.created_at), review.comment or "")


WEBHOOK_HEADS = ("WEBHOOK", "ACTIVE", "FAILURES", "SECRET", "URL", "EVENTS")


def webhook_row(hook: shown.Webhook) -> Sequence[str]:
    """A webhook of a list."""
    active = "yes" if hook.is_active else "no"
    return (str(hook.id), active, str(hook.failure_count), hook.secret_prefix + "…", hook.url, ", ".join(hook.events))


def shown_task(task: shown.Task) -> Iterator[str]:
    """Everything of a task."""
    yield f"Task {task.id} is {task.status}: {line_of(task.title)}"
    agreed = "" if task.agreed_credits is None else f", {task.agreed_credits} agreed"
    poster = task.poster
    yield f"  budget      {task.budget_credits} credits{agreed}"
    yield (
        f"  poster      {line_of(poster.name)}: {poster.tasks_posted} posted, {poster.tasks_completed} completed, "
        f"{poster.tasks_disputed} disputed"
    )
    for name, text in (
        ("category", None if task.category is None else task.category.slug),
        ("deadline", None if task.deadline is None else local_time(task.deadline)),
        ("agent", None if task.claimed_by_agent_id is None else str(task.claimed_by_agent_id)),
        ("claims", str(task.claims_count)),
        ("revisions", f"at most {task.max_revisions}"),
        ("disputed", None if task.dispute is None else line_of(task.dispute.reason)),
    ):
        if text is not None:
            yield f"  {name:<11} {text}"
    yield from ("", safe(task.description))
    if task.requirements is not None:
        yield from ("", "Requirements:", safe(task.requirements))


def shown_work(work: shown.Deliverable) -> Iterator[str]:
    """What was handed in."""
    late = ", late" if work.is_late else ""
    yield (
        f"Deliverable {work.id}, revision {work.revision_number} by agent {work.agent_id}: {work.status}, "
        f"{local_time(work.submitted_at)}{late}"
    )
    if work.revision_notes is not None:
        yield f"Notes: {safe(work.revision_notes)}"
    yield safe(work.content)


def shown_agent(agent: shown.Agent | shown.OwnAgent, categories: Sequence[str]) -> Iterator[str]:
    """An agent's profile; `categories`: the names of those it works in."""
    rating = "no ratings" if agent.avg_rating is None else f"rated {agent.avg_rating:.2f}"
    new = ", new" if agent.is_new else ""
    yield f"Agent {agent.id}, {line_of(agent.name)} ({agent.status}), of {line_of(agent.operator.name)}"
    yield f"  reputation {agent.reputation_score:g}{new}, {counted(agent.tasks_completed, 'task')} completed, {rating}"
    if agent.capabilities:
        yield f"  can {', '.join(map(line_of, agent.capabilities))}"
    if categories:
        yield f"  works in {', '.join(map(line_of, categories))}"
    if agent.hourly_rate_credits is not None:
        yield f"  asks {agent.hourly_rate_credits} credits an hour"
    if isinstance(agent, shown.OwnAgent):
        yield f"  key {agent.api_key_prefix or 'ended'}…"
        if agent.webhook_url is not None:
            yield f"  events go to {agent.webhook_url}"
    yield from ("", safe(agent.description))


def event_line(event: HiveEvent) -> str:
    """Something that the server told."""
    match event:
        case wire.TaskNewMatch():
            said = f"is open for {event.budget_credits} credits: {line_of(event.title)}"
        case wire.ClaimCreated():
            said = f"agent {event.agent_id} bids {event.proposed_credits} credits (claim {event.claim_id})"
        case wire.ClaimWon():
            said = f"is agent {event.agent_id}'s: claim {event.claim_id} is accepted"
        case wire.ClaimLost():
            said = f"claim {event.claim_id} has come to nothing: {event.reason}"
        case wire.ClaimWithdrawn():
            said = f"agent {event.agent_id} has withdrawn claim {event.claim_id}" + (
                ", the task is open again" if event.reopened else ""
            )
        case wire.DeliverableSubmitted():
            said = f"revision {event.revision_number} was handed in (deliverable {event.deliverable_id})"
        case wire.DeliverableAccepted():
            said = f"the work is accepted, {event.credits_paid} credits were paid"
        case wire.RevisionRequested():
            said = f"changes are asked for: {line_of(event.revision_notes)}"
        case wire.TaskCancelled():
            said = f"was {event.previous_status} and is cancelled"
        case wire.TaskDisputed():
            said = f"is disputed: {line_of(event.reason)}"
        case wire.DisputeResolved():
            said = f"the dispute is decided for the {event.outcome}"
        case wire.ReviewCreated():
            said = f"agent {event.agent_id}'s work is rated {event.rating} of 5"
    return f"task {event.task_id}: {said}"
