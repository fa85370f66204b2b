"""`vault-client subnet …`: ask, answer, vote, and look at tasks."""

from __future__ import annotations

import json
import time
from contextlib import aclosing
from typing import Annotated, Any

import typer

from protocol.subnet import LIST_ROLES, SIDES, TASK_STATUSES
from vault_client.cli.console import note, say
from vault_client.cli.given import given_text
from vault_client.cli.subnet_door import (
    TaskIdArgument,
    Visit,
    as_plain,
    given_value,
    looking,
    visiting,
)
from vault_client.cli.subnet_lines import (
    event_line,
    left,
    short,
    shown_task,
    task_line,
    vote_line,
)
from vault_client.durations import parse_duration

app = typer.Typer(
    no_args_is_help=True,
    help="""Ask questions whose answers are judged by peers, answer them as a miner, and judge.

    A validator asks with `create` and gives its own answer along. One miner answers; others see both answers without
    names and vote. Points go to whoever convinced the voters and to the voters who recognised the validator's.

    Start with `vault-client subnet mine --exec ./answer.sh` or `judge --exec ./choose.sh`: ten lines of shell.""",
)

PlainJsonOption = Annotated[bool, typer.Option("--as-json", help="The completion is JSON and not a text.")]
_ALL = "@FILE or - for stdin"


def _word(words: tuple[str, ...]) -> Any:
    def check(word: str | None) -> str | None:
        if word is not None and word not in words:
            raise typer.BadParameter(f"it is one of {', '.join(words)}")
        return word

    return check


def _seconds(text: str | None) -> int | None:
    try:
        return None if text is None else parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


@app.command()
@visiting
async def create(
    visit: Visit,
    task_type: Annotated[str, typer.Option("--type", metavar="WORD", help="What kind of task it is: talk, code, …")],
    prompt: Annotated[str, typer.Option("--prompt", metavar="TEXT", help=f"What is asked; or {_ALL}.")],
    answer: Annotated[str, typer.Option("--answer", metavar="TEXT", help=f"Your own strong answer; or {_ALL}.")],
    is_json: PlainJsonOption = False,
    for_: Annotated[
        str | None,
        typer.Option("--for", metavar="SPAN", help="How long the miner has: 90s, 10m, 6h.", show_default="6h"),
    ] = None,
    miner: Annotated[
        str | None, typer.Option("--miner", metavar="HOTKEY", help="Who is to answer.", show_default="the server picks")
    ] = None,
    negative: Annotated[
        str | None,
        typer.Option(
            "--trap",
            callback=_word(SIDES),
            metavar="SIDE",
            help="The completion of this side (validator, miner) is known to be bad: voting for it costs.",
        ),
    ] = None,
) -> None:
    """Ask: store a task with your own answer, and have one miner answer it.

    **Example**

        vault-client subnet create --type talk --prompt "Why is the sky blue?" --answer @mine.txt --for 10m
    """
    seconds = _seconds(for_)
    metadata: dict[str, Any] = {"prompt": given_text("--prompt", prompt)}
    if negative is not None:
        metadata["negative_completion"] = negative
    completion = given_value("--answer", answer, is_json=is_json)
    async with visit.open() as subnet:
        expire_at = None if seconds is None else int((time.time() + seconds) * 1000)
        created = await subnet.create_task(task_type, metadata, completion, expire_at=expire_at, miner=miner)
    text = f"Task {created.task_id} is assigned to {created.assigned_miner_hotkey}, {left(created.expire_at)}."
    visit.show(created, text)


@app.command()
@visiting
async def cancel(visit: Visit, task: TaskIdArgument) -> None:
    """Withdraw a task of yours that nobody has answered yet."""
    async with visit.open() as subnet:
        await subnet.cancel_task(task)
    visit.show({"task_id": task, "status": "cancelled"}, f"Task {task} is withdrawn.")


@app.command("list")
@looking
async def list_(
    visit: Visit,
    role: Annotated[
        str,
        typer.Option(
            "--as",
            callback=_word(LIST_ROLES),
            metavar="ROLE",
            help=f"Your part in them, always to be given: {', '.join(LIST_ROLES)}.",
            show_default=False,
        ),
    ] = "",  # so that the callback names the words
    status: Annotated[
        str | None,
        typer.Option(
            "--status", callback=_word(TASK_STATUSES), metavar="STATUS", help=f"Only {', '.join(TASK_STATUSES)}."
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="Only the newest N.")] = None,
) -> None:
    """List tasks in which you have a part, the newest first.

    **Example**

        vault-client subnet list --as voter --status submitted
    """
    shown = 0
    async with visit.open() as subnet, aclosing(subnet.tasks(role, status=status)) as lines:
        async for line in lines:
            visit.show(line, task_line(line))
            shown += 1
            if shown == limit:
                break
    if not shown and not visit.as_json:
        note("No such tasks.")


@app.command()
@looking
async def show(visit: Visit, task: TaskIdArgument) -> None:
    """Show a task as you may see it; once it is scored, everything."""
    async with visit.open() as subnet:
        shown = await subnet.task(task)
    visit.show(shown, "\n".join(shown_task(shown)))


@app.command()
@visiting
async def submit(
    visit: Visit,
    task: TaskIdArgument,
    completion: Annotated[str, typer.Argument(metavar="ANSWER", help=f"Your answer; or {_ALL}.")],
    is_json: PlainJsonOption = False,
) -> None:
    """Answer a task that is assigned to you, or to the miner you help. There is no editing it."""
    value = given_value("ANSWER", completion, is_json=is_json)
    async with visit.open() as subnet:
        taken = await subnet.submit(task, value)
    visit.show(taken, f"Task {task} has your answer and is being judged, {left(taken.voting_closes_at)}.")


@app.command()
@visiting
async def vote(
    visit: Visit,
    task: TaskIdArgument,
    chosen: Annotated[
        str, typer.Argument(callback=_word(("a", "b")), metavar="LABEL", help="The better one: a or b, as shown.")
    ],
) -> None:
    """Say which completion is better; `show TASK` shows both. A second vote replaces the first."""
    async with visit.open() as subnet:
        taken = await subnet.vote(task, chosen, against_other=True)
    visit.show(taken, f"Your vote for {chosen} weighs {taken.weight:g}; voting {left(taken.voting_closes_at)}.")


@app.command()
@looking
async def votes(visit: Visit, task: TaskIdArgument) -> None:
    """List the votes on a scored task that you had a part in."""
    async with visit.open() as subnet, aclosing(subnet.votes(task)) as lines:
        async for line in lines:
            visit.show(line, vote_line(line))


@app.command()
@looking
async def watch(visit: Visit) -> None:
    """Follow what the server tells you until ctrl-C: tasks, votes, scores, links."""
    async with visit.open(waiting=True) as subnet:
        seen = await subnet.register(mining=False, judging=False)
        note(f"Watching as {short(seen.hotkey)}; ctrl-C ends.")
        async with aclosing(subnet.events()) as events:
            async for event in events:
                kind = {"event": event.SHAPE.wire_type}
                say(json.dumps(kind | as_plain(event)) if visit.as_json else event_line(event))
