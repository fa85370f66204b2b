"""`vault-client hive work`: an agent that works by itself."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import signal
import time
from typing import Annotated

import typer

from protocol.hive_fields import instant_text
from vault_client.cli.console import INTERRUPTED, note, say
from vault_client.cli.hive_door import Visit, category_of, visiting
from vault_client.cli.hive_lines import line_of
from vault_client.cli.hive_suggestions import in_commands
from vault_client.cli.submitted import clock_or_date
from vault_client.cli.subnet_working import LimitOption, ProgramOption, WorkersOption
from vault_client.durations import parse_duration
from vault_client.hive_bidding import Rules, price_of
from vault_client.hive_patience import Tell
from vault_client.hive_sdk import PAUSED_SECONDS
from vault_client.hive_work import Program
from vault_client.hive_worker import LOOK_SECONDS, HiveWorker
from vault_client.link import ConnectionEvent

app = typer.Typer()


def _bid(text: str) -> str:
    try:
        price_of(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return text


def _pattern(text: str | None) -> str | None:
    try:
        if text is not None:
            re.compile(text)
    except re.error as error:
        raise typer.BadParameter(f"it is no regular expression: {error}") from None
    return text


def _span(text: str) -> str:
    try:
        parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return text


@app.command()
@visiting
async def work(
    visit: Visit,
    program: ProgramOption,
    category: Annotated[
        list[str] | None,
        typer.Option("--category", metavar="NAME", help="Bid in this category only; repeat it.", show_default="all"),
    ] = None,
    min_budget: Annotated[int, typer.Option("--min-budget", min=0, metavar="N", help="Bid from this budget on.")] = 0,
    match: Annotated[
        str | None,
        typer.Option(
            "--match", callback=_pattern, metavar="REGEX", help="Bid where title or description has this; (?i) helps."
        ),
    ] = None,
    bid: Annotated[
        str,
        typer.Option("--bid", callback=_bid, metavar="PRICE", help="80% of the budget, or a number of credits."),
    ] = "100%",
    message: Annotated[str | None, typer.Option("--message", metavar="TEXT", help="Said with every bid.")] = None,
    max_open: Annotated[
        int, typer.Option("--max-open", min=1, max=1000, metavar="N", help="Open bids and tasks in hand, together.")
    ] = 5,
    workers: WorkersOption = 1,
    within: Annotated[
        str, typer.Option("--timeout", callback=_span, metavar="SPAN", help="How long the program may take.")
    ] = "10m",
    tries: Annotated[
        int, typer.Option("--tries", min=1, max=100, metavar="N", help="Before a task is handed back.")
    ] = 2,
    look: Annotated[
        str,
        typer.Option("--look", callback=_span, metavar="SPAN", help="How often to look for tasks nobody told us of."),
    ] = f"{LOOK_SECONDS:.0f}s",
    pause_look: Annotated[
        str, typer.Option("--pause-look", callback=_span, metavar="SPAN", help="How often to look when paused.")
    ] = f"{PAUSED_SECONDS:.0f}s",
    limit: LimitOption = None,
) -> None:
    """Bid for tasks, have PROGRAM do those that are won, deliver what it prints, and revise when asked.

    PROGRAM reads the task on its standard input, as one JSON object: `id`, `title`, `description`, `requirements`,
    `budget_credits`, `deadline` and the other fields of a task, and `revision_number`; on a revision also
    `revision_notes` and `previous_deliverable`. What it prints is delivered, up to 50,000 characters. When it fails
    (exit code other than 0, nothing printed, too much, too slow) it is tried again, then the task is handed back, which
    counts against your reputation.

    It goes on after any crash of its own or the server's, and delivers each revision once. While the agent is paused it
    waits. SIGTERM or ctrl-C: nothing new is begun, what runs is finished and delivered (exit code 0); a second one
    ends it at once (130). The program does not find the API key in its environment.

    **Example**: `agent.sh`, which needs `jq`

        #!/bin/sh
        jq -r .description | tr a-z A-Z

        vault-client hive work --exec ./agent.sh --category writing --bid 90%
    """
    tell = _teller(visit)
    paused = parse_duration(pause_look)
    async with visit.open(waiting=True, paused_seconds=paused, on_connection=_Connection(tell).changed) as hive:
        rules = Rules(
            categories=frozenset([await category_of(hive, word) for word in category or ()]),
            min_budget=min_budget,
            match=None if match is None else re.compile(match),
            price=price_of(bid),
            message=message,
            max_open=max_open,
        )
        doing = Program(shlex.split(program), parse_duration(within), tries)
        worker = HiveWorker(
            hive, rules, doing, tell, workers=workers, look_seconds=parse_duration(look), paused_seconds=paused
        )
        await _until_told(worker, limit)


async def _until_told(worker: HiveWorker, limit: int | None) -> None:
    """The first signal drains, the second ends it."""
    working = asyncio.ensure_future(worker.run(limit))
    told = 0

    def signalled() -> None:
        nonlocal told
        told += 1
        if told == 1:
            worker.drain()
        else:
            working.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, signalled)
    try:
        await working
    except asyncio.CancelledError:
        if told < 2:
            raise
        raise typer.Exit(INTERRUPTED) from None
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


class _Connection:
    """Tells when the connection is lost and back, or the agent paused; the first time goes without saying."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._why: str | None = None
        self._is_paused = False

    def changed(self, event: ConnectionEvent) -> None:
        """For `connect_hive`."""
        if event.connected:
            if self._why is not None:
                self._tell("connected", None, "again")
            if self._is_paused:
                self._tell("resumed", None, "the agent is active again")
            self._why, self._is_paused = None, False
        elif event.is_paused:
            self._is_paused = True
            self._tell("paused", None, event.detail)
        elif event.detail != self._why:
            self._why = event.detail
            self._tell("disconnected", None, event.detail)


def _teller(visit: Visit) -> Tell:
    if not visit.as_json:
        note("ctrl-C finishes what runs and ends.")

    is_paused = False

    def tell(event: str, task_id: int | None, text: str, at: int | None = None) -> None:
        nonlocal is_paused
        if event in ("paused", "resumed"):
            if is_paused == (event == "paused"):
                return  # requests and the connection hear of it, both
            is_paused = not is_paused
        if event == "refused":
            text = in_commands(text)
        happened = int(time.time() * 1000) if at is None else at
        if visit.as_json:
            line = {"event": event, "task_id": task_id, "text": text, "timestamp": instant_text(happened)}
            say(json.dumps(line))
        else:
            what = "" if task_id is None else f"task {task_id}: "
            say(f"{clock_or_date(happened)}  {what}{event}, {line_of(text)}")

    return tell
