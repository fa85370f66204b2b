"""/metrics of a real server after a story of which every number is known, and what happens when rows cannot be read."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import pytest
import structlog
import websockets.asyncio.client
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from protocol.errors import Code
from protocol.peer import SEALED
from protocol.session import Ping, Pong
from protocol.vault import CLIENT_PATH, AskStatus, PuzzleAccepted, PuzzleAnswered, SubmitAnswer
from tests.acceptance.conversation import accept, answer, dial_solver, refused_message
from tests.acceptance.puzzles import COMPUTED, Maker
from tests.conftest import StartServer
from tests.dialling import dial
from tests.house.tree import ROOT
from tests.processes import Server
from tests.vault_server.web.http import get, scrape, until
from vault_server.clock import Clock
from vault_server.core.operation import Gauge, Query, Reader
from vault_server.core.tally import Tally
from vault_server.metrics import Live, Metrics
from vault_server.settings import Settings
from vault_server.storage.sqlite import SqliteDatabase
from vault_server.web.scrape import Scrape
from vault_server.web.server import WebServer

SETTINGS: dict[str, object] = {}


async def test_a_story_in_numbers(server: Server, maker: Maker) -> None:
    order, right = maker.order(COMPUTED)
    async with await dial(server.url) as client, await dial_solver(server) as solver:
        await client.ask(order, PuzzleAccepted)
        offer = await accept(solver)
        await client.ask(maker.order()[0], PuzzleAccepted)  # waits: a new solver is trusted with one at a time
        seen = await until(server, vault_tasks__assigned=1, vault_tasks__waiting=1, vault_outbox_rows=1)
        assert seen["vault_connections_open", "client"] == 1
        assert seen["vault_connections_open", "solver"] == 1
        assert seen["vault_solvers_online", ""] == 1
        assert await answer(solver, offer) == "valid"
        await accept(solver)
        assert (await client.take(PuzzleAnswered)).answer == right
        await refused_message(client, AskStatus(task="ab" * 16), Code.TASK_NOT_FOUND)
        await refused_message(solver, SubmitAnswer(assignment=99, answer=5), Code.ASSIGNMENT_NOT_FOUND)
        await client.ask(Ping(), Pong)
    seen = await until(server, vault_tasks__answered=1, vault_connections_open__solver=0, vault_solvers_online=0)
    received = {name: seen["vault_messages_received_total", name] for name in ("tlp", "accept", "tlp_response", "ping")}
    assert received == {"tlp": 2, "accept": 2, "tlp_response": 2, "ping": 1}
    assert seen["vault_replies_total", "OK"] >= 2 + 2 + 1 + 1 + 1  # puzzles, acceptances, answer, status, ping
    assert seen["vault_replies_total", "TASK_NOT_FOUND"] == 1
    assert seen["vault_replies_total", "ASSIGNMENT_NOT_FOUND"] == 1
    assert seen["vault_pushes_sent_total", "tlp_request"] == 2
    assert seen["vault_pushes_sent_total", "tlp_response"] == 1
    assert seen["vault_connections_open", "client"] == 0
    assert seen["vault_tasks", "assigned"] == 1
    assert seen["vault_deadline_overdue_seconds", ""] == 0
    assert seen["vault_log_lines_dropped_total", ""] == 0
    assert seen["vault_batch_messages_sum", ""] >= 10
    assert seen["vault_batch_messages_count", ""] == seen["vault_batch_seconds_count", ""]
    assert 0 < seen["vault_batch_seconds_sum", ""] < 60
    assert seen["process_open_fds", ""] > 0


async def test_who_is_not_let_in_is_counted(start_server: StartServer) -> None:
    server = await start_server(handshake_ms_max=200)
    with pytest.raises(InvalidStatus):
        await dial(server.url, "/nowhere")
    silent = await websockets.asyncio.client.connect(
        server.url + CLIENT_PATH, subprotocols=[Subprotocol(SEALED.name)], proxy=None
    )
    await asyncio.wait_for(silent.wait_closed(), 10)
    seen = await scrape(server)
    assert seen["vault_connections_refused_total", "404"] == 1
    assert seen["vault_handshakes_refused_total", "HELLO_LATE"] == 1
    assert ("vault_storage_errors_total", "write") not in seen


async def test_the_operator_reads_of_each_metric_what_it_says_of_itself(shared_server: Server) -> None:
    async with await dial(shared_server.url) as client:
        await client.ask(Ping(), Pong)
    text = (await get(shared_server.http_port, "/metrics")).body.decode()
    families = [f for f in text_string_to_metric_families(text) if f.name.startswith("vault_")]
    shown = {f.name + ("_total" if f.type == "counter" else ""): f.documentation for f in families}
    [section] = re.findall(r"## Health and metrics\n(.*?)\n## ", (ROOT / "docs" / "operations.md").read_text(), re.S)
    rows = re.findall(r"^\| `(\w+)(?:\{(\w+)\})?` \| (.*) \|$", section, re.MULTILINE)
    assert {name: meaning for name, _, meaning in rows} == shown
    labels = {name: {label} - {""} for name, label, _ in rows}
    for family in families:
        for sample in family.samples:
            name = family.name if family.type == "histogram" else sample.name
            assert set(sample.labels) - {"le"} == labels[name], sample


# rows that cannot be read

GOOD = Gauge("vault_good", "Is well.", "", lambda _reader, _now_ms: {"": 7})


def stumble(_reader: Reader, _now_ms: int) -> Mapping[str, float]:
    raise ZeroDivisionError("a defect")


def no_such_table(reader: Reader, _now_ms: int) -> Mapping[str, float]:
    reader.one(Query("test", "SELECT 1 FROM nowhere"))
    return {}


@pytest.fixture
def log() -> Iterator[list[MutableMapping[str, Any]]]:
    with structlog.testing.capture_logs() as lines:
        yield lines


async def served(database: SqliteDatabase, *gauges: Gauge) -> dict[str, float]:
    """What a server shows that has these gauges."""
    metrics = Metrics(Tally(), Live(dict, lambda: 0))
    web = WebServer(Settings.model_validate({"http_port": 0}), [Scrape(Clock(), database, metrics, gauges)])
    await web.start()
    text = (await get(web.port, "/metrics")).body.decode()
    await web.stop()
    return {s.name: s.value for family in text_string_to_metric_families(text) for s in family.samples}


async def test_a_gauge_with_a_defect_is_left_out(database: SqliteDatabase, log: list[MutableMapping[str, Any]]) -> None:
    seen = await served(database, Gauge("vault_bad", "Has a defect.", "", stumble), GOOD)
    assert seen["vault_good"] == 7
    assert "vault_bad" not in seen
    assert [line["gauge"] for line in log if line["event"] == "gauge.failed"] == ["vault_bad"]


async def test_what_the_database_cannot_read_is_left_out(
    database: SqliteDatabase, log: list[MutableMapping[str, Any]]
) -> None:
    seen = await served(database, Gauge("vault_bad", "Cannot be read.", "", no_such_table), GOOD)
    assert seen["vault_good"] == 7
    assert "vault_bad" not in seen
    [line] = [line for line in log if line["event"] == "storage.failed"]
    assert line["order"] == "vault_bad"
    assert "nowhere" in line["reason"]
