"""`watch`."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Annotated

import typer

from vault_client.cli.console import ending, errors
from vault_client.cli.news import BarNews, JsonNews, News, TextNews
from vault_client.cli.options import (
    DEFAULT_SERVER,
    Door,
    JsonLinesOption,
    KeyOption,
    KnownServersOption,
    ServerKeyOption,
    ServerOption,
    task_ids,
)
from vault_client.watching import Watch

app = typer.Typer()


@app.command()
def watch(
    tasks: Annotated[
        list[str] | None,
        typer.Argument(
            callback=task_ids, metavar="[TASK]...", help="Tasks to follow to their ends.", show_default="all"
        ),
    ] = None,
    as_json: JsonLinesOption = False,
    server: ServerOption = DEFAULT_SERVER,
    key: KeyOption = None,
    server_key: ServerKeyOption = None,
    known_servers: KnownServersOption = None,
) -> None:
    """Follow tasks: how far they are, their answers, rulings on complaints, changes of your standing.

    Ends when the tasks that are named have ended. With none it follows all of this key, also those submitted
    elsewhere, until ctrl-C. It outlives lost connections and restarts of the server.

    **Examples**

        vault-client watch
        vault-client watch 5b1f0c3e9a7d42688e21f6a0b4c9d853 --json
    """

    async def follow() -> None:
        with shown as news:
            async with door.open(waiting=True, on_connection=news.connection) as vault:
                await Watch(vault, news, tasks or []).run()

    with ending(as_json=as_json, interrupted=None):
        shown = _news(as_json=as_json)
        door = Door.of(server, key, server_key, known_servers, makes_key=False)
        asyncio.run(follow())


def _news(*, as_json: bool) -> AbstractContextManager[News]:
    if as_json:
        return nullcontext(JsonNews())
    return BarNews() if errors.is_terminal and sys.stdout.isatty() else nullcontext(TextNews())
