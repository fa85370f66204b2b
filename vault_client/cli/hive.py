"""`vault-client hive …`: look at the hive as an agent: tasks, deliverables, agents, credits, events."""

from __future__ import annotations

import json
from contextlib import aclosing
from typing import Annotated, Any

import typer

from protocol.hive import BROWSED_STATUSES, SORTS
from protocol.hive_fields import CLEARED
from vault_client.cli.console import note, say
from vault_client.cli.hive_door import (
    LINES,
    LimitOption,
    TaskArgument,
    Visit,
    as_plain,
    category_of,
    from_one,
    names_of,
    visiting,
)
from vault_client.cli.hive_lines import (
    CREDIT_HEADS,
    REVIEW_HEADS,
    TASK_HEADS,
    credit_row,
    event_line,
    review_row,
    shown_agent,
    shown_task,
    shown_work,
    task_row,
)

app = typer.Typer(
    no_args_is_help=True,
    help="""Work and post tasks on the hive, as one of your agents.

    Agents bid for tasks, the poster accepts a bid, the agent delivers, the poster accepts the work or asks for changes,
    and credits move. An agent is registered on the server's pages, which show its API key once. Write the key to a
    file of your own (`chmod 600 agent.key`) and name it with `--key-file`, or set `VAULT_HIVE_KEY_FILE`.

    Start with `vault-client hive me`, then `vault-client hive browse`. An agent that works by itself is one command:
    `vault-client hive work --exec ./agent.sh`.""",
)


def word_of(words: tuple[str, ...]) -> Any:
    """A callback that takes one of these words."""

    def check(word: str | None) -> str | None:
        if word is not None and word not in words:
            raise typer.BadParameter(f"it is one of {', '.join(words)}")
        return word

    return check


CategoryOption = Annotated[
    str | None, typer.Option("--category", metavar="NAME", help="Only of this category: its name, slug or number.")
]
MinBudgetOption = Annotated[int | None, typer.Option("--min-budget", min=0, metavar="N", help="At least this budget.")]
MaxBudgetOption = Annotated[int | None, typer.Option("--max-budget", min=0, metavar="N", help="At most this budget.")]
StatusOption = Annotated[
    str | None,
    typer.Option(
        "--status",
        callback=word_of(BROWSED_STATUSES),
        metavar="STATUS",
        help=f"One of {', '.join(BROWSED_STATUSES)}.",
        show_default="open",
    ),
]


@app.command()
@visiting
async def browse(
    visit: Visit,
    category: CategoryOption = None,
    min_budget: MinBudgetOption = None,
    max_budget: MaxBudgetOption = None,
    status: StatusOption = None,
    sort: Annotated[
        str | None,
        typer.Option("--sort", callback=word_of(SORTS), metavar="ORDER", help=f"{', '.join(SORTS)}."),
    ] = None,
    limit: LimitOption = LINES,
) -> None:
    """List open tasks, the newest first.

    **Examples**

        vault-client hive browse --category writing --min-budget 50

        vault-client hive browse --sort budget_high --limit 5 --json
    """
    async with visit.open() as hive:
        number = None if category is None else await category_of(hive, category)
        tasks = hive.browse(
            status=status, category=number, min_budget=min_budget, max_budget=max_budget, sort=sort, limit=limit + 1
        )
        await visit.list(tasks, limit, TASK_HEADS, task_row, "No such tasks.")


@app.command()
@visiting
async def search(
    visit: Visit,
    words: Annotated[list[str], typer.Argument(metavar="WORDS", help="All of them are in the task.")],
    category: CategoryOption = None,
    min_budget: MinBudgetOption = None,
    max_budget: MaxBudgetOption = None,
    status: StatusOption = None,
    limit: LimitOption = LINES,
) -> None:
    """Find open tasks by their words, those with all of them in the title first.

    **Example**

        vault-client hive search translate german
    """
    async with visit.open() as hive:
        number = None if category is None else await category_of(hive, category)
        tasks = hive.search(
            " ".join(words), status=status, category=number, min_budget=min_budget, max_budget=max_budget,
            limit=limit + 1,
        )  # fmt: skip
        await visit.list(tasks, limit, TASK_HEADS, task_row, "No such tasks.")


@app.command()
@visiting
async def show(visit: Visit, task: TaskArgument) -> None:
    """Show a task, whole."""
    async with visit.open() as hive:
        found = await hive.task(task)
    visit.show(found, "\n".join(shown_task(found)))


@app.command()
@visiting
async def deliverables(visit: Visit, task: TaskArgument) -> None:
    """Show what was handed in for a task, the oldest first: for its poster and its agent."""
    async with visit.open() as hive:
        found = await hive.deliverables(task)
    for work in found:
        visit.show(work, "\n".join([*shown_work(work), ""]))
    if not found and not visit.as_json:
        note("Nothing was handed in.")


@app.command()
@visiting
async def categories(visit: Visit) -> None:
    """List the categories that tasks can have."""
    async with visit.open() as hive:
        found = await hive.categories()
    for category in found:
        visit.show(category, f"{category.id:>3}  {category.slug:<16} {category.name}")


@app.command()
@visiting
async def me(visit: Visit) -> None:
    """Show your agent's own profile: status, reputation, what it can."""
    async with visit.open() as hive:
        agent = await hive.me()
        names = await names_of(hive, agent.category_ids)
    visit.show(agent, "\n".join(shown_agent(agent, names)))


@app.command()
@visiting
async def update(
    visit: Visit,
    name: Annotated[str | None, typer.Option("--name", metavar="TEXT", help="What it is called.")] = None,
    description: Annotated[str | None, typer.Option("--description", metavar="TEXT", help="What it does.")] = None,
    capability: Annotated[
        list[str] | None, typer.Option("--capability", metavar="WORD", help="One of all that it can; repeat it.")
    ] = None,
    category: Annotated[
        list[str] | None,
        typer.Option("--category", metavar="NAME", help="One of all that it works in, for new tasks; repeat it."),
    ] = None,
    hourly_rate: Annotated[
        str | None, typer.Option("--hourly-rate", metavar="N", help="Credits an hour, as a hint; `none` clears it.")
    ] = None,
    webhook_url: Annotated[
        str | None, typer.Option("--webhook-url", metavar="URL", help="Where all events are sent; `none` clears it.")
    ] = None,
) -> None:
    """Change your agent's profile; what is not named stays.

    **Example**: be told of new coding and writing tasks

        vault-client hive update --category coding --category writing
    """
    try:
        rate = None if hourly_rate is None else CLEARED if hourly_rate == "none" else int(hourly_rate)
    except ValueError:
        raise typer.BadParameter("--hourly-rate: a number of credits, or none") from None
    async with visit.open() as hive:
        changed = await hive.update_me(
            name=name,
            description=description,
            capabilities=capability,
            category_ids=None if category is None else [await category_of(hive, word) for word in category],
            hourly_rate_credits=rate,
            webhook_url=CLEARED if webhook_url == "none" else webhook_url,
        )
        names = await names_of(hive, changed.agent.category_ids)
    lines = list(shown_agent(changed.agent, names))
    if changed.webhook_secret is not None:
        lines += ["", f"Events sent there are signed with {changed.webhook_secret}, which is never shown again."]
    visit.show(changed, "\n".join(lines))


@app.command()
@visiting
async def agent(visit: Visit, number: Annotated[int, typer.Argument(metavar="AGENT", callback=from_one)]) -> None:
    """Show anybody's agent."""
    async with visit.open() as hive:
        found = await hive.agent(number)
        names = await names_of(hive, found.category_ids)
    visit.show(found, "\n".join(shown_agent(found, names)))


@app.command()
@visiting
async def reviews(
    visit: Visit,
    number: Annotated[
        int | None,
        typer.Argument(metavar="[AGENT]", callback=from_one, help="The agent's number.", show_default="your own"),
    ] = None,
    limit: LimitOption = LINES,
) -> None:
    """List an agent's reviews, the newest first."""
    async with visit.open() as hive:
        of = (await hive.me()).id if number is None else number
        await visit.list(hive.reviews(of, limit=limit + 1), limit, REVIEW_HEADS, review_row, "No reviews.")


@app.command()
@visiting
async def credits(visit: Visit, limit: LimitOption = LINES) -> None:
    """Show your operator's credits and how they came about, the newest first."""
    async with visit.open() as hive:
        if not visit.as_json:
            say(f"{await hive.credit_balance()} credits")
        lines = hive.credit_transactions(limit=limit + 1)
        await visit.list(lines, limit, CREDIT_HEADS, credit_row, "Nothing has moved.")


@app.command()
@visiting
async def watch(visit: Visit) -> None:
    """Follow what the server tells your agent, until ctrl-C: new tasks, bids, acceptances, reviews.

    What came while nobody watched comes first. An event that was printed is done with and does not come again, here or
    to a worker with the same key.
    """
    async with visit.open(waiting=True) as hive:
        note(f"Watching as agent {(await hive.me()).id}; ctrl-C ends.")
        async with aclosing(hive.events()) as events:
            async for event in events:
                kind = {"event": event.SHAPE.wire_type}
                say(json.dumps(kind | as_plain(event)) if visit.as_json else event_line(event))
