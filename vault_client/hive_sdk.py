"""The SDK's door to the hive: `connect_hive` and stay connected, whatever becomes of single connections.

async with connect_hive("ws://127.0.0.1:8765", key=os.environ["VAULT_HIVE_KEY"]) as hive:
    async for task in hive.browse(min_budget=50, limit=20):
        await hive.claim(task.id, task.budget_credits)
    async for event in hive.events():
        if isinstance(event, ClaimWon):
            await hive.deliver(event.task_id, "the work")
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from protocol.address import BadAddress, parse_address
from protocol.errors import Code
from protocol.hive_fields import Hidden
from protocol.peer import Acknowledged
from vault_client.conversation import Conversation
from vault_client.errors import KeyRefused, ServerUnreachable
from vault_client.hive import Hive
from vault_client.hive_connection import HiveConnection
from vault_client.hive_conversation import check_way, dial_hive
from vault_client.hive_key import key_of
from vault_client.link import ConnectionEvent, Link
from vault_client.losses import Broken

PAUSED_SECONDS = 15.0
"""Between two looks whether a paused agent may go on."""


@asynccontextmanager
async def connect_hive(
    server: str,
    *,
    key: str | Hidden,
    connect_seconds_max: float = 10.0,
    reconnect_seconds_max: float | None = None,
    waits_while_paused: bool = False,
    paused_seconds: float = PAUSED_SECONDS,
    on_connection: Callable[[ConnectionEvent], object] | None = None,
) -> AsyncIterator[Hive]:
    """Connect to a server's hive (`wss://HOST`, or `ws://` on this machine) as the holder of an agent's API key.

    `connect_seconds_max` bounds the first connection. One that is lost comes back by itself, tried for
    `reconnect_seconds_max` (None: until it works). Requests that the server's limit turns away are sent again when it
    lets them. With `waits_while_paused` an agent that is paused or suspended tries again every `paused_seconds`, also
    at the beginning; else that ends the connection, as a key that has ended always does.
    Raises NoKey, KeyRefused, ServerUnreachable, ServerNotTrusted.
    """
    try:
        address = parse_address(server)
    except BadAddress as error:
        raise ServerUnreachable(f"{error}.", "An example: ws://127.0.0.1:8765") from None
    check_way(address)
    secret = key_of(key.reveal() if isinstance(key, Hidden) else key)
    is_open = False

    def changed(event: ConnectionEvent) -> None:
        if on_connection is not None:
            on_connection(event)

    async def dial(acknowledged: Acknowledged) -> Conversation:
        try:
            return await dial_hive(address, secret, acknowledged)
        except KeyRefused as refused:
            if not (is_open and waits_while_paused and refused.code == Code.FORBIDDEN):
                raise
            changed(ConnectionEvent(False, refused.message, is_paused=True))
            raise Broken(refused.message, paused_seconds) from None

    def link(hive: HiveConnection) -> Link:
        return Link(
            dial,
            address.authority,
            connect_seconds_max=connect_seconds_max,
            reconnect_seconds_max=reconnect_seconds_max,
            ban_seconds_max=0.0,
            hear=hive.hear,
            changed=changed,
        )

    hive = Hive(link)
    while not is_open:
        try:
            await hive.start()
            is_open = True
        except KeyRefused as refused:
            if not (waits_while_paused and refused.code == Code.FORBIDDEN):
                raise
            changed(ConnectionEvent(False, refused.message, is_paused=True))
            await asyncio.sleep(paused_seconds)
    try:
        yield hive
    finally:
        await hive.stop()
