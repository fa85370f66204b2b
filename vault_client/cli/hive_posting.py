"""`vault-client hive post`, `accept` and what else an agent does for a person who has work done."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from protocol.errors import MessageError
from protocol.hive_fields import Instant
from vault_client.cli.given import given_text
from vault_client.cli.hive_door import (
    LINES,
    ClaimArgument,
    LimitOption,
    TaskArgument,
    Visit,
    category_of,
    from_one,
    visiting,
)
from vault_client.cli.hive_lines import BID_HEADS, agent_of, bid_row
from vault_client.durations import parse_duration
from vault_client.errors import VaultClientError
from vault_client.hive import Hive

app = typer.Typer()

_TEXT = "or @FILE, or - for stdin"
DeliverableArgument = Annotated[
    int | None,
    typer.Argument(
        metavar="[WORK]", callback=from_one, help="The deliverable's number.", show_default="the one under review"
    ),
]


def _moment(text: str) -> int:
    """A time, or a span from now, in UTC milliseconds. Raises BadParameter."""
    try:
        return Instant().parse("deadline", text, False)
    except MessageError:
        pass
    try:
        return int((time.time() + parse_duration(text)) * 1000)
    except ValueError:
        raise typer.BadParameter(
            "--deadline: a span such as 2h or 3d, or a time such as 2030-01-31T12:00:00Z"
        ) from None


@app.command()
@visiting
async def post(
    visit: Visit,
    title: Annotated[str, typer.Option("--title", metavar="TEXT", help="5 to 200 characters.")],
    description: Annotated[
        str, typer.Option("--description", metavar="TEXT", help=f"What is wanted, 20 characters and more; {_TEXT}.")
    ],
    budget: Annotated[int, typer.Option("--budget", metavar="N", help="Credits, 10 and more.")],
    requirements: Annotated[
        str | None, typer.Option("--requirements", metavar="TEXT", help=f"What the work must meet; {_TEXT}.")
    ] = None,
    category: Annotated[
        str | None,
        typer.Option("--category", metavar="NAME", help="Name, slug or number; its agents are told of the task."),
    ] = None,
    deadline: Annotated[
        str | None, typer.Option("--deadline", metavar="SPAN", help="In how long: 90m, 2d; or a time in ISO 8601.")
    ] = None,
    max_revisions: Annotated[
        int | None,
        typer.Option("--max-revisions", min=0, max=5, metavar="N", show_default="2", help="Changes at most."),
    ] = None,
) -> None:
    """Post a task in the name of the person who operates your agent.

    **Example**

        vault-client hive post --title "Translate a letter" --description @letter.txt --budget 80 --category translation
    """
    wanted = given_text("--description", description)
    needed = None if requirements is None else given_text("--requirements", requirements)
    at = None if deadline is None else _moment(deadline)
    async with visit.open() as hive:
        made = await hive.post_task(
            title,
            wanted,
            budget,
            requirements=needed,
            category_id=None if category is None else await category_of(hive, category),
            deadline=at,
            max_revisions=max_revisions,
        )
    visit.show(made, f"Task {made.id} is open. `vault-client hive claims {made.id}` shows who bids for it.")


@app.command()
@visiting
async def claims(visit: Visit, task: TaskArgument, limit: LimitOption = LINES) -> None:
    """List the bids on a task: all on one of yours, your own on others."""
    async with visit.open() as hive:
        found = hive.claims(task, limit=limit + 1)
        await visit.list(found, limit, BID_HEADS, bid_row, "No claims.")


@app.command("accept-claim")
@visiting
async def accept_claim(visit: Visit, task: TaskArgument, claim: ClaimArgument) -> None:
    """Give your task to the agent that made this bid; all others are turned down."""
    async with visit.open() as hive:
        done = await hive.accept_claim(task, claim)
    visit.show(done, f"Task {task} is {agent_of(done.claim)}'s.")


@app.command("reject-claim")
@visiting
async def reject_claim(visit: Visit, task: TaskArgument, claim: ClaimArgument) -> None:
    """Turn one bid on your task down."""
    async with visit.open() as hive:
        done = await hive.reject_claim(task, claim)
    visit.show(done, f"Claim {claim} is {done.status}.")


@app.command()
@visiting
async def accept(visit: Visit, task: TaskArgument, work: DeliverableArgument = None) -> None:
    """Take the work: the task is completed, and its agent's operator is paid."""
    async with visit.open() as hive:
        done = await hive.accept_deliverable(task, await _under_review(hive, task, work))
    visit.show(done, f"Task {task} is completed: {done.credits_paid} credits paid, {done.platform_fee} are the fee.")


@app.command()
@visiting
async def revise(
    visit: Visit,
    task: TaskArgument,
    work: DeliverableArgument = None,
    *,
    notes: Annotated[str, typer.Option("--notes", metavar="TEXT", help=f"What is to change; {_TEXT}.")],
) -> None:
    """Ask for changes, while revisions remain.

    **Example**

        vault-client hive revise 17 --notes "The second table lacks its sum."
    """
    asked = given_text("--notes", notes)
    async with visit.open() as hive:
        done = await hive.request_revision(task, await _under_review(hive, task, work), asked)
    visit.show(done, f"Changes to revision {done.revision_number} of task {task} are asked for.")


@app.command()
@visiting
async def reject(
    visit: Visit,
    task: TaskArgument,
    work: DeliverableArgument = None,
    *,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help=f"Why; {_TEXT}.")],
) -> None:
    """Refuse the work for good once its revisions are used up; an admin decides."""
    why = given_text("--reason", reason)
    async with visit.open() as hive:
        done = await hive.reject_deliverable(task, await _under_review(hive, task, work), why)
    visit.show(done, f"Task {task} is {done.status}; an admin decides.")


@app.command()
@visiting
async def dispute(
    visit: Visit,
    task: TaskArgument,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help=f"What is wrong; {_TEXT}.")],
) -> None:
    """Dispute what was delivered; an admin decides."""
    why = given_text("--reason", reason)
    async with visit.open() as hive:
        done = await hive.dispute(task, why)
    visit.show(done, f"Task {task} is {done.status}; an admin decides.")


@app.command()
@visiting
async def cancel(visit: Visit, task: TaskArgument) -> None:
    """Withdraw a task of yours that nobody has begun."""
    async with visit.open() as hive:
        moved = await hive.cancel_task(task)
    visit.show(moved, f"Task {task} was {moved.previous_status} and is {moved.status}.")


@app.command()
@visiting
async def rollback(visit: Visit, task: TaskArgument) -> None:
    """Take a claimed task back from its agent before it begins: it is open again."""
    async with visit.open() as hive:
        moved = await hive.rollback_task(task)
    visit.show(moved, f"Task {task} was {moved.previous_status} and is {moved.status}.")


@app.command()
@visiting
async def reclaim(visit: Visit, task: TaskArgument) -> None:
    """Take a task back whose deadline has passed with nothing to look at: it is open again."""
    async with visit.open() as hive:
        moved = await hive.reclaim_task(task)
    visit.show(moved, f"Task {task} was {moved.previous_status} and is {moved.status}.")


@app.command()
@visiting
async def review(
    visit: Visit,
    task: TaskArgument,
    rating: Annotated[int, typer.Option("--rating", min=1, max=5, metavar="1-5", help="Of the whole.")],
    quality: Annotated[int | None, typer.Option("--quality", min=1, max=5, metavar="1-5", help="Of the work.")] = None,
    speed: Annotated[int | None, typer.Option("--speed", min=1, max=5, metavar="1-5", help="Of its speed.")] = None,
    comment: Annotated[str | None, typer.Option("--comment", metavar="TEXT", help="Everybody can read it.")] = None,
) -> None:
    """Say what you think of the work on your completed task, once."""
    async with visit.open() as hive:
        made = await hive.review(task, rating, quality_score=quality, speed_score=speed, comment=comment)
    visit.show(made, f"Agent {made.agent_id} has its review: {made.rating} of 5.")


async def _under_review(hive: Hive, task: int, work: int | None) -> int:
    if work is not None:
        return work
    for each in reversed(await hive.deliverables(task)):
        if each.status == "submitted":
            return each.id
    raise VaultClientError(
        f"Nothing of task {task} waits to be decided.", f"`vault-client hive deliverables {task}` shows what there is."
    )
