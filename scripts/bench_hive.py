"""How long REST takes: pages, searches, claims and deliveries one after the other, with many tasks, on both databases.

Each is timed beside GET /healthz in the same run: what the machine, HTTP and the reader of the clock cost at least.
PostgreSQL comes from a wheel; both databases wait for the disk.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import psycopg

from tests.cluster.postgres import Postgres, postgres_server
from tests.vault_server.web.hive.rest_server import Agent, PostgresServer, RestServer, on_postgres, on_sqlite
from vault_server.core.operation import Query, Transaction

SIZES = (10_000, 100_000)
WARM_UP = 20
FILLED = 5000
"""Tasks in one transaction: PostgreSQL's statements have their time."""
JSON = {"Content-Type": "application/json"}
WORDS = ("parser", "report", "logo", "letter", "table", "summary", "proof", "plan")

_TASK = """
    SELECT 2, 'Write a ' || CASE i % 8 {words} END || ' number ' || CAST(i AS TEXT),
           'One of many tasks that differ in their budgets and categories.', 10 + (i * 7919) % 5000, 1 + i % 7,
           :now, :now
"""
_CASES = " ".join(f"WHEN {number} THEN '{word}'" for number, word in enumerate(WORDS))
_COLUMNS = "hive_tasks (poster_id, title, description, budget_credits, category_id, created_at, updated_at)"
FILL = Query(
    "fill_tasks",
    f"WITH RECURSIVE n (i) AS (SELECT :first UNION ALL SELECT i + 1 FROM n WHERE i < :last) "  # noqa: S608
    f"INSERT INTO {_COLUMNS} {_TASK.format(words=_CASES)} FROM n",
    f"INSERT INTO {_COLUMNS} {_TASK.format(words=_CASES)} "
    "FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS n (i)",
)

BROWSED = {
    "browse, newest": "/tasks?limit=20",
    "browse, oldest": "/tasks?sort=oldest&limit=20",
    "browse, budget_high": "/tasks?sort=budget_high&limit=20",
    "browse, a category by budget": "/tasks?category=3&sort=budget_low&limit=20",
    "browse, a budget range": "/tasks?min_budget=1000&max_budget=1100&sort=newest&limit=20",
    "search, one word in eight": "/tasks/search?q=parser&limit=20",
    "search, two words": "/tasks/search?q=parser+4096&limit=20",
    "get_task": "/tasks/42",
}


class Line:
    """One connection that stays open."""

    def __init__(self, server: RestServer, agent: Agent) -> None:
        self._process = psutil.Process(server.server.pid)
        self._connection = http.client.HTTPConnection("127.0.0.1", server.server.http_port, timeout=30)
        self._headers = {"Authorization": f"Bearer {agent.key}"}

    def ask(self, method: str, path: str, body: Any = None) -> tuple[float, Any]:
        """The milliseconds until the whole response is read, and its data."""
        content = None if body is None else json.dumps(body).encode()
        headers = self._headers | (JSON if content else {})
        began = time.perf_counter()
        self._connection.request(method, path, content, headers)
        response = self._connection.getresponse()
        read = response.read()
        took = (time.perf_counter() - began) * 1000
        assert response.status in (200, 201), read
        return took, json.loads(read).get("data")

    def cpu_ms(self) -> float:
        """What the server's process has burnt until now; without PostgreSQL's own."""
        burnt = self._process.cpu_times()
        return float(burnt.user + burnt.system) * 1000

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


def percentile(times: Sequence[float]) -> tuple[float, float]:
    """The median and the 95th percentile."""
    return statistics.median(times), statistics.quantiles(times, n=20)[-1]


def report(requests: int, sizes: Sequence[int] = SIZES) -> None:
    """Everything, one after the other. SIGTERM ends it in order, as ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    print(f"{requests} requests of each kind, one at a time; median / 95th percentile in ms, CPU of the server in ms")
    with postgres_server() as postgres, tempfile.TemporaryDirectory(prefix="vault-bench-") as folder:
        with psycopg.connect(postgres.get_uri(), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM RESET fsync")
            connection.execute("SELECT pg_reload_conf()")
        for size in sizes:
            for name in ("SQLite", "PostgreSQL"):
                place = Path(folder) / f"{name}-{size}"
                place.mkdir()
                made = on_sqlite(place) if name == "SQLite" else on_postgres(place, Postgres(postgres).url)
                with serving(made, size) as server:
                    print(
                        f"\n{name}, {size:,} tasks; {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}",
                        flush=True,
                    )
                    measure(server, requests)


@contextmanager
def serving(server: RestServer, size: int) -> Iterator[RestServer]:
    """The server on a database that has so many tasks."""

    def fill(tx: Transaction, first: int) -> None:
        tx.run(FILL, first=first, last=min(size, first + FILLED - 1), now=int(time.time() * 1000))

    async def all_of_them() -> None:
        await server.database.start()
        try:
            for first in range(1, size + 1, FILLED):
                [outcome] = await server.database.transact([partial(fill, first=first)])
                if outcome.error is not None:
                    raise outcome.error
        finally:
            await server.database.stop()

    server.register()
    asyncio.run(all_of_them())
    if isinstance(server.server, PostgresServer):  # what autovacuum does within a minute: plans go by what it finds
        with psycopg.connect(str(server.server.settings["database"]), autocommit=True) as connection:
            connection.execute("ANALYZE")
    server.start()
    try:
        yield server
    finally:
        server.stop()


def measure(server: RestServer, requests: int) -> None:
    """One table."""
    ann, bob = Line(server, server.ann), Line(server, server.bob)
    tasks = range(1, requests + WARM_UP + 1)
    claims: list[int] = []

    def claim(task: int) -> float:
        took, claimed = bob.ask("POST", f"/api/v1/tasks/{task}/claims", {"proposed_credits": 5})
        claims.append(claimed["id"])
        return took

    def asked(path: str) -> Callable[[int], float]:
        return lambda _task: bob.ask("GET", path)[0]

    try:
        steps: dict[str, Callable[[int], float]] = {
            "GET /healthz, the floor": asked("/healthz"),
            **{name: asked(f"/api/v1{path}") for name, path in BROWSED.items()},
            "claim": claim,
            "accept a claim": lambda task: ann.ask("POST", f"/api/v1/tasks/{task}/claims/{claims[task - 1]}/accept")[0],
            "deliver": lambda task: bob.ask("POST", f"/api/v1/tasks/{task}/deliverables", {"content": "x" * 500})[0],
            "GET /healthz, again": asked("/healthz"),
        }
        for name, step in steps.items():
            for line in (ann, bob):
                line.close()  # the server hangs up on who has been idle; what follows connects anew
            before = bob.cpu_ms()
            times = [step(task) for task in tasks]
            median, worst = percentile(times[WARM_UP:])
            cpu = (bob.cpu_ms() - before) / len(times)
            print(f"  {name:30} {median:7.2f} / {worst:7.2f}   {cpu:5.2f}", flush=True)
    finally:
        ann.close()
        bob.close()
