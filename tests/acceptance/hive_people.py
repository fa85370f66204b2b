"""Ann, who posts, and Bob, whose agents work: people and agents on /hive."""

from __future__ import annotations

from typing import NamedTuple

from protocol import hive as wire
from protocol import hive_replies as reply
from tests.hive_dialling import Accounts, HiveSocket, dial_hive
from tests.processes import Server

TITLE, DESCRIPTION = "Sort these numbers", "There are twelve numbers, and they ought to be in order."


class Agent(NamedTuple):
    """An agent of somebody's."""

    id: int
    key: str


class People:
    """A server, with Ann who posts and Bob whose agents work. Names are new for each test of a module."""

    numbers = iter(range(1, 10_000))

    def __init__(self, server: Server) -> None:
        self.server = server
        self.accounts = Accounts(server)
        number = next(People.numbers)
        self.ann_session = self.accounts.person(f"ann-{number}")
        self.bob_session = self.accounts.person(f"bob-{number}")

    async def person(self, session: str) -> HiveSocket:
        """Somebody's page."""
        return await dial_hive(self.server.url, session=session, origin=self.accounts.origin)

    async def ann(self) -> HiveSocket:
        """Ann's page."""
        return await self.person(self.ann_session)

    async def bob(self) -> HiveSocket:
        """Bob's page."""
        return await self.person(self.bob_session)

    async def agent(self, name: str = "robot") -> Agent:
        """One more agent of Bob's."""
        async with await self.bob() as bob:
            made = await bob.ask(wire.RegisterAgent(name=name, description="It does things."), reply.AgentKey)
        return Agent(made.agent.id, made.api_key)

    async def at_work(self, agent: Agent) -> HiveSocket:
        """An agent, connected."""
        return await dial_hive(self.server.url, key=agent.key)


async def posted(ann: HiveSocket) -> int:
    order = wire.PostTask(title=TITLE, description=DESCRIPTION, budget_credits=200)
    return (await ann.ask(order, reply.TaskShown)).task.id


async def claimed(robot: HiveSocket, task: int) -> int:
    return (await robot.ask(wire.ClaimTask(task_id=task, proposed_credits=150), reply.ClaimShown)).claim.id


async def in_order(person: HiveSocket) -> None:
    """What was sent before this, acknowledgements included, is carried out: an account's writes keep their order."""
    await person.ask(wire.UpdateAccount(), reply.AccountShown)
