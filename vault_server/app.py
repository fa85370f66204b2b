"""Composition: build the parts, start them in order, stop them in reverse."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import structlog

from protocol.identity import Identity
from vault_server import logs
from vault_server.clock import Clock
from vault_server.core.operation import (
    SERVER,
    AccountChanged,
    BanChanged,
    Caller,
    Effect,
    Endpoint,
    Gauge,
    JobDue,
    LogEvent,
    MasterKeyMade,
    Relay,
    System,
)
from vault_server.core.tally import Tally
from vault_server.dispatch.alarm import Alarm
from vault_server.dispatch.dispatcher import Dispatcher
from vault_server.dispatch.errand import Errand, binder
from vault_server.dispatch.heartbeat import BAN, Heartbeat
from vault_server.dispatch.jobs import Jobs
from vault_server.dispatch.pump import Pump
from vault_server.dispatch.router import Router
from vault_server.exchange import bans, housekeeping, outbox, presence, rekeying
from vault_server.exchange.admission import Admission
from vault_server.exchange.cipher import Cipher
from vault_server.exchange.master_keys import KeyStore, adopt_hash_key
from vault_server.exchange.rekeying import AgreeOnMasterKeys
from vault_server.exchange.server_identity import agree_on_identity
from vault_server.gateway import account_watch
from vault_server.gateway.account_watch import AccountWatch
from vault_server.gateway.control import Control
from vault_server.gateway.distant import DistantRelays
from vault_server.gateway.listener import Listener
from vault_server.gateway.live import live
from vault_server.gateway.operator_desk import OperatorDesk, orders_of, questions_of
from vault_server.gateway.pace import Pace
from vault_server.metrics import Live, Metrics
from vault_server.settings import Settings
from vault_server.storage.counted import CountedDatabase
from vault_server.storage.database import Work
from vault_server.storage.opening import open_database
from vault_server.storage.sqlite import SqliteDatabase
from vault_server.systems.hive.records import Parts as HiveParts
from vault_server.systems.hive.system import hive
from vault_server.systems.subnet.records import Parts as SubnetParts
from vault_server.systems.subnet.system import subnet
from vault_server.systems.vault.records import Parts
from vault_server.systems.vault.system import vault
from vault_server.web.health import Health
from vault_server.web.hive.desk import Desk
from vault_server.web.hive.pages.sections import SECTIONS
from vault_server.web.hive.pages.site import Site
from vault_server.web.hive.rest import Rest
from vault_server.web.hive.routes import BASE
from vault_server.web.scrape import Scrape
from vault_server.web.server import WebServer

logger = structlog.get_logger()


class App:
    """The server, whole. `start` returns when connections are accepted."""

    def __init__(
        self, settings: Settings, identity: Identity, master_keys: KeyStore, clock: Clock | None = None
    ) -> None:
        self.settings = settings
        self.identity = identity
        self._clock = clock or Clock()
        self._master_keys = master_keys
        self._cipher = Cipher.of(master_keys.read(), self._clock.random_bytes)
        self._tally = Tally()
        self._file_or_cluster = open_database(settings.database, settings.database_connections_max)
        self._database = CountedDatabase(self._file_or_cluster, self._tally)
        own = Caller(identity.fingerprint, identity.hotkey, Endpoint.SERVER, "")
        systems = compose(settings, self._cipher, master_keys, self._clock, own)
        pushes = {push.kind: push for system in systems for push in system.pushes}
        operations = [outbox.ACKNOWLEDGE, *(operation for system in systems for operation in system.operations)]
        self._router = Router(operations)
        self.pump = Pump(settings, self._database, pushes, self._tally)
        self._dispatcher = Dispatcher(
            settings, self._clock, self._database, self._router, self._carry_out, self.pump.wake
        )
        self.replaced = asyncio.Event()
        """Set when another server has taken this node's name: two of one name must not both serve."""
        self._heartbeat = Heartbeat(
            settings.node, settings.node_lease_ms, self._database, self._dispatcher, self.pump, self.replaced.set
        )
        self._jobs = Jobs(settings, self._database, self._dispatcher, [j for s in systems for j in s.jobs])
        deadlines = {name: order for system in systems for name, order in system.deadlines.items()}
        waking = [order for system in systems for order in system.waking]
        self._alarm = Alarm(self._clock, self._database, self._dispatcher, deadlines, waking)
        self._starting = [order for system in systems for order in system.starting]
        doors = [door for system in systems for door in system.doors]
        admission = Admission(settings, operations)
        [accounts] = [system.accounts for system in systems if system.accounts is not None]
        self._accounts = AccountWatch(self._dispatcher, self._clock, accounts, settings.hive_recheck_ms)
        self.listener = Listener(
            settings,
            self._clock,
            identity,
            doors,
            self._dispatcher,
            self.pump,
            admission,
            self._tally,
            self._accounts,
            lambda: self.web.port,
        )
        self._distant = DistantRelays(
            self._cipher, settings.progress_ms_min, _monotonic_ms, self._database.hint, self.listener.relay
        )
        self._heartbeat.other_hints = self._hinted
        self._pace = Pace(time.monotonic)
        questions = questions_of([r for s in systems for r in s.reports], self._database, self._clock)
        questions["live"] = live(settings, self._clock, self.listener, self._pace)
        desk = OperatorDesk(questions, orders_of(operations), self._dispatcher)
        self.control = Control(settings, desk, logs.recent)
        self._desk = Desk(settings, self._clock, self._dispatcher, accounts, admission.accounts, self.listener.place)
        self.web = self._web([gauge for system in systems for gauge in system.gauges])

    def fork(self, begin: Callable[[], None]) -> None:
        """Have a process of its own write to an embedded database; `begin` is called there first.

        Before the first thread, so before `start`; without it a thread writes. Raises StorageError.
        """
        if isinstance(self._file_or_cluster, SqliteDatabase):
            self._file_or_cluster.fork(self.pump.lookout, binder(self._router), begin, self.settings.batch_messages_max)

    @property
    def writer_lost(self) -> asyncio.Future[str] | None:
        """Done, with the reason, when the process that writes has ended by itself."""
        return self._file_or_cluster.lost if isinstance(self._file_or_cluster, SqliteDatabase) else None

    async def start(self) -> None:
        """Raises StorageError, WrongMasterKey, CannotListen, CannotServeHttp; whatever was started is stopped then."""
        try:
            await self._database.start()
            await self._agree_with_the_database()
            await self.web.start()
            await self._dispatcher.start()
            await self._heartbeat.start()
            for order in self._starting:
                await self._dispatcher.call(SERVER, order)
            await self.pump.start()
            await self._jobs.start()
            await self._alarm.start()
            await self.control.start()
            await self.listener.start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Finish what was taken in, tell everybody, close. Safe at any time, and twice.

        Every part is stopped, also when one before it fails: a database left open would keep the process alive.
        """
        outer = (self._database, self.web, self.control)
        inner = (self.pump, self._dispatcher, self._heartbeat, self._jobs, self._alarm, self.listener)
        async with AsyncExitStack() as stack:  # the last one entered is stopped first
            for part in (*outer, *inner):
                stack.push_async_callback(part.stop)

    def _web(self, gauges: Sequence[Gauge]) -> WebServer:
        metrics = Metrics(self._tally, Live(self.listener.open_connections, logs.lines_dropped))
        rest = Rest(self._desk)
        return WebServer(
            self.settings,
            [
                Health(self._clock, self.listener, self._database),
                Scrape(self._clock, self._database, metrics, gauges),
                rest,
                Site(self._desk, lambda: self.listener.port, SECTIONS),  # the last one: it takes what is left
            ],
            {BASE: rest.refuse},
            self.listener.owner,
        )

    async def _agree_with_the_database(self) -> None:
        order = AgreeOnMasterKeys()
        operation = self._router.route(SERVER, order)
        works: list[Work] = [Errand(SERVER, order, self._clock.now_ms(), None, operation)]
        if self._database.is_shared:
            works.append(partial(agree_on_identity, hotkey=self.identity.hotkey))
        for outcome in await self._database.transact(works):
            if outcome.error is not None:
                raise outcome.error
        await self._database.read(partial(adopt_hash_key, cipher=self._cipher))

    def _carry_out(self, effects: list[Effect]) -> None:
        """What a committed batch wants done."""
        events = [effect for effect in effects if isinstance(effect, LogEvent)]
        logs.write_events(events)
        self._pace.count([effect.event for effect in events])
        for effect in effects:
            if isinstance(effect, LogEvent):
                continue
            if isinstance(effect, Relay):
                self._relay(effect)
            elif isinstance(effect, JobDue):
                self._jobs.add(effect)
            elif isinstance(effect, BanChanged) and self.listener.guard.ban_changed(effect):
                self._database.hint(BAN)
            elif isinstance(effect, MasterKeyMade):
                self._cipher.add(effect.version, effect.key)
            elif isinstance(effect, AccountChanged):
                self._accounts.changed(effect.account)
                self._database.hint(account_watch.HINT + effect.account)

    def _hinted(self, hint: str) -> None:
        """What another node says that is neither of pushes nor of bans."""
        if hint.startswith(account_watch.HINT):
            self._accounts.changed(hint.removeprefix(account_watch.HINT))
        else:
            self._distant.received(hint)

    def _relay(self, relay: Relay) -> None:
        self.listener.relay(relay)
        if self._database.is_shared and not any(self.listener.roster.find(relay.receiver, relay.endpoint)):
            self._distant.send(relay)


def _monotonic_ms() -> float:
    return time.monotonic() * 1000


def compose(settings: Settings, cipher: Cipher, master_keys: KeyStore, clock: Clock, own: Caller) -> Sequence[System]:
    """Every system of this server, built and not started. `own` is the server as a client of its own."""
    parts = Parts(settings, cipher, clock.random_bytes, own)
    systems = [
        vault(parts),
        subnet(SubnetParts(settings, cipher, clock.random_bytes)),
        hive(HiveParts(settings, cipher, clock.random_bytes)),
    ]
    penalties = {endpoint: penalty for system in systems for endpoint, penalty in system.penalties.items()}
    sealed = [column for system in systems for column in system.sealed]
    banning = bans.system(settings.ban_duration, penalties)
    run = clock.random_bytes(8).hex()
    return [
        presence.system(settings.node, run, settings.node_lease_ms, systems),
        rekeying.system(cipher, master_keys, sealed, clock.random_bytes),
        housekeeping.system(settings.idempotency_ms, [banning, *systems]),
        banning,
        *systems,
    ]


class WriterLost(Exception):
    """The process that writes has ended by itself; the message says how."""


async def serve(app: App, stop: asyncio.Event, ready: Callable[[], None]) -> None:
    """Run until `stop` is set, then drain. `ready` is called once connections are accepted. Raises WriterLost."""
    await app.start()
    try:
        ready()
        logger.info(
            "server.ready",
            url=f"{'wss' if app.settings.tls_certificate else 'ws'}://{app.settings.host}:{app.listener.port}",
            port=app.listener.port,
            http_port=app.web.port or None,
            server_key=app.identity.hotkey,
            database=str(app.settings.database),
        )
        await _any_of(stop.wait(), app.replaced.wait(), _lost(app))
        logger.info("server.draining")
    finally:
        await app.stop()
    logger.info("server.stopped")


async def _lost(app: App) -> None:
    """Until nothing can be written any more. Raises WriterLost."""
    if app.writer_lost is None:
        await asyncio.get_running_loop().create_future()
        return
    reason = await asyncio.shield(app.writer_lost)
    logger.error("writer.died", reason=reason)
    raise WriterLost(f"the database's writer is gone ({reason}); start the server again: what was acknowledged is kept")


async def _any_of(*waits: Coroutine[Any, Any, Any]) -> None:
    """Until one of them is over. Raises what that one raises."""
    tasks = [asyncio.create_task(wait) for wait in waits]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    for task in done:
        task.result()
