"""Requests that meet on /hive (specs §9): through real sockets, on SQLite and on PostgreSQL, many rounds each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from protocol import hive as wire
from protocol import hive_replies as reply
from protocol.envelope import Message
from protocol.errors import Code, MessageError
from tests.acceptance.hive_people import DESCRIPTION, TITLE, People, claimed, posted
from tests.cluster.nodes import Node
from tests.cluster.postgres import Postgres, postgres_server
from tests.hive_dialling import HiveSocket
from tests.processes import Server

SETTINGS: dict[str, object] = {"hive_requests_max": 1_000_000, "hive_open_tasks_max": 1_000_000}
ROUNDS = 30
pytestmark = pytest.mark.asyncio(loop_scope="module")


@contextmanager
def _server_on(dialect: str, folder: Path) -> Iterator[Server]:
    if dialect == "sqlite":
        yield Server(folder, SETTINGS)
    else:
        with postgres_server() as running:
            yield Node(folder, Postgres(running), "node", SETTINGS)


class Table:
    """Ann on two connections, and two agents of Bob's on two each."""

    def __init__(self, ann: list[HiveSocket], one: list[HiveSocket], two: list[HiveSocket], bob: HiveSocket) -> None:
        self.ann, self.one, self.two, self.bob = ann, one, two, bob

    async def offered(self) -> tuple[int, int, int]:
        """A task with a bid of each agent: its id, and theirs."""
        task = await posted(self.ann[0])
        return task, await claimed(self.one[0], task), await claimed(self.two[0], task)

    async def taken(self) -> int:
        """A task that the first agent has."""
        task = await posted(self.ann[0])
        claim = await claimed(self.one[0], task)
        await self.ann[0].ask(wire.AcceptClaim(task_id=task, claim_id=claim), reply.ClaimAccepted)
        return task

    async def status(self, task: int) -> str:
        """A task's."""
        return (await self.ann[0].ask(wire.GetTask(task_id=task), reply.TaskShown)).task.status

    async def claims(self, task: int) -> dict[int, str]:
        """The status of each claim on a task."""
        page = await self.ann[0].ask(wire.ListClaims(task_id=task), reply.ClaimPage)
        return {claim.id: claim.status for claim in page.claims}

    async def balance(self) -> int:
        """Bob's credits."""
        return (await self.bob.ask(wire.AskCredits(), reply.CreditPage)).credit_balance


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["sqlite", "postgres"])
async def table(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Table]:
    """One server for all of them on each database."""
    with _server_on(request.param, tmp_path_factory.mktemp("at-once")) as server:
        try:
            await server.start()
            people = People(server)
            agents = [await people.agent("one"), await people.agent("two")]
            ann = [await people.ann(), await people.ann()]
            one, two = [[await people.at_work(agent) for _ in range(2)] for agent in agents]
            bob = await people.bob()
            yield Table(ann, one, two, bob)
            for socket in (*ann, *one, *two, bob):
                await socket.socket.close()
        finally:
            await server.finish()


async def at_once(*asked: tuple[HiveSocket, Message]) -> list[Message | Code]:
    """Everything is sent before anything is answered: replies and codes, in order."""
    numbers = [await socket.send(message) for socket, message in asked]

    async def outcome(socket: HiveSocket, number: int) -> Message | Code:
        try:
            return await socket.answer(number)
        except MessageError as refusal:
            return refusal.code

    return [await outcome(socket, number) for (socket, _), number in zip(asked, numbers, strict=True)]


def codes(outcomes: list[Message | Code]) -> list[Code]:
    return [outcome for outcome in outcomes if isinstance(outcome, Code)]


async def test_two_claims_accepted(table: Table) -> None:
    for _ in range(ROUNDS):
        task, first, second = await table.offered()
        outcomes = await at_once(
            (table.ann[0], wire.AcceptClaim(task_id=task, claim_id=first)),
            (table.ann[1], wire.AcceptClaim(task_id=task, claim_id=second)),
        )
        assert codes(outcomes) == [Code.TASK_NOT_OPEN]
        assert sorted((await table.claims(task)).values()) == ["accepted", "rejected"]


async def test_one_deliverable_accepted_twice_is_paid_once(table: Table) -> None:
    for _ in range(ROUNDS):
        task = await table.taken()
        work = await table.one[0].ask(wire.Deliver(task_id=task, content="1, 2"), reply.DeliverableShown)
        before = await table.balance()
        order = wire.AcceptDeliverable(task_id=task, deliverable_id=work.deliverable.id)
        assert codes(await at_once((table.ann[0], order), (table.ann[1], order))) == [Code.INVALID_STATUS]
        assert await table.balance() == before + 180


async def test_two_deliveries(table: Table) -> None:
    for _ in range(ROUNDS):
        task = await table.taken()
        outcomes = await at_once(
            *((socket, wire.Deliver(task_id=task, content="1, 2")) for socket in table.one),
        )
        assert codes(outcomes) == [Code.INVALID_STATUS]
        work = await table.ann[0].ask(wire.ListDeliverables(task_id=task), reply.DeliverableList)
        assert [each.revision_number for each in work.deliverables] == [1]


async def test_a_claim_beside_an_acceptance_never_stays_pending(table: Table) -> None:
    for number in range(ROUNDS):
        task = await posted(table.ann[0])
        claim = await claimed(table.one[0], task)
        asked: list[tuple[HiveSocket, Message]] = [
            (table.ann[0], wire.AcceptClaim(task_id=task, claim_id=claim)),
            (table.two[0], wire.ClaimTask(task_id=task, proposed_credits=10)),
        ]
        outcomes = await at_once(*(asked if number % 2 else asked[::-1]))
        assert codes(outcomes) in ([], [Code.TASK_NOT_OPEN])
        statuses = await table.claims(task)
        assert statuses.pop(claim) == "accepted"
        assert list(statuses.values()) == ([] if codes(outcomes) else ["rejected"])


async def test_one_agents_claim_made_twice(table: Table) -> None:
    for _ in range(ROUNDS):
        order = wire.ClaimTask(task_id=await posted(table.ann[0]), proposed_credits=10)
        outcomes = await at_once((table.one[0], order), (table.one[1], order))
        assert codes(outcomes) == [Code.DUPLICATE_CLAIM]


async def test_a_cancellation_beside_an_acceptance(table: Table) -> None:
    for number in range(ROUNDS):
        task = await posted(table.ann[0])
        claim = await claimed(table.one[0], task)
        asked: list[tuple[HiveSocket, Message]] = [
            (table.ann[0], wire.AcceptClaim(task_id=task, claim_id=claim)),
            (table.ann[1], wire.CancelTask(task_id=task)),
        ]
        outcomes = await at_once(*(asked if number % 2 else asked[::-1]))
        assert codes(outcomes) in ([], [Code.TASK_NOT_OPEN])
        assert await table.status(task) == "cancelled"
        assert await table.claims(task) == {claim: "rejected"}


async def test_a_withdrawal_beside_an_acceptance(table: Table) -> None:
    for number in range(ROUNDS):
        task = await posted(table.ann[0])
        claim = await claimed(table.one[0], task)
        asked: list[tuple[HiveSocket, Message]] = [
            (table.ann[0], wire.AcceptClaim(task_id=task, claim_id=claim)),
            (table.one[0], wire.WithdrawClaim(task_id=task, claim_id=claim)),
        ]
        outcomes = await at_once(*(asked if number % 2 else asked[::-1]))
        assert codes(outcomes) in ([], [Code.INVALID_STATUS])
        assert await table.status(task) == "open"
        assert await table.claims(task) == {claim: "withdrawn"}


async def test_one_idempotency_key_on_two_connections_is_carried_out_once(table: Table) -> None:
    for number in range(ROUNDS):
        order = wire.PostTask(title=TITLE, description=DESCRIPTION, budget_credits=10, idempotency_key=f"post {number}")
        outcomes = await at_once(*((socket, order) for socket in (*table.ann, *table.ann)))
        assert codes(outcomes) == []
        assert all(outcome == outcomes[0] for outcome in outcomes)
        other = wire.PostTask(title=TITLE, description=DESCRIPTION, budget_credits=11, idempotency_key=f"post {number}")
        assert codes(await at_once((table.ann[0], order), (table.ann[1], other))) == [Code.IDEMPOTENCY_KEY_MISMATCH]


async def test_a_key_sent_twice_tells_its_secret_once_and_again(table: Table) -> None:
    order = wire.AddWebhook(url="https://example.org/", events=["claim.accepted"], idempotency_key="hook")
    first, second = await at_once((table.one[0], order), (table.one[1], order))
    assert isinstance(first, reply.WebhookSecret)
    assert first == second
    assert len((await table.one[0].ask(wire.ListWebhooks(), reply.WebhookList)).webhooks) == 1


async def test_a_refused_request_may_be_tried_again_under_its_key(table: Table) -> None:
    task = await table.taken()
    order = wire.ClaimTask(task_id=task, proposed_credits=10, idempotency_key="again")
    assert codes(await at_once((table.two[0], order), (table.two[1], order))) == 2 * [Code.TASK_NOT_OPEN]
    await table.ann[0].ask(wire.RollbackTask(task_id=task), reply.TaskMoved)
    first, second = await at_once((table.two[0], order), (table.two[1], order))
    assert isinstance(first, reply.ClaimShown)
    assert first == second
