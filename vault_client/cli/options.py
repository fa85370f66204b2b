"""Options that several commands share: which server, as whom, and how it is trusted."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from protocol.fields import INTEGER_MAX
from protocol.identity import FINGERPRINT_BYTES, Identity
from protocol.vault import PROOF_WISHES
from vault_client.cli.console import note
from vault_client.cli.submitted import clock_time
from vault_client.keyfile import default_key_path, default_known_servers_path, make_key, read_key, refuse_folder
from vault_client.link import ConnectionEvent
from vault_client.sdk import connect
from vault_client.vault import Vault

DEFAULT_SERVER = "ws://127.0.0.1:8765"
CONNECT_SECONDS_MAX = 5.0
RECONNECT_SECONDS_MAX = 30.0
"""For commands that do not wait for an answer."""
BAN_SECONDS_MAX = 3_600.0
"""How long a ban is waited out by commands that wait for an answer; a longer one ends them."""

ServerOption = Annotated[
    str,
    typer.Option(
        "--server", envvar="VAULT_SERVER", metavar="URL", help="Where the server is: ws://HOST:PORT or wss://HOST."
    ),
]
KeyOption = Annotated[
    Path | None,
    typer.Option(
        "--key",
        metavar="PATH",
        help="Your key: tasks belong to it. Made on first use, readable by you alone.",
        show_default="client.key in ~/.config/vault",
    ),
]
ServerKeyOption = Annotated[
    str | None,
    typer.Option(
        "--server-key",
        metavar="HEX",
        help="The only key that the server may have, as `vault-server serve` prints it. "
        "Without it the first key seen is trusted and remembered.",
    ),
]
KnownServersOption = Annotated[
    Path | None,
    typer.Option(
        "--known-servers",
        metavar="PATH",
        help="The file of servers seen before and their keys.",
        show_default="known-servers in ~/.config/vault",
    ),
]
SquaringsOption = Annotated[int, typer.Option("--t", min=1, max=INTEGER_MAX, metavar="N", help="How many squarings.")]
BaseOption = Annotated[
    str, typer.Option("--baseg", metavar="NUMBER", help="The base g: 123, 0x7b, @FILE or - for stdin.")
]
ProductOption = Annotated[str, typer.Option("--product", metavar="NUMBER", help="The modulus N, in the same forms.")]


def _proof_wish(word: str) -> str:
    if word not in PROOF_WISHES:
        raise typer.BadParameter(f"it is one of {', '.join(PROOF_WISHES)}")
    return word


ProofOption = Annotated[
    str,
    typer.Option(
        "--proof",
        callback=_proof_wish,
        metavar="|".join(PROOF_WISHES),
        help="With none an answer counts once two solvers agree on it: faster by some percent, and nothing proves it.",
    ),
]


def _task_id(word: str) -> str:
    if len(word) != 2 * FINGERPRINT_BYTES or set(word) - set("0123456789abcdef"):
        raise typer.BadParameter(f"{word!r} is no task: its id is 32 hex digits, as `vault-client list` shows it")
    return word


def task_ids(words: list[str] | None) -> list[str] | None:
    """For an argument that takes several. Raises BadParameter."""
    return None if words is None else [_task_id(word) for word in words]


TaskArgument = Annotated[str, typer.Argument(callback=_task_id, metavar="TASK", help="The task's id, 32 hex digits.")]
JsonLinesOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON object a line, for scripts; errors too, on standard error.")
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON object, for scripts; errors too, on standard error.")
]


@dataclass(frozen=True, slots=True)
class Door:
    """How to reach the server, as whom."""

    server: str
    identity: Identity
    server_key: str | None
    known_servers: Path

    @classmethod
    def of(
        cls,
        server: str,
        key: Path | None,
        server_key: str | None,
        known_servers: Path | None,
        *,
        makes_key: bool = True,
    ) -> Door:
        """From the options. Makes the key on first use; one that is named only with `makes_key`. Raises FileError."""
        identity = _identity(key or default_key_path(), makes_key=makes_key or key is None)
        return cls(server, identity, server_key, known_servers or default_known_servers_path())

    def open(
        self, *, waiting: bool, on_connection: Callable[[ConnectionEvent], object] | None = None
    ) -> AbstractAsyncContextManager[Vault]:
        """Connect; whoever is `waiting` for an answer does so for as long as it takes, a ban's end included.

        Notes tell of lost connections, unless `on_connection` does.
        """
        return connect(
            self.server,
            identity=self.identity,
            server_key=self.server_key,
            known_servers=self.known_servers,
            connect_seconds_max=CONNECT_SECONDS_MAX,
            reconnect_seconds_max=None if waiting else RECONNECT_SECONDS_MAX,
            ban_seconds_max=BAN_SECONDS_MAX if waiting else 0.0,
            on_connection=ConnectionNotes().changed if on_connection is None else on_connection,
        )


def _identity(path: Path, *, makes_key: bool) -> Identity:
    refuse_folder(path)
    if not os.path.exists(path):
        if not makes_key:  # nothing can be there for a key that is new: the path is mistyped
            return read_key(path)
        identity = make_key(path)
        note(f"Made your key {path} (fingerprint {identity.fingerprint}).")
        return identity
    if path.stat().st_mode & 0o077:
        note(f"warning: others can read your key. Run: chmod 600 {path}")
    return read_key(path)


class ConnectionNotes:
    """Says when the connection is lost and back; the first time it comes up goes without saying."""

    def __init__(self) -> None:
        self._lost = False

    def changed(self, event: ConnectionEvent) -> None:
        """For `connect`."""
        if event.banned_seconds is not None:
            end = clock_time(time.time() + event.banned_seconds)
            note(f"The server has banned this key until {end}. Waiting for that; ctrl-C leaves.")
        elif self._lost and event.connected:
            note("Connected again.")
        elif not self._lost and not event.connected:
            note(f"Connection lost: {event.detail}. Trying again.")
        self._lost = not event.connected
