"""A real server, its REST door, and agents whose keys it knows: three people with an agent each."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from protocol import hive as wire
from protocol import hive_replies as reply
from tests.processes import Server
from tests.vault_server.systems.hive.harness import DESCRIPTION, TITLE, Hive, settings_for
from vault_server import keys
from vault_server.core.location import PostgresUrl
from vault_server.core.operation import Caller
from vault_server.storage.database import Database
from vault_server.storage.postgres import PostgresDatabase
from vault_server.storage.sqlite import SqliteDatabase

UNHURRIED = {"hive_requests_max": 1_000_000, "hive_open_tasks_max": 1_000_000}
SECONDS_MAX = 20.0
Json = dict[str, Any]


class PostgresServer(Server):
    """The same on PostgreSQL; the URL comes from the environment."""

    def __init__(self, folder: Path, settings: dict[str, object], url: PostgresUrl) -> None:
        super().__init__(folder, {"database": url.secret, "key_files": folder / "keys"} | settings)

    def command(self) -> Sequence[str | Path]:
        return ["-m", "vault_server", "serve", "--port", str(self.port)]


@dataclass
class Agent:
    """An agent's id, its key, its operator, and a client that shows its key."""

    id: int
    key: str
    operator: Caller
    http: httpx.Client

    def get(self, path: str, **query: Any) -> httpx.Response:
        return self.http.get(path, params=query)

    def post(self, path: str, body: Any = None, key: str | None = None) -> httpx.Response:
        return self.http.post(path, json=body, headers={} if key is None else {"Idempotency-Key": key})

    def data(self, response: httpx.Response) -> Any:
        """The data of a response that has some."""
        assert response.is_success, response.text
        return response.json()["data"]


class RestServer:
    """One server for many tests."""

    def __init__(self, server: Server, database: Database, key_files: Path) -> None:
        self.server = server
        self.database = database
        self._key_files = key_files
        self._told: list[tuple[Caller, reply.AgentKey]] = []
        self.base = ""

    def start(self) -> None:
        """The server, and a client for each agent."""
        if not self._told:
            self.register()
        asyncio.run(self.server.start())
        self.base = f"http://127.0.0.1:{self.server.http_port}/api/v1"
        self.ann, self.bob, self.carl = (self.agent(person, told) for person, told in self._told)

    def register(self) -> None:
        """Three people register an agent each, before a server has the database."""
        self._told = asyncio.run(self._register())

    @property
    def keys(self) -> Sequence[str]:
        """The agents' keys."""
        return [told.api_key for _, told in self._told]

    def stop(self) -> None:
        """Raises ProcessFailed if it logged errors."""
        for agent in (self.ann, self.bob, self.carl):
            agent.http.close()
        asyncio.run(self.server.finish())

    def stranger(self, **headers: str) -> httpx.Client:
        """Somebody without a key."""
        return httpx.Client(base_url=self.base, headers=headers, timeout=SECONDS_MAX)

    async def _register(self) -> list[tuple[Caller, reply.AgentKey]]:
        keys.load_master_keys(self._key_files, None)
        keys.load_identity(self._key_files)
        await self.database.start()
        try:
            hive = Hive(self.database, settings_for(self._key_files.parent))
            await hive.start()
            made = []
            for name in ("ann", "bob", "carl"):
                person = await hive.person(name)
                order = wire.RegisterAgent(name=f"{name}s-bot", description="It does things.")
                made.append((person, await hive.give(person, order)))
            return made
        finally:
            await self.database.stop()

    def agent(self, person: Caller, told: reply.AgentKey) -> Agent:
        """A client with a key."""
        key = told.api_key
        http = httpx.Client(base_url=self.base, headers={"Authorization": f"Bearer {key}"}, timeout=SECONDS_MAX)
        return Agent(told.agent.id, key, person, http)

    # the way of a task, through the door

    def task(self, **fields: Any) -> int:
        """Ann's agent posts one."""
        body = {"title": TITLE, "description": DESCRIPTION, "budget_credits": 200, **fields}
        return int(self.ann.data(self.ann.post("/tasks", body))["id"])

    def claim(self, task: int) -> int:
        """Bob's agent bids."""
        made = self.bob.post(f"/tasks/{task}/claims", {"proposed_credits": 100})
        return int(self.bob.data(made)["id"])

    def claimed(self, **fields: Any) -> int:
        """A task that Bob's agent has."""
        task = self.task(**fields)
        self.ann.data(self.ann.post(f"/tasks/{task}/claims/{self.claim(task)}/accept"))
        return task

    def delivered(self, **fields: Any) -> tuple[int, int]:
        """A task with work under review."""
        task = self.claimed(**fields)
        return task, int(self.bob.data(self.bob.post(f"/tasks/{task}/deliverables", {"content": "1, 2"}))["id"])

    def completed(self) -> int:
        """A task that is done and paid."""
        task, deliverable = self.delivered()
        self.ann.data(self.ann.post(f"/tasks/{task}/deliverables/{deliverable}/accept"))
        return task


def on_sqlite(folder: Path, **settings: object) -> RestServer:
    """Not started."""
    server = Server(folder, UNHURRIED | settings)
    return RestServer(server, SqliteDatabase(server.database), server.database)


def on_postgres(folder: Path, url: PostgresUrl, **settings: object) -> RestServer:
    """Not started."""
    return RestServer(PostgresServer(folder, UNHURRIED | settings, url), PostgresDatabase(url, 6), folder / "keys")
