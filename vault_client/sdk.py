"""The SDK's door: `connect` to a server and stay connected, whatever becomes of single connections.

async with connect("ws://127.0.0.1:8765", identity=load_or_make_key(path)) as vault:
    task = await vault.submit(t=t, baseg=g, product=n)
    print((await task.answer()).y)  # its proof has been checked here: a server's word would not be enough
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from protocol.address import BadAddress, parse_address
from protocol.identity import Identity
from protocol.vault import CLIENT_PATH
from vault_client.conversation import dial
from vault_client.errors import ServerUnreachable
from vault_client.link import ConnectionEvent, Link
from vault_client.pins import Pins
from vault_client.tasks import Progress
from vault_client.vault import Vault


@asynccontextmanager
async def connect(
    server: str,
    *,
    identity: Identity | None = None,
    server_key: str | None = None,
    known_servers: Path | None = None,
    connect_seconds_max: float = 10.0,
    reconnect_seconds_max: float | None = None,
    ban_seconds_max: float = 0.0,
    on_progress: Callable[[Progress], object] | None = None,
    on_connection: Callable[[ConnectionEvent], object] | None = None,
) -> AsyncIterator[Vault]:
    """Connect to a server (`ws://HOST:PORT`, `wss://HOST`) as the holder of a key.

    Tasks belong to the key: with `identity` None a fresh one is drawn, and no later connection can ask for its tasks.
    `server_key` (64 hex digits) is the only key the server may have. Without it, `known_servers` is a file of keys seen
    before, to which a new server's is added; without either the first key seen holds for this connection.
    `connect_seconds_max` bounds the first connection. A connection that is lost comes back by itself, tried for
    `reconnect_seconds_max` (None: until it works). Requests keep the pace that the server allows. Should the key be
    banned all the same, a ban of up to `ban_seconds_max` is waited out; a longer one raises Banned, from here or from
    whatever waits. Raises ServerUnreachable, ServerNotTrusted, NotAdmitted, Banned, FileError.
    """
    try:
        address = parse_address(server)
    except BadAddress as error:
        raise ServerUnreachable(f"{error}.", "An example: ws://127.0.0.1:8765") from None
    pins = Pins(server_key, known_servers)
    key = Identity.generate() if identity is None else identity

    def link(vault: Vault) -> Link:
        def changed(event: ConnectionEvent) -> None:
            if event.connected:
                vault.came_back()
            if on_connection is not None:
                on_connection(event)

        return Link(
            lambda acknowledged: dial(address, key, pins, acknowledged, CLIENT_PATH),
            address.authority,
            connect_seconds_max=connect_seconds_max,
            reconnect_seconds_max=reconnect_seconds_max,
            ban_seconds_max=ban_seconds_max,
            hear=vault.hear,
            changed=changed,
        )

    vault = Vault(link, on_progress)
    await vault.start()
    try:
        yield vault
    finally:
        await vault.stop()
