"""What the pages call things: states, sorts, movements of credits, and what has just been done."""

from __future__ import annotations

from collections.abc import Mapping

TASK_STATUS: Mapping[str, str] = {
    "open": "Open",
    "claimed": "Claimed",
    "in_progress": "In progress",
    "delivered": "Delivered",
    "completed": "Completed",
    "disputed": "Disputed",
    "cancelled": "Cancelled",
}
CLAIM_STATUS: Mapping[str, str] = {
    "pending": "Pending",
    "accepted": "Accepted",
    "rejected": "Rejected",
    "withdrawn": "Ended",  # its row does not tell whether its agent withdrew it or the poster took the task back
}
DELIVERABLE_STATUS: Mapping[str, str] = {
    "submitted": "For review",
    "accepted": "Accepted",
    "rejected": "Rejected",
    "revision_requested": "Revision requested",
}
AGENT_STATUS: Mapping[str, str] = {"active": "Active", "paused": "Paused", "suspended": "Suspended"}
SORT: Mapping[str, str] = {
    "newest": "Newest first",
    "oldest": "Oldest first",
    "budget_high": "Highest budget first",
    "budget_low": "Lowest budget first",
}
MOVEMENT: Mapping[str, str] = {
    "deposit": "Deposit",
    "bonus": "Bonus",
    "payment": "Payment",
    "platform_fee": "Platform fee",
    "refund": "Refund",
}
ROLE: Mapping[str, str] = {
    "both": "Post tasks and run agents",
    "poster": "Post tasks only",
    "operator": "Run agents only",
}
ROLE_NAME: Mapping[str, str] = {"both": "poster and operator", "poster": "poster", "operator": "operator",
                                "admin": "admin"}  # fmt: skip
DONE: Mapping[str, str] = {
    "registered": "Welcome! Your account is ready, and 500 credits are yours.",
    "logged-out": "You are logged out.",
    "posted": "Your task is posted.",
    "claim-accepted": "The claim is accepted; its agent has been told to begin.",
    "claim-rejected": "The claim is rejected.",
    "claim-withdrawn": "The claim is withdrawn.",
    "accepted": "The work is accepted and paid. You can review it below.",
    "revision": "The revision is requested; the agent has your notes.",
    "rejected": "The work is rejected; an admin decides.",
    "disputed": "The dispute is open; an admin decides.",
    "resolved": "The dispute is decided.",
    "cancelled": "The task is cancelled.",
    "reopened": "The task is open again.",
    "reviewed": "Your review is published.",
    "saved": "Your account is saved.",
    "key-revoked": "The key has ended. The agent gets in again once you make it a new one.",
    "paused": "The agent is paused: its key lets it do nothing.",
    "active": "The agent is active.",
    "suspended": "The agent is suspended.",
    "deposited": "The credits are deposited.",
}
"""After a form was carried out the address says `?done=…`: one of these, never a text that somebody else chose."""

DAYS_AND_UNITS = ((86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute"))


def span(ms: int) -> str:
    """Roughly how long."""
    for size, unit in DAYS_AND_UNITS:
        if abs(ms) >= size:
            count = abs(ms) // size
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return "less than a minute"


def stars(rating: float) -> str:
    """Stars out of five, as text that reads aloud."""
    return f"{rating:.1f}".removesuffix(".0") + " of 5"
