"""Hints between nodes by LISTEN and NOTIFY: look sooner. Nothing depends on them; what they speak of stands in rows.

A NOTIFY takes a lock of the whole PostgreSQL server while it is committed, so it is never part of the work's own
transaction, and hints that come close behind each other are sent as one.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress

import psycopg
import structlog

from vault_server.core.location import PostgresUrl

logger = structlog.get_logger()

CHANNEL = "vault_hints"
PAUSE_SECONDS = 0.005
"""Between two hints of one node."""
AGAIN_SECONDS = 1.0
PAYLOAD_BYTES_MAX = 7_900
"""NOTIFY takes less than 8,000 bytes, the sender's name among them."""
PAYLOADS_MAX = 16
"""Sent at once: hints are no way for large things."""
CONNECT_SECONDS = 5


def payloads(topics: Iterable[str]) -> list[str]:
    """Topics as few texts that NOTIFY takes, the short ones first; what is too much, or too long, is left out."""
    made = [""]
    for topic in sorted(topics, key=len):
        if len(topic) >= PAYLOAD_BYTES_MAX:
            break
        if len(made[-1]) + len(topic) + 1 > PAYLOAD_BYTES_MAX:
            made.append("")
        made[-1] += f"{topic} "
    return [payload for payload in made if payload][:PAYLOADS_MAX]


class Hints:
    """Two connections of their own: one waits for the hints of other nodes, one sends."""

    def __init__(self, url: PostgresUrl) -> None:
        self._url = url
        self._sender = secrets.token_hex(8)
        self._told: Callable[[str], None] | None = None
        self._topics: dict[str, None] = {}
        self._has_topics = asyncio.Event()
        self._runners: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to wait and to send; neither is waited for."""
        if not self._runners:
            self._has_topics = asyncio.Event()
            self._runners = [
                asyncio.create_task(self._keep_on(self._receive), name="hints-in"),
                asyncio.create_task(self._keep_on(self._send), name="hints-out"),
            ]

    async def stop(self) -> None:
        """Hang up; what was not sent is not missed."""
        runners, self._runners = self._runners, []
        for runner in runners:
            runner.cancel()
        await asyncio.gather(*runners, return_exceptions=True)

    def send(self, topic: str) -> None:
        """Soon, together with the same of others."""
        self._topics[topic] = None
        self._has_topics.set()

    def heed(self, told: Callable[[str], None] | None) -> None:
        """Have `told` called for each hint of another node."""
        self._told = told

    async def _keep_on(self, run: Callable[[], Awaitable[None]]) -> None:
        is_down = False
        while True:
            try:
                await run()
                is_down = False
            except (psycopg.Error, OSError) as error:
                if not is_down:
                    logger.warning("hints.interrupted", reason=self._url.hide(str(error)).splitlines()[0])
                is_down = True
                await asyncio.sleep(AGAIN_SECONDS)

    async def _connect(self) -> psycopg.AsyncConnection:
        connecting = asyncio.ensure_future(
            psycopg.AsyncConnection.connect(
                self._url.secret, autocommit=True, connect_timeout=CONNECT_SECONDS, application_name="vault-server"
            )
        )
        try:
            return await asyncio.shield(connecting)
        except asyncio.CancelledError:
            with suppress(psycopg.Error, OSError):  # a connection that is half made would be left to the collector
                await (await connecting).close()
            raise

    async def _receive(self) -> None:
        async with await self._connect() as connection:
            await connection.execute(f"LISTEN {CHANNEL}")
            self._tell([""])  # what was said before is not repeated
            async for notify in connection.notifies():
                sender, _, topics = notify.payload.partition(" ")
                if sender != self._sender:
                    self._tell(topics.split())

    async def _send(self) -> None:
        await self._has_topics.wait()
        async with await self._connect() as connection:
            while True:
                await self._has_topics.wait()
                self._has_topics.clear()
                topics, self._topics = self._topics, {}
                for payload in payloads(topics):
                    await connection.execute("SELECT pg_notify(%s, %s)", [CHANNEL, f"{self._sender} {payload}"])
                await asyncio.sleep(PAUSE_SECONDS)

    def _tell(self, topics: Iterable[str]) -> None:
        if self._told is not None:
            for topic in topics:
                self._told(topic)
