"""Fixtures that every folder of tests shares: real servers and solvers, and how hypothesis behaves here."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Awaitable, Sequence
from pathlib import Path
from typing import Protocol

import hypothesis
import pytest
from hypothesis import HealthCheck

from tests.processes import WITHOUT_TRAPS, LoggingProcess, Server, Solver

# Time limits per example measure the machine's other guests, not us. CI draws the same examples each time, so that a
# red run is about the change at hand; everywhere else new examples are tried.
hypothesis.settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis.settings.register_profile("house-ci", hypothesis.settings.get_profile("here"), derandomize=True)
hypothesis.settings.load_profile("house-ci" if os.environ.get("CI") else "here")


def pytest_configure() -> None:
    """SIGTERM ends the run like ctrl-C does: fixtures still take down the processes they started.

    A run in the background of a script was told to ignore ctrl-C, and would tell so to all that it starts.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    LoggingProcess.may_be_forked = True


BEGUN_FIRST = (
    "house",
    "cluster",
    "acceptance",
    "simulation",
    "vault_solver",
    "vault_client",
    "vault_server/systems/vault/test_everything_at_once.py",
    "vault_server/web",
    "vault_server/operator",
    "vault_server/exchange/test_rekeying.py",
    "vault_server/systems/subnet",
    "vault_server/gateway",
)
"""Folders that wait for processes, and long files: what is short comes last, so that all workers end together."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The order of files when several workers share them out: those that take long first."""

    def place(item: pytest.Item) -> int:
        path = item.nodeid.removeprefix("tests/")
        return next((place for place, first in enumerate(BEGUN_FIRST) if path.startswith(first)), len(BEGUN_FIRST))

    items.sort(key=place)


class StartServer(Protocol):
    """`await start_server(open_tasks_max=3)`: a server that is ready; settings without VAULT_."""

    def __call__(self, name: str = "server", **settings: object) -> Awaitable[Server]:
        """Start one; a second one in the same test needs a name of its own."""


class StartSolver(Protocol):
    """`await start_solver(server)`: a solver that is online."""

    def __call__(self, server: Server, *, workers: int = 1, arguments: Sequence[str] = ()) -> Awaitable[Solver]:
        """Start one more."""


@pytest.fixture
async def processes() -> AsyncIterator[list[LoggingProcess]]:
    """What a test has started; all of it is stopped and checked when the test ends, the last started first."""
    started: list[LoggingProcess] = []
    yield started
    failures = []
    for process in reversed(started):
        try:
            await process.finish()
        except AssertionError as failed:
            failures.append(failed)
    if failures:
        raise AssertionError("\n".join(map(str, failures)))


@pytest.fixture
def start_server(processes: list[LoggingProcess], tmp_path: Path) -> StartServer:
    """A factory of servers, each with a fresh database file in this test's folder."""

    async def start(name: str = "server", **settings: object) -> Server:
        server = Server(tmp_path, WITHOUT_TRAPS | settings, name)
        processes.append(server)
        await server.start()
        return server

    return start


@pytest.fixture
async def server(start_server: StartServer) -> Server:
    """One server with the settings of tests."""
    return await start_server()


@pytest.fixture
def start_solver(processes: list[LoggingProcess], tmp_path: Path) -> StartSolver:
    """A factory of solvers, each with its own key."""

    async def start(server: Server, *, workers: int = 1, arguments: Sequence[str] = ()) -> Solver:
        number = sum(isinstance(process, Solver) for process in processes) + 1
        solver = Solver(server, tmp_path, f"solver-{number}", arguments, workers)
        processes.append(solver)
        await solver.start()
        return solver

    return start
