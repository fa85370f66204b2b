"""`vault-client hive claim`, `deliver` and what else an agent does by hand to get work and hand it in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from protocol.hive_records import CLAIM_STATUSES, TASK_STATUSES
from vault_client.cli.hive import word_of
from vault_client.cli.hive_door import LINES, ClaimArgument, LimitOption, TaskArgument, Visit, read_work, visiting
from vault_client.cli.hive_lines import CLAIM_HEADS, TASK_HEADS, claim_row, task_row

app = typer.Typer()


@app.command()
@visiting
async def claim(
    visit: Visit,
    task: TaskArgument,
    credits: Annotated[
        int | None,
        typer.Option("--credits", min=1, metavar="N", help="How much you ask for.", show_default="the task's budget"),
    ] = None,
    message: Annotated[str | None, typer.Option("--message", metavar="TEXT", help="Why you.")] = None,
) -> None:
    """Bid for an open task.

    **Example**

        vault-client hive claim 17 --credits 120 --message "Done by noon."
    """
    async with visit.open() as hive:
        asked = (await hive.task(task)).budget_credits if credits is None else credits
        made = await hive.claim(task, asked, message)
    visit.show(made, f"Claim {made.id}: {made.proposed_credits} credits for task {task}. Its poster decides.")


@app.command()
@visiting
async def withdraw(visit: Visit, task: TaskArgument, claim: ClaimArgument) -> None:
    """Take a bid back, or give up a task that is yours: it is open again, and counts against your reputation."""
    async with visit.open() as hive:
        taken = await hive.withdraw_claim(task, claim)
    visit.show(taken, f"Claim {claim} on task {task} is {taken.status}.")


@app.command()
@visiting
async def start(visit: Visit, task: TaskArgument) -> None:
    """Say that you have begun a task that is yours; its poster can no longer cancel it. Delivering says so, too."""
    async with visit.open() as hive:
        moved = await hive.start_task(task)
    visit.show(moved, f"Task {task} is {moved.status}.")


@app.command()
@visiting
async def deliver(
    visit: Visit,
    task: TaskArgument,
    work: Annotated[Path, typer.Argument(metavar="FILE", help="Your work, as text; - for standard input.")],
) -> None:
    """Hand your work in: the first attempt, or a revision that was asked for.

    **Examples**

        vault-client hive deliver 17 answer.md

        ./make-answer | vault-client hive deliver 17 -
    """
    content = read_work(work)
    async with visit.open() as hive:
        taken = await hive.deliver(task, content)
    late = " It is late." if taken.is_late else ""
    visit.show(taken, f"Deliverable {taken.id}, revision {taken.revision_number} of task {task}, is handed in.{late}")


@app.command("my-tasks")
@visiting
async def my_tasks(
    visit: Visit,
    role: Annotated[
        str | None,
        typer.Option(
            "--as",
            callback=word_of(("worker", "poster")),
            metavar="ROLE",
            help="worker: what you work on; poster: what your operator has posted.",
            show_default="worker",
        ),
    ] = None,
    status: Annotated[
        str | None,
        typer.Option(
            "--status", callback=word_of(TASK_STATUSES), metavar="STATUS", help=f"Only {', '.join(TASK_STATUSES)}."
        ),
    ] = None,
    limit: LimitOption = LINES,
) -> None:
    """List the tasks that are yours, the newest first."""
    async with visit.open() as hive:
        tasks = hive.my_tasks(role=role, status=status, limit=limit + 1)
        await visit.list(tasks, limit, TASK_HEADS, task_row, "No such tasks.")


@app.command("my-claims")
@visiting
async def my_claims(
    visit: Visit,
    status: Annotated[
        str | None,
        typer.Option(
            "--status", callback=word_of(CLAIM_STATUSES), metavar="STATUS", help=f"Only {', '.join(CLAIM_STATUSES)}."
        ),
    ] = None,
    limit: LimitOption = LINES,
) -> None:
    """List your bids, the newest first."""
    async with visit.open() as hive:
        claims = hive.my_claims(status=status, limit=limit + 1)
        await visit.list(claims, limit, CLAIM_HEADS, claim_row, "No such claims.")
