"""An agent in one command: the real server, the real worker with programs of its own, and everything that dies."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.conftest import StartServer
from tests.hive_market import Market, Poster, market_of
from tests.hive_workers import Worker, is_alive
from tests.processes import Server
from vault_client import connect_hive

SHOUT = "tr a-z A-Z <<'.'\nfine\n."
BRIEF = ["--look", "1s"]
StartWorker = Callable[..., Awaitable[Worker]]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for the tests that do not stop it."""
    server = Server(tmp_path_factory.mktemp("hive"), {"hive_requests_max": 100_000})
    try:
        asyncio.run(server.start())
        yield server
    finally:
        asyncio.run(server.finish())


@pytest.fixture
async def market(shared: Server) -> AsyncIterator[Market]:
    async with market_of(shared) as market:
        yield market


@pytest.fixture
async def ann(market: Market) -> Poster:
    """Who posts."""
    return await market.person()


@pytest.fixture
async def start_worker(tmp_path: Path) -> AsyncIterator[StartWorker]:
    """A factory of workers; nothing of them is left when the test ends."""
    started: list[Worker] = []

    async def start(server: Server, key: str, program: str, *options: str, name: str = "worker") -> Worker:
        worker = Worker(server, tmp_path, name, key, program, [*BRIEF, *options])
        started.append(worker)
        await worker.start()
        return worker

    yield start
    for worker in started:
        worker.end_group()


def only(word: str) -> list[str]:
    """Rules for the tasks of one test: the server is shared."""
    return ["--match", word]


async def agent(market: Market) -> tuple[Poster, int, str]:
    """Somebody with an agent: who, its number, its key."""
    operator = await market.person()
    return operator, *(await operator.agent())


# what it does


async def test_the_whole_way(market: Market, ann: Poster, start_worker: StartWorker, tmp_path: Path) -> None:
    _, number, key = await agent(market)
    program = f"tee {tmp_path}/given.$VAULT_REVISION_NUMBER; env > {tmp_path}/environment"
    worker = await start_worker(market.server, key, program, *only("whole-way"), "--bid", "75%", "--message", "I tee.")
    task = await ann.post(title="A whole-way task", requirements="All of it.", max_revisions=1)
    bid = await ann.bid(task)
    assert (bid.agent_id, bid.proposed_credits) == (number, 150)
    claim = await worker.event("bid", task_id=task)
    assert claim["text"] == "150 of 200 credits: A whole-way task"
    await ann.accept_claim(task, bid.claim_id)
    first = await ann.work(task)
    given = json.loads((tmp_path / "given.1").read_text())
    assert json.loads(first.content) == given
    assert (given["id"], given["title"], given["requirements"]) == (task, "A whole-way task", "All of it.")
    assert (given["revision_number"], given["revision_notes"], given["previous_deliverable"]) == (1, None, None)
    await ann.revise(first, "Say it\nagain.")
    second = await ann.work(task)
    again = json.loads((tmp_path / "given.2").read_text())
    assert (again["revision_number"], again["revision_notes"]) == (2, "Say it\nagain.")
    assert again["previous_deliverable"] == first.content
    assert (await ann.accept(second)).credits_paid == 180
    assert (await worker.event("accepted", task_id=task))["text"] == "180 credits for its operator"
    assert key not in (tmp_path / "environment").read_text()
    assert key not in worker.printed()
    assert key not in market.server.log_path.read_text()


async def test_it_bids_by_its_rules_and_no_more_than_it_may(
    market: Market, ann: Poster, start_worker: StartWorker
) -> None:
    _, _, key = await agent(market)
    fitting = await ann.post(title="Some rule-bound work", category_id=2, budget_credits=100)
    for fields in (
        {"title": "Some rule-bound work", "category_id": 1},
        {"title": "Some rule-bound work", "category_id": 2, "budget_credits": 49},
        {"title": "Some other work", "category_id": 2},
    ):
        await ann.post(**fields)
    rules = ["--category", "writing", "--min-budget", "50", "--bid", "60", "--max-open", "2", *only("(?i)RULE-bound")]
    worker = await start_worker(market.server, key, SHOUT, *rules)
    assert (await ann.bid(fitting)).proposed_credits == 60
    second = await ann.post(title="Some rule-bound work", category_id=2)
    await ann.bid(second)
    third = await ann.post(title="Some rule-bound work", category_id=2)
    await worker.event("bid", task_id=second)
    assert worker.find("bid", task_id=third) == []  # two are open already
    await ann.cancel(second)
    await ann.bid(third)
    assert {event["task_id"] for event in worker.find("bid")} == {fitting, second, third}


async def test_a_task_that_is_taken_back_is_dropped_with_its_program(
    market: Market, ann: Poster, start_worker: StartWorker, tmp_path: Path
) -> None:
    _, _, key = await agent(market)
    mark = tmp_path / "begun"
    worker = await start_worker(market.server, key, f"sleep 60 & echo $! > {mark}; wait", *only("taken-back"))
    task = await ann.post(title="A taken-back task", deadline=int(time.time() * 1000) + 1_500)
    await ann.accept_bid(task)
    await _there(mark)
    async with asyncio.timeout(15):
        while not await ann.reclaim(task):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    await worker.event("dropped", task_id=task)
    async with asyncio.timeout(15):
        while is_alive(int(mark.read_text())):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await ann.cancel(task)


@pytest.mark.parametrize("how", ["rollback", "reclaim"])
async def test_what_became_of_an_older_claim_touches_nothing(
    market: Market, ann: Poster, start_worker: StartWorker, tmp_path: Path, how: str
) -> None:
    _, _, key = await agent(market)
    deadline = int(time.time() * 1000) + 300 if how == "reclaim" else None
    task = await ann.post(title="A task taken twice", deadline=deadline)
    async with connect_hive(market.server.url, key=key) as hive:  # nobody takes its events: they wait for the worker
        await hive.claim(task, 100)
        old = await ann.accept_bid(task)
        if how == "rollback":
            await ann.rollback(task)
        else:
            await hive.start_task(task)
            async with asyncio.timeout(15):
                while not await ann.reclaim(task):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        await hive.claim(task, 100)
        new = await ann.accept_bid(task)
    assert new != old
    begun, go = tmp_path / "begun", tmp_path / "go"
    program = f"echo x >> {begun}; while [ ! -e {go} ]; do sleep 0.05; done; echo done"
    before_start = datetime.now(UTC)
    worker = await start_worker(market.server, key, program, *only("nothing more"))
    await worker.event("won", task_id=task, count=2)
    (lost,) = worker.find("lost", task_id=task)
    assert lost["text"].startswith(f"claim {old}: ")
    assert [event["text"] for event in worker.find("won", task_id=task)] == [
        f"claim {old} is accepted",
        f"claim {new} is accepted",
    ]
    assert datetime.fromisoformat(lost["timestamp"]) < before_start
    assert datetime.fromisoformat(worker.find("working", task_id=task)[0]["timestamp"]) > before_start
    go.touch()
    assert (await ann.work(task)).content == "done"
    assert begun.read_text() == "x\n"
    assert worker.find("dropped", task_id=task) == worker.find("left", task_id=task) == []


# programs that fail


FAILING = {
    "fails": ("echo half; echo broken >&2; exit 3", "ended with exit code 3. broken"),
    "blank": ("echo '  '", "printed nothing"),
    "one-too-many": ("head -c 50001 /dev/zero | tr '\\0' x", "printed 50001 characters"),
    "endless": ("yes", "printed more than"),
    "no-text": ("printf '\\377'", "no UTF-8"),
    "unfit": ("printf 'a\\0b'", "does not fit"),
    "slow": ("sleep 60", "took more than 2 s"),
}


async def test_a_task_is_handed_back_when_the_program_fails(
    market: Market, ann: Poster, start_worker: StartWorker
) -> None:
    _, number, key = await agent(market)
    cases = "\n".join(f"*bad-program-{name}*) {program};;" for name, (program, _) in FAILING.items())
    options = [*only("bad-program"), "--timeout", "2s", "--workers", "8", "--max-open", "8"]
    worker = await start_worker(market.server, key, f"case $(cat) in\n{cases}\nesac", *options)
    tasks = {name: await ann.post(title=f"For a bad-program-{name}") for name in FAILING}
    for task in tasks.values():
        await ann.accept_bid(task)
    for name, (_, reason) in FAILING.items():
        task = tasks[name]
        gone = await ann.withdrawn(task)
        assert (gone.agent_id, gone.reopened) == (number, True)
        back = await worker.event("handed_back", task_id=task)
        assert back["text"].startswith("after 2 tries: ")
        failures = [event["text"] for event in worker.find("failed", task_id=task)]
        assert len(failures) == 2
        assert all(reason in failure for failure in failures), failures
        assert await ann.works(task) == []
        await ann.cancel(task)


async def test_as_much_as_a_deliverable_may_have_is_delivered(
    market: Market, ann: Poster, start_worker: StartWorker
) -> None:
    _, _, key = await agent(market)
    program = (
        "i=0; while [ $i -lt 500 ]; do printf '%0100d' 7 | tr 0 '\\374'; i=$((i+1)); done | iconv -f latin1 -t utf8"
    )
    await start_worker(market.server, key, program, *only("long-one"))
    task = await ann.post(title="A long-one")
    await ann.accept_bid(task)
    work = await ann.work(task)
    assert len(work.content) == 50_000
    assert work.content.startswith("üüü")


async def test_a_program_that_fails_once_is_tried_again(
    market: Market, ann: Poster, start_worker: StartWorker, tmp_path: Path
) -> None:
    _, _, key = await agent(market)
    program = f"[ -e {tmp_path}/tried ] && echo done || {{ touch {tmp_path}/tried; exit 1; }}"
    await start_worker(market.server, key, program, *only("second-try"))
    task = await ann.post(title="A second-try task")
    await ann.accept_bid(task)
    assert (await ann.work(task)).content == "done"


# what dies


async def test_a_worker_that_was_killed_mid_program_goes_on_and_delivers_once(
    market: Market, ann: Poster, start_worker: StartWorker, tmp_path: Path
) -> None:
    _, _, key = await agent(market)
    mark = tmp_path / "begun"
    program = f"[ -e {mark} ] && echo done || {{ echo $$ > {mark}; sleep 60; }}"
    worker = await start_worker(market.server, key, program, *only("killed-worker"))
    task = await ann.post(title="A killed-worker task")
    await ann.accept_bid(task)
    await _there(mark)
    await worker.kill()
    worker.end_group()
    await worker.start()
    assert (await ann.work(task)).content == "done"
    assert len(await ann.works(task)) == 1
    await worker.kill()  # between its delivery and what its poster says of it
    await ann.revise((await ann.works(task))[0], "Once more.")
    await worker.start()
    assert (await ann.work(task)).revision_number == 2
    assert len(await ann.works(task)) == 2


async def _there(path: Path) -> None:
    async with asyncio.timeout(15):
        while not _says(path):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def _says(path: Path) -> bool:
    return path.exists() and bool(path.read_text().strip())


async def test_a_server_that_was_killed_mid_program_gets_the_work(
    start_server: StartServer, start_worker: StartWorker, tmp_path: Path
) -> None:
    server = await start_server(hive_requests_max=100_000)
    mark, go = tmp_path / "begun", tmp_path / "go"
    async with market_of(server) as market:
        ann = await market.person()
        _, _, key = await agent(market)
        program = f"echo x > {mark}; while [ ! -e {go} ]; do sleep 0.05; done; echo done"
        worker = await start_worker(server, key, program)
        task = await ann.post()
        await ann.accept_bid(task)
        await _there(mark)
        await server.kill()
        go.touch()  # it is done while nobody is there to take it
        await worker.event("disconnected")
        await server.start()
        await market.back(ann)
        assert (await ann.work(task)).content == "done"
        assert len(await ann.works(task)) == 1
        await worker.event("connected")
        assert await worker.terminate() == 0


async def test_two_workers_with_one_key_deliver_once(
    market: Market, ann: Poster, start_worker: StartWorker, tmp_path: Path
) -> None:
    _, _, key = await agent(market)
    program = f"echo x >> {tmp_path}/runs.$VAULT_TASK_ID.$VAULT_REVISION_NUMBER; echo by $$"
    for name in ("one", "two"):
        await start_worker(market.server, key, program, *only("for-two"), name=name)
    tasks = [await ann.post(title=f"A task for-two, {number}") for number in range(3)]
    for task in tasks:
        await ann.accept_bid(task)
        first = await ann.work(task)
        await ann.revise(first, "Again.")
        second = await ann.work(task)
        assert [work.revision_number for work in await ann.works(task)] == [1, 2]
        for number in (1, 2):
            runs = (tmp_path / f"runs.{task}.{number}").read_text()
            assert runs == "x\n", f"revision {number} of task {task} was worked on by both"
        await ann.accept(second)


async def test_a_second_worker_that_takes_the_same_task_up_cannot_deliver_it_again(
    market: Market, ann: Poster, start_worker: StartWorker, tmp_path: Path
) -> None:
    _, _, key = await agent(market)
    mark, go = tmp_path / "begun", tmp_path / "go"
    slow = f"echo x > {mark}; while [ ! -e {go} ]; do sleep 0.05; done; echo late"
    await start_worker(market.server, key, slow, *only("same-task"), name="slow")
    task = await ann.post(title="The same-task twice", max_revisions=2)
    await ann.accept_bid(task)
    await _there(mark)
    quick = await start_worker(market.server, key, "echo quick", *only("same-task"), name="quick")
    first = await ann.work(task)
    assert first.content == "quick"
    await quick.terminate()
    await ann.revise(first, "Slower, please.")
    go.touch()  # what it made of the first revision must not pass for the second
    second = await ann.work(task)
    assert (second.revision_number, second.content) == (2, "late")
    assert len(await ann.works(task)) == 2


# keys, limits, pauses


async def test_a_revoked_key_ends_the_worker_and_its_program(
    market: Market, ann: Poster, start_worker: StartWorker, tmp_path: Path
) -> None:
    operator, number, key = await agent(market)
    mark = tmp_path / "begun"
    worker = await start_worker(market.server, key, f"sleep 60 & echo $! > {mark}; wait", *only("revoked-key"))
    task = await ann.post(title="A revoked-key task")
    await ann.accept_bid(task)
    await _there(mark)
    await operator.revoke(number)
    assert await worker.wait() == 1
    assert not is_alive(int(mark.read_text()))
    said = json.loads(worker.stderr_path.read_text().strip().splitlines()[-1])
    assert said["code"] == "UNAUTHORIZED"
    assert key not in worker.printed()


async def test_a_paused_agent_waits_and_then_delivers(
    market: Market, ann: Poster, start_worker: StartWorker, tmp_path: Path
) -> None:
    operator, number, key = await agent(market)
    mark, go = tmp_path / "begun", tmp_path / "go"
    program = f"echo x > {mark}; while [ ! -e {go} ]; do sleep 0.05; done; echo done"
    worker = await start_worker(market.server, key, program, *only("paused-agent"), "--pause-look", "1s")
    task = await ann.post(title="A paused-agent task")
    await ann.accept_bid(task)
    await _there(mark)
    await operator.switch(number, "paused")
    await worker.event("paused")
    go.touch()
    await operator.switch(number, "active")
    await worker.event("resumed")
    assert (await ann.work(task)).content == "done"
    assert worker.find("disconnected") == worker.find("connected") == []
    assert len(worker.find("paused")) == len(worker.find("resumed")) == 1


async def test_a_worker_lives_with_the_servers_limit(start_server: StartServer, start_worker: StartWorker) -> None:
    server = await start_server(hive_requests_max=8, hive_requests_window_ms=1000)
    async with market_of(server) as market:
        ann = await market.person()
        _, _, key = await agent(market)
        await start_worker(server, key, "echo done")
        task = await ann.post()
        await ann.accept_bid(task)
        assert (await ann.work(task)).content == "done"


# how it ends


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_finishes_what_it_has_begun(
    market: Market, ann: Poster, start_worker: StartWorker, tmp_path: Path, number: signal.Signals
) -> None:
    _, _, key = await agent(market)
    mark, go = tmp_path / "begun", tmp_path / "go"
    program = f"echo x > {mark}; while [ ! -e {go} ]; do sleep 0.05; done; echo done"
    worker = await start_worker(market.server, key, program, *only(f"drained-{number.name}"))
    task = await ann.post(title=f"A drained-{number.name} task")
    await ann.accept_bid(task)
    await _there(mark)
    worker.send(number)
    await worker.event("draining")
    waiting = await ann.post(title=f"Another drained-{number.name} task")
    go.touch()
    assert (await ann.work(task)).content == "done"
    assert await worker.wait() == 0
    assert worker.find("bid", task_id=waiting) == []
    await ann.cancel(waiting)


async def test_a_second_signal_ends_it_at_once_and_the_next_start_does_the_task(
    market: Market, ann: Poster, start_worker: StartWorker, tmp_path: Path
) -> None:
    _, _, key = await agent(market)
    mark = tmp_path / "begun"
    program = f"[ -e {mark} ] && echo done || {{ sleep 60 & echo $! > {mark}; wait; }}"
    worker = await start_worker(market.server, key, program, *only("two-signals"))
    task = await ann.post(title="A two-signals task")
    await ann.accept_bid(task)
    await _there(mark)
    worker.send(signal.SIGINT)
    await worker.event("draining")
    worker.send(signal.SIGINT)
    assert await worker.wait() == 130
    assert not is_alive(int(mark.read_text()))
    await worker.start()
    assert (await ann.work(task)).content == "done"


async def test_it_ends_after_so_many(market: Market, ann: Poster, start_worker: StartWorker) -> None:
    _, _, key = await agent(market)
    worker = await start_worker(market.server, key, SHOUT, *only("just-one"), "--limit", "1")
    task = await ann.post(title="This is just-one")
    await ann.accept_bid(task)
    assert (await ann.work(task)).content == "FINE"
    assert await worker.wait() == 0
