"""The SDK's door to the subnet: `connect_subnet` and stay connected, whatever becomes of single connections.

async with connect_subnet("ws://127.0.0.1:8765", identity=load_or_make_key(path)) as subnet:
    await subnet.register(mining=True)
    async for event in subnet.events():
        if isinstance(event, TaskAssigned):
            await subnet.submit(event.task_id, "an answer")
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from protocol import subnet as wire
from protocol.address import BadAddress, parse_address
from protocol.identity import Identity
from vault_client.conversation import dial
from vault_client.errors import ServerUnreachable
from vault_client.link import ConnectionEvent, Link
from vault_client.pins import Pins
from vault_client.subnet import Subnet


@asynccontextmanager
async def connect_subnet(
    server: str,
    *,
    identity: Identity | None = None,
    server_key: str | None = None,
    known_servers: Path | None = None,
    connect_seconds_max: float = 10.0,
    reconnect_seconds_max: float | None = None,
    ban_seconds_max: float = 0.0,
    on_connection: Callable[[ConnectionEvent], object] | None = None,
) -> AsyncIterator[Subnet]:
    """Connect to a server's subnet as the holder of a key; everything else as in `connect`."""
    try:
        address = parse_address(server)
    except BadAddress as error:
        raise ServerUnreachable(f"{error}.", "An example: ws://127.0.0.1:8765") from None
    pins = Pins(server_key, known_servers)
    key = Identity.generate() if identity is None else identity

    def link(subnet: Subnet) -> Link:
        def changed(event: ConnectionEvent) -> None:
            if event.connected:
                subnet.came_back()
            if on_connection is not None:
                on_connection(event)

        return Link(
            lambda acknowledged: dial(address, key, pins, acknowledged, wire.SUBNET_PATH),
            address.authority,
            connect_seconds_max=connect_seconds_max,
            reconnect_seconds_max=reconnect_seconds_max,
            ban_seconds_max=ban_seconds_max,
            hear=subnet.hear,
            changed=changed,
        )

    subnet = Subnet(link, key.hotkey)
    await subnet.start()
    try:
        yield subnet
    finally:
        await subnet.stop()
