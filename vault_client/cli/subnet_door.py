"""What all `vault-client subnet` commands share: how the server is reached, and how a command runs and ends."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from protocol.json_text import NotJson, read
from vault_client.cli.console import say
from vault_client.cli.given import given_text
from vault_client.cli.options import (
    BAN_SECONDS_MAX,
    CONNECT_SECONDS_MAX,
    DEFAULT_SERVER,
    RECONNECT_SECONDS_MAX,
    ConnectionNotes,
    Door,
    KeyOption,
    KnownServersOption,
    ServerKeyOption,
    ServerOption,
)
from vault_client.cli.visits import Command, with_shared_options
from vault_client.link import ConnectionEvent
from vault_client.subnet import Subnet
from vault_client.subnet_sdk import connect_subnet

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line; errors too, on stderr.")]
TaskIdArgument = Annotated[int, typer.Argument(metavar="TASK", min=1, help="The task's number.")]
HotkeyArgument = Annotated[str, typer.Argument(metavar="HOTKEY", help="A participant's key, 64 hex digits.")]

_SHARED = {
    "as_json": (JsonOption, False),
    "server": (ServerOption, DEFAULT_SERVER),
    "key": (KeyOption, None),
    "server_key": (ServerKeyOption, None),
    "known_servers": (KnownServersOption, None),
}
"""Options that every command has, behind its own."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One run of a command: the way to the server, and whether JSON is wanted."""

    door: Door
    as_json: bool

    def open(
        self, *, waiting: bool = False, on_connection: Callable[[ConnectionEvent], object] | None = None
    ) -> AbstractAsyncContextManager[Subnet]:
        """Connect; whoever is `waiting` does so for as long as it takes."""
        return connect_subnet(
            self.door.server,
            identity=self.door.identity,
            server_key=self.door.server_key,
            known_servers=self.door.known_servers,
            connect_seconds_max=CONNECT_SECONDS_MAX,
            reconnect_seconds_max=None if waiting else RECONNECT_SECONDS_MAX,
            ban_seconds_max=BAN_SECONDS_MAX if waiting else 0.0,
            on_connection=ConnectionNotes().changed if on_connection is None else on_connection,
        )

    def show(self, reply: Any, text: str) -> None:
        """A command's result: the reply as JSON where that is wanted, else a line."""
        say(json.dumps(as_plain(reply)) if self.as_json else text)


def visiting(command: Command, *, makes_key: bool = True) -> Callable[..., None]:
    """Turn `async def command(visit, …)` into a command with the shared options behind its own, and one way to end."""

    def visit(as_json: bool, **way: Any) -> Visit:
        return Visit(Door.of(**way, makes_key=makes_key), as_json)

    return with_shared_options(command, _SHARED, visit)


looking = functools.partial(visiting, makes_key=False)
"""The same for a command that only reads: a key that is named has to be there."""


def as_plain(reply: Any) -> Any:
    """A message or record as JSON holds it, without what is absent; JSON texts as what they hold."""
    if dataclasses.is_dataclass(reply):
        fields = {field.name: getattr(reply, field.name) for field in dataclasses.fields(reply)}
        return {name: _value(name, value) for name, value in fields.items() if value is not None}
    return [as_plain(each) for each in reply] if isinstance(reply, list | tuple) else reply


JSON_FIELDS = frozenset({"task_metadata", "validator_completion", "miner_completion", "completion", "prompt", "a", "b"})


def _value(name: str, value: Any) -> Any:
    return read(value) if name in JSON_FIELDS and isinstance(value, str) else as_plain(value)


def given_value(option: str, given: str, *, is_json: bool) -> Any:
    """The same as a JSON value: a string, unless it is to be read as JSON. Raises FileError, BadParameter."""
    text = given_text(option, given)
    if not is_json:
        return text
    try:
        return read(text)
    except NotJson as error:
        raise typer.BadParameter(f"{option}: {error}") from None
