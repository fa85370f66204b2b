"""The listening socket and the books of what came through it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import structlog
from websockets.frames import CloseCode

from protocol.envelope import Message
from protocol.errors import Code, MessageError
from protocol.identity import Identity
from vault_server.clock import Clock
from vault_server.core.operation import Caller, Door, Relay
from vault_server.core.tally import Tally
from vault_server.dispatch.dispatcher import Dispatcher
from vault_server.dispatch.pump import Pump
from vault_server.exchange.admission import Admission
from vault_server.gateway.account_watch import AccountWatch
from vault_server.gateway.addresses import AddressBook, counted_as, plain_address
from vault_server.gateway.connection import Connection
from vault_server.gateway.descriptors import TOLD_MAX, connections_that_fit
from vault_server.gateway.guard import Guard
from vault_server.gateway.guest import Guest
from vault_server.gateway.handshake import FrontDoor
from vault_server.gateway.log_quota import LogQuota
from vault_server.gateway.proxies import Proxies
from vault_server.gateway.relays import Relays
from vault_server.gateway.roster import Roster
from vault_server.settings import Settings

logger = structlog.get_logger()

BACKLOG = 1024
DRAIN_LOOK_SECONDS = 0.01
LEAVE_AGAIN_SECONDS = 5.0


class CannotListen(Exception):
    """The address is taken, is not this machine's, or the certificate cannot be used."""

    @classmethod
    def at(cls, host: str, port: int, error: OSError) -> CannotListen:
        """What `error` says of this address, and the next step."""
        return cls(f"cannot listen on {host}:{port}: {error.strerror or error}; choose another --port or --host")


@dataclass
class Listener:
    """`start` returns when connections are accepted; `port` is then the one that is bound."""

    settings: Settings
    clock: Clock
    identity: Identity
    doors: list[Door]
    dispatcher: Dispatcher
    pump: Pump
    admission: Admission
    tally: Tally = field(default_factory=Tally)
    accounts: AccountWatch | None = None
    http_port: Callable[[], int] = int
    """Where the pages are that sessions come from; 0: nowhere."""

    def __post_init__(self) -> None:
        self.roster = Roster()
        self.guard = Guard(self.settings, self.clock, self.admission, self.dispatcher, self.roster)
        self._relays = Relays(self.settings.progress_ms_min, self.roster)
        self.addresses = AddressBook(self.settings)
        self.proxies = Proxies(self.settings.trusted_proxies)
        self.refused_addresses = LogQuota()
        self.refused_hellos = LogQuota()
        self.is_draining = False
        self._connections_max = self.settings.connections_max
        self.port = 0
        self._connections: set[Connection] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._server: asyncio.Server | None = None
        self._keeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises CannotListen."""
        if self._server is not None:
            return
        s = self.settings
        self._connections_max = connections_that_fit(s.connections_max)
        if self._connections_max < s.connections_max:
            logger.warning("server.crowded", connections_max=s.connections_max, fit=self._connections_max)
        tls = self._tls()
        # A connection begins behind the TLS handshake: until then the loop itself has to hang up on who is silent.
        patience = None if tls is None else s.handshake_ms_max / 1000
        try:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: Connection(self),
                s.host,
                s.port,
                ssl=tls,
                backlog=BACKLOG,
                ssl_handshake_timeout=patience,
                ssl_shutdown_timeout=patience,
            )
        except OSError as error:
            raise CannotListen.at(s.host, s.port, error) from error
        self.port = self._server.sockets[0].getsockname()[1]
        self.front_door = FrontDoor(s, self.doors, self.port, self.http_port())
        if self.accounts is not None:
            await self.accounts.start()
        self._keeper = asyncio.create_task(self._keep_alive(), name="listener")

    async def stop(self) -> None:
        """Accept nothing more, let replies go out, close everybody; bounded by `drain_ms_max`."""
        if self._server is None:
            return
        self.is_draining = True
        self._server.close()
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(self.settings.drain_ms_max / 1000):
                await self._until_all_idle()
                for connection in list(self._connections):
                    connection.close(1001, "the server is stopping")
                await self._empty.wait()
        for connection in list(self._connections):
            connection.abort()
        if self.accounts is not None:
            await self.accounts.stop()
        self._server = None

    async def _until_all_idle(self) -> None:
        while not all(connection.is_idle for connection in self._connections):  # noqa: ASYNC110
            await asyncio.sleep(DRAIN_LOOK_SECONDS)  # a look now and then, once in a server's life

    @property
    def is_accepting(self) -> bool:
        """Whether whoever comes now is let in."""
        return self._server is not None and not self.is_draining

    def open_connections(self) -> Mapping[str, int]:
        """Connections by endpoint; at `none` are those that have not proved a key yet, or are leaving."""
        present = self.roster.by_endpoint()
        none = {door.endpoint.value: 0 for door in self.doors}
        return none | present | {"none": len(self._connections) - present.total()}

    @property
    def is_full(self) -> bool:
        """Whether `connections_max` is reached, or what the process's file descriptors allow."""
        return len(self._connections) > self._connections_max

    @property
    def is_crowded(self) -> bool:
        """Whether there is not even room to be told that it is full."""
        return len(self._connections) > self._connections_max + TOLD_MAX

    def relay(self, relay: Relay) -> None:
        """Send a message that need not arrive to whoever is connected."""
        self._relays.pass_on(relay)

    def place(self, peer: str, forwarded_for: Iterable[str]) -> str:
        """Where a request of another port comes from, as limits count it."""
        address = plain_address(peer)
        if self.proxies.trusts(address):
            address = self.proxies.origin(address, forwarded_for)
        return counted_as(address, self.settings.ipv6_prefix_bits)

    def owner(self, peer: str) -> str | None:
        """As whose a connection to another port is counted; None: a named proxy's carries many people's requests."""
        address = plain_address(peer)
        return None if self.proxies.trusts(address) else counted_as(address, self.settings.ipv6_prefix_bits)

    # what connections report

    def entered(self, connection: Connection) -> None:
        """A socket was accepted."""
        self._connections.add(connection)
        self._empty.clear()

    def gone(self, connection: Connection) -> None:
        """A socket was lost."""
        self._connections.discard(connection)
        if not self._connections:
            self._empty.set()

    def check_guest(self, caller: Caller, door: Door) -> None:
        """Whether there is room for somebody who has shown who he is. Raises MessageError."""
        self.guard.check_hello(caller.subject)
        limit = self.settings.connections_per_key_max
        if not door.exclusive and self.roster.count(caller) >= limit:
            raise MessageError(
                Code.TOO_MANY_CONNECTIONS,
                f"Your key has {limit} connections here.",
                "Close one first, or use one connection for all your tasks.",
            )

    def frame_bytes_max(self, door: Door) -> int:
        """Of a message that comes through this door."""
        own = door.frame_bytes_max or 0
        return own if door.by_account else max(own, self.settings.frame_bytes_max)

    def joined(self, connection: Connection, guest: Guest) -> None:
        """A connection takes part: it is sent what waits for its key."""
        caller, door = guest.caller, guest.door
        self.roster.add(caller, connection, exclusive=door.exclusive)
        if door.joined is not None:
            self.dispatcher.submit(caller, door.joined(), lambda _, refusal: self._has_joined(connection, refusal))
        self.pump.join(connection, caller.subject, caller.endpoint)
        if guest.held is not None and self.accounts is not None:
            self.accounts.enter(connection, guest.held)

    def left(self, connection: Connection, guest: Guest) -> None:
        """A connection that took part is lost."""
        self.pump.leave(connection)
        if guest.held is not None and self.accounts is not None:
            self.accounts.leave(connection, guest.held)
        if self.roster.remove(guest.caller, connection):
            self._leave(guest.caller, guest.door)

    def _has_joined(self, connection: Connection, refusal: MessageError | None) -> None:
        """A key whose coming could not be written down has to come again: nobody would give it anything."""
        if refusal is not None:
            logger.error("presence.failed", code=refusal.code)
            connection.close(CloseCode.TRY_AGAIN_LATER, "the storage cannot take you in now")

    def _leave(self, caller: Caller, door: Door) -> None:
        """Have it written down that a key is gone; again and again if need be, or it would be given work."""
        if door.left is None or self.roster.count(caller):
            return

        def done(_reply: Message | None, refusal: MessageError | None) -> None:
            if refusal is not None:
                logger.error("presence.failed", code=refusal.code)
                asyncio.get_running_loop().call_later(LEAVE_AGAIN_SECONDS, self._leave, caller, door)

        with suppress(MessageError):  # the server is stopping: the next one finds out that nobody is here
            self.dispatcher.submit(caller, door.left(), done)

    async def _keep_alive(self) -> None:
        """Close who has been silent for `silence_ms_max`; ping everybody three times in it."""
        silence = self.settings.silence_ms_max / 1000
        while True:
            await asyncio.sleep(silence / 3)
            now = asyncio.get_running_loop().time()
            for connection in list(self._connections):
                if now - connection.heard_at > silence:
                    connection.abort()
                else:
                    connection.ping()

    def _tls(self) -> ssl.SSLContext | None:
        if self.settings.tls_certificate is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            context.load_cert_chain(self.settings.tls_certificate, self.settings.tls_key)
        except (OSError, ssl.SSLError) as error:
            raise CannotListen(
                f"cannot use the certificate {self.settings.tls_certificate}: {error}; "
                "check VAULT_TLS_CERTIFICATE and VAULT_TLS_KEY"
            ) from error
        return context
