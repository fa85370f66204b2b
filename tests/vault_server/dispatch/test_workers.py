"""Worker processes: what they know, that they give way, what becomes of them when they die, and of what they did."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, MutableMapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from protocol.puzzle import Puzzle
from tests.house.tree import ROOT
from tests.vault_server.dispatch.computations import (
    Self,
    die,
    double,
    double_in_the_second_life,
    double_when_allowed,
    look_at_oneself,
    stumble,
    unpicklable,
)
from tests.vault_server.dispatch.conftest import eventually
from vault_server.dispatch import seat, workers
from vault_server.dispatch.seat import Uncomputable, WorkerGone, WorkerUnstartable
from vault_server.dispatch.worker import KILL_ME_FIRST, NICE
from vault_server.dispatch.workers import Workers
from vault_server.systems.vault.arithmetic import Given, is_right

Log = list[MutableMapping[str, Any]]

WITHOUT_IDLE_PRIORITY = "import os; del os.sched_setscheduler; from vault_server.dispatch.worker import main; main()"
SERVER = """
import asyncio, sys
from pathlib import Path
from tests.vault_server.dispatch.computations import double, double_when_allowed
from vault_server.dispatch.workers import Workers

async def main():
    workers = Workers()
    await workers.compute(double, 1)
    print(*workers.pids, flush=True)
    await workers.compute(double_when_allowed, (1, Path("never")))

asyncio.run(main())
"""


@pytest.fixture
async def crew(importing: None, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Workers]:
    """Workers of which nothing is left at the end. Here they may starve: other tests run beside this one."""
    monkeypatch.setattr(seat, "STARVED_SHARE", 0.0)
    crew = Workers()
    yield crew
    pids = crew.pids
    await crew.stop()
    await crew.stop()
    assert crew.pids == []
    assert not any(psutil.pid_exists(pid) for pid in pids)


async def are_gone(pids: list[int]) -> bool:
    return not any(psutil.pid_exists(pid) for pid in pids)


# what a worker is


async def test_it_is_another_process_and_serves_one_after_the_other(crew: Workers) -> None:
    one: Self = await crew.compute(look_at_oneself, None)
    other: Self = await crew.compute(look_at_oneself, None)
    assert one.pid == other.pid != os.getpid()
    assert crew.pids == [one.pid]


async def test_nothing_is_started_before_there_is_something_to_compute(crew: Workers) -> None:
    assert crew.pids == []


async def test_it_has_one_socket_and_nothing_else_of_the_server(
    crew: Workers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VAULT_MASTER_KEY", "1:secret")
    monkeypatch.setenv("PGPASSWORD", "secret")
    with socket.create_server(("127.0.0.1", 0)), (tmp_path / "database").open("w"):
        worker: Self = await crew.compute(look_at_oneself, "secret")
    assert set(worker.descriptors) == {0, 1, 2}
    assert worker.descriptors[0].startswith("socket:")
    assert worker.descriptors[1] == os.devnull
    assert "secret" not in str(worker.arguments + list(worker.environment.values()))
    assert set(worker.environment) <= set(seat.ENVIRONMENT) | {"LC_CTYPE"}


async def test_it_imports_no_more_than_it_computes(crew: Workers) -> None:
    assert await crew.compute(is_right, Given(Puzzle(1, 3, 35), b"\x09"))
    worker: Self = await crew.compute(look_at_oneself, None)
    ours = {name for name in worker.modules if name.startswith("vault_server.")}
    packages = {"vault_server.dispatch", "vault_server.systems", "vault_server.systems.vault"}
    assert ours == packages | {"vault_server.descendant", "vault_server.systems.vault.arithmetic"}
    assert not {"asyncio", "pydantic", "structlog", "sqlite3", "msgpack"} & set(worker.modules)


async def test_everything_else_on_the_machine_comes_before_it(crew: Workers, log: Log) -> None:
    worker: Self = await crew.compute(look_at_oneself, None)
    assert worker.scheduler == os.SCHED_IDLE
    assert worker.killed_first == KILL_ME_FIRST
    assert os.getsid(worker.pid) == os.getsid(0), "where it would be weighed against the server's as another program is"
    assert log == []


async def test_where_there_is_no_idle_priority_it_is_nice_and_one_line_says_so(
    crew: Workers, log: Log, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(seat, "WORKER", (sys.executable, "-c", WITHOUT_IDLE_PRIORITY))
    together = [asyncio.create_task(crew.compute(double_when_allowed, (1, tmp_path / "go"))) for _ in range(2)]
    await eventually(lambda: have_started(crew, 2))
    (tmp_path / "go").touch()
    await asyncio.gather(*together)
    worker: Self = await crew.compute(look_at_oneself, None)
    assert (worker.scheduler, worker.nice) == (os.SCHED_OTHER, os.nice(0) + NICE)
    assert [line["event"] for line in log] == ["workers.not_idle"]


async def have_started(crew: Workers, count: int) -> bool:
    return len(crew.pids) == count


async def test_there_are_as_many_as_are_needed_at_once(crew: Workers, tmp_path: Path) -> None:
    together = [asyncio.create_task(crew.compute(double_when_allowed, (n, tmp_path / "go"))) for n in range(3)]
    await eventually(lambda: have_started(crew, 3))
    assert await crew.compute(double, 7) == 107
    assert len(crew.pids) == 4
    (tmp_path / "go").touch()
    assert await asyncio.gather(*together) == [100, 101, 102]
    assert await crew.compute(double, 8) == 108
    assert len(crew.pids) == 4


async def test_one_that_is_not_needed_for_long_goes(crew: Workers, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "UNUSED_SECONDS_MAX", 0.01)
    await crew.compute(double, 1)
    await eventually(lambda: have_started(crew, 0))
    assert await crew.compute(double, 2) == 102
    assert log == []


# what becomes of it, and of what it computes


async def test_large_things_pass(crew: Workers) -> None:
    assert await crew.compute(double, 1 << 8_000_000) == 100 + (1 << 8_000_000)


async def test_an_exception_comes_back_as_words_and_the_process_stays(crew: Workers) -> None:
    pid = (await crew.compute(look_at_oneself, None)).pid
    for function, reason in ((stumble, "ZeroDivisionError: over there"), (unpicklable, "pickle")):
        with pytest.raises(Uncomputable, match=reason):
            await crew.compute(function, None)
    assert (await crew.compute(look_at_oneself, None)).pid == pid


async def test_what_killed_a_worker_is_computed_again(crew: Workers, log: Log, tmp_path: Path) -> None:
    assert await crew.compute(double_in_the_second_life, (1, tmp_path / "trace")) == 101
    assert [(line["event"], line["exit_code"]) for line in log] == [("worker.died", -signal.SIGKILL)]


async def test_what_killed_two_workers_is_not_computed_again(crew: Workers, log: Log) -> None:
    with pytest.raises(WorkerGone, match="exit code -9"):
        await crew.compute(die, None)
    assert len([line for line in log if line["event"] == "worker.died"]) == 2
    assert await crew.compute(double, 1) == 101


async def test_one_that_was_killed_while_it_had_nothing_to_do_is_replaced(crew: Workers, log: Log) -> None:
    await crew.compute(double, 1)
    [pid] = crew.pids
    os.kill(pid, signal.SIGKILL)
    assert await crew.compute(double, 2) == 102
    await eventually(lambda: are_gone([pid]))
    assert [(line["event"], line["pid"]) for line in log] == [("worker.died", pid)]


@pytest.mark.parametrize(
    "command", [("/nowhere/python",), (sys.executable, "-c", "raise SystemExit(3)")], ids=["missing", "ending"]
)
async def test_where_no_process_can_be_started_that_is_said(
    crew: Workers, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setattr(seat, "WORKER", command)
    with pytest.raises(WorkerUnstartable, match=r"can be started: |exit code 3"):
        await crew.compute(double, 1)
    monkeypatch.undo()
    assert crew.pids == []


async def test_stop_does_not_wait_for_what_is_computed(crew: Workers, tmp_path: Path) -> None:
    lost = asyncio.create_task(crew.compute(double_when_allowed, (1, tmp_path / "never")))
    await eventually(lambda: have_started(crew, 1))
    pids = crew.pids
    lost.cancel()
    await asyncio.gather(lost, return_exceptions=True)
    await crew.stop()
    assert await are_gone(pids)


def test_a_killed_server_leaves_no_worker(tmp_path: Path) -> None:
    program = subprocess.Popen(
        [sys.executable, "-c", SERVER], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE
    )
    with program:
        assert program.stdout is not None
        worker = psutil.Process(int(program.stdout.readline()))
        program.kill()
    psutil.wait_procs([worker], timeout=10)
    assert not worker.is_running()


# where other programs take all the time


async def test_what_is_given_no_time_is_done_by_others_of_normal_priority(
    crew: Workers, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "LOOK_SECONDS", 0.02)
    starved = await stopped(crew, monkeypatch)
    instead: Self = await crew.compute(look_at_oneself, None)
    assert instead.scheduler == os.SCHED_OTHER
    assert (await crew.compute(look_at_oneself, None)).pid == instead.pid
    assert [(line["event"], line["seconds"]) for line in log] == [("workers.starved", workers.BYPASS_SECONDS)]
    await eventually(lambda: are_gone([starved.pid]))


async def test_after_a_while_those_of_idle_priority_are_tried_again(
    crew: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(workers, "BYPASS_SECONDS", 0.0)
    crew = Workers()
    await stopped(crew, monkeypatch)
    assert (await crew.compute(look_at_oneself, None)).scheduler == os.SCHED_OTHER
    monkeypatch.setattr(seat, "STARVED_SHARE", 0.0)
    assert (await crew.compute(look_at_oneself, None)).scheduler == os.SCHED_IDLE
    await crew.stop()


async def stopped(crew: Workers, monkeypatch: pytest.MonkeyPatch) -> Self:
    """A worker that is given nothing of a processor, as if there were always somebody else to run."""
    worker: Self = await crew.compute(look_at_oneself, None)
    monkeypatch.setattr(seat, "STARVED_SECONDS", 0.1)
    monkeypatch.setattr(seat, "STARVED_SHARE", 0.5)
    os.kill(worker.pid, signal.SIGSTOP)
    return worker
