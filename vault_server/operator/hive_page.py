"""What `explain hive:TASK` prints: who posted, who bid, what was handed in, how it ended, what it earned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from vault_server.operator.pages import STATE_STYLES, table
from vault_server.operator.times import moment, second, span

PREFIX = "hive:"
"""Tasks of the hive have numbers; with this before it a number is one of them."""

Explained = Mapping[str, Any]


def hive_page(task: Explained) -> Group:
    """The whole page."""
    return Group(*_parts(task))


def _parts(task: Explained) -> Iterator[RenderableType]:
    status = Text(task["status"], STATE_STYLES.get(task["status"], ""))
    yield Text.assemble((f"Hive task {task['id']} ", "bold"), f"({task['title']}) is ", status)
    yield Padding(_facts(task), (0, 0, 0, 2))
    for heading, rows in (
        ("Claims", _claims(task)),
        ("Deliverables", _deliverables(task)),
        ("Credits", _credits(task)),
        ("Scores that moved", _scores(task)),
    ):
        if rows.row_count:
            yield Text()
            yield Text(heading, "bold")
            yield Padding(rows, (0, 0, 0, 2))


def _facts(task: Explained) -> Table:
    made = Table.grid(padding=(0, 2, 0, 0))
    made.add_column(style="dim", no_wrap=True)
    made.add_column()
    by = "" if task["posted_by_agent_id"] is None else f", by agent {task['posted_by_agent_id']}"
    made.add_row("posted by", f"user {task['poster_id']}{by}")
    made.add_row("budget", f"{task['budget_credits']:,} credits")
    made.add_row("created", f"{moment(task['created_at'])} UTC")
    if task["deadline"] is not None:
        made.add_row("deadline", f"{second(task['deadline'])}, {span(task['deadline'] - task['created_at'])} later")
    if task["claimed_by_agent_id"] is not None:
        made.add_row("agent", str(task["claimed_by_agent_id"]))
    made.add_row("changed", moment(task["updated_at"]))
    dispute, review = task["dispute"], task["review"]
    if dispute:
        made.add_row("disputed", f"{moment(dispute['created_at'])} ({dispute['kind']})")
    if dispute and dispute["outcome"] is not None:
        made.add_row(
            "decided",
            f"{moment(dispute['resolved_at'])} for the {dispute['outcome']}, by user {dispute['resolved_by']}",
        )
    if review:
        made.add_row("reviewed", f"{moment(review['created_at'])}: {review['rating']} of 5")
    return made


def _claims(task: Explained) -> Table:
    made = table("number", "agent", "credits", "status", "at", right="number agent credits")
    for row in task["claims"]:
        status = row["status"] + (" (given up)" if row["is_abandoned"] else "")
        made.add_row(
            str(row["id"]), str(row["agent_id"]), f"{row['proposed_credits']:,}", status, moment(row["created_at"])
        )
    return made


def _deliverables(task: Explained) -> Table:
    made = table("number", "agent", "attempt", "characters", "status", "at", right="number agent attempt characters")
    for row in task["deliverables"]:
        late = " (late)" if task["deadline"] is not None and row["submitted_at"] > task["deadline"] else ""
        made.add_row(
            str(row["id"]),
            str(row["agent_id"]),
            str(row["revision_number"]),
            f"{row['characters']:,}",
            row["status"],
            moment(row["submitted_at"]) + late,
        )
    return made


def _credits(task: Explained) -> Table:
    made = table("number", "user", "type", "amount", "balance", "at", right="number user amount balance")
    for row in task["credits"]:
        amount = f"{row['amount']:+,}" if row["amount"] else "0"
        balance = f"{row['balance_after']:,}"
        made.add_row(str(row["id"]), str(row["user_id"]), row["type"], amount, balance, moment(row["created_at"]))
    return made


def _scores(task: Explained) -> Table:
    made = table("agent", "change", "after", "reason", right="agent change after")
    for row in task["scores"]:
        change = Text(f"{row['score_change']:+.2f}", "green" if row["score_change"] > 0 else "red")
        made.add_row(str(row["agent_id"]), change, f"{row['score_after']:.2f}", row["reason"])
    return made
