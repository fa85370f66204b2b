"""What all `vault-client hive` commands share: how the server is reached, with whose key, and how results are shown."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from protocol.envelope import Message
from protocol.hive_fields import Hidden, One
from protocol.hive_json import to_json
from protocol.records import Record
from vault_client.cli.console import note, say
from vault_client.cli.hive_lines import table
from vault_client.cli.hive_suggestions import in_commands
from vault_client.cli.options import (
    CONNECT_SECONDS_MAX,
    DEFAULT_SERVER,
    RECONNECT_SECONDS_MAX,
    ConnectionNotes,
    ServerOption,
)
from vault_client.cli.visits import Command, with_shared_options
from vault_client.errors import FileError, VaultClientError
from vault_client.files import file_error
from vault_client.hive import Hive
from vault_client.hive_key import KEY_FILE_VARIABLE, find_key
from vault_client.hive_sdk import PAUSED_SECONDS, connect_hive
from vault_client.link import ConnectionEvent

LINES = 20
"""Of a list, unless asked otherwise."""

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print JSON as REST has it, a list as one object a line; errors too, on stderr.")
]
KeyFileOption = Annotated[
    Path | None,
    typer.Option(
        "--key-file",
        envvar=KEY_FILE_VARIABLE,
        metavar="PATH",
        help="The file with the agent's API key, readable by you alone (chmod 600).",
        show_default="the key itself in the environment variable VAULT_HIVE_KEY",
    ),
]


def from_one(number: int | None) -> int | None:
    """For arguments, whose help would show a range in the way of their names."""
    if number is not None and number < 1:
        raise typer.BadParameter("it is 1 or more")
    return number


TaskArgument = Annotated[int, typer.Argument(metavar="TASK", callback=from_one, help="The task's number.")]
ClaimArgument = Annotated[int, typer.Argument(metavar="CLAIM", callback=from_one, help="The claim's number.")]
LimitOption = Annotated[int, typer.Option("--limit", min=1, metavar="N", help="At most so many.")]

_SHARED = {
    "as_json": (JsonOption, False),
    "server": (ServerOption, DEFAULT_SERVER),
    "key_file": (KeyFileOption, None),
}
"""Options that every command has, behind its own."""

Line = TypeVar("Line", bound=Record)


@dataclass(frozen=True, slots=True)
class Visit:
    """One run of a command: the way to the server, and whether JSON is wanted."""

    server: str
    key: Hidden
    as_json: bool

    def open(
        self,
        *,
        waiting: bool = False,
        paused_seconds: float = PAUSED_SECONDS,
        on_connection: Callable[[ConnectionEvent], object] | None = None,
    ) -> AbstractAsyncContextManager[Hive]:
        """Connect; whoever is `waiting` does so for as long as it takes, also while the agent is paused."""
        return connect_hive(
            self.server,
            key=self.key,
            connect_seconds_max=CONNECT_SECONDS_MAX,
            reconnect_seconds_max=None if waiting else RECONNECT_SECONDS_MAX,
            waits_while_paused=waiting,
            paused_seconds=paused_seconds,
            on_connection=ConnectionNotes().changed if on_connection is None else on_connection,
        )

    def show(self, result: Message | Record, text: str) -> None:
        """A command's result: as JSON where that is wanted, else in words."""
        say(json.dumps(as_plain(result)) if self.as_json else text)

    async def list(
        self,
        lines: AsyncGenerator[Line],
        limit: int,
        heads: Sequence[str],
        row: Callable[[Line], Sequence[str]],
        none: str,
    ) -> None:
        """At most `limit` lines of a list that was asked for one more: objects, or a table with its heads."""
        held: list[Line] = []
        async with aclosing(lines) as coming:
            async for line in coming:
                held.append(line)
                if self.as_json and len(held) <= limit:
                    say(json.dumps(as_plain(line)))
        if self.as_json:
            return
        if not held:
            note(none)
            return
        for text in table(heads, [row(line) for line in held[:limit]]):
            say(text)
        if len(held) > limit:
            note(f"There are more; --limit {limit * 5} shows them.")


def visiting(command: Command) -> Callable[..., None]:
    """Turn `async def command(visit, …)` into a command with the shared options behind its own, and one way to end."""

    def visit(as_json: bool, server: str, key_file: Path | None) -> Visit:
        return Visit(server, find_key(key_file), as_json)

    @functools.wraps(command)
    async def in_own_words(*given: Any, **named: Any) -> None:
        try:
            await command(*given, **named)
        except VaultClientError as error:
            error.suggestion = in_commands(error.suggestion)
            raise

    return with_shared_options(in_own_words, _SHARED, visit)


def as_plain(result: Message | Record) -> Any:
    """As REST shows it: times in ISO 8601, null where there is nothing."""
    return to_json(result) if isinstance(result, Message) else One(type(result)).dump(result, False)


async def category_of(hive: Hive, word: str) -> int:
    """A category's number, by its number, slug or name. Raises VaultClientError."""
    known = await hive.categories()
    for category in known:
        if word.strip().lower() in (str(category.id), category.slug, category.name.lower()):
            return category.id
    slugs = ", ".join(category.slug for category in known)
    raise VaultClientError(f"There is no category {word!r}.", f"It is one of {slugs}.")


async def names_of(hive: Hive, categories: Sequence[int]) -> Sequence[str]:
    """Categories as their slugs, in their order."""
    return [each.slug for each in await hive.categories() if each.id in categories] if categories else []


def read_work(path: Path) -> str:
    """All of a file, or of standard input where it is `-`, as it is. Raises FileError."""
    try:
        held = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
        return held.decode()
    except OSError as error:
        raise file_error("read", path, error) from None
    except UnicodeDecodeError:
        raise FileError(f"{path} holds no UTF-8 text.", "A deliverable is text: deliver a link to the rest.") from None
