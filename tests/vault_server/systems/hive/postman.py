"""Does what dispatch/jobs.py does with the hive's jobs, step by step and when a test says so."""

from __future__ import annotations

import asyncio
from typing import Any

from protocol import hive as wire
from tests.receivers import Receiver
from tests.vault_server.systems.hive.harness import Hive
from vault_server.core.operation import SERVER, Caller, JobDue
from vault_server.systems.hive.delivery import Delivery
from vault_server.systems.hive.orders import EndDelivery

ALL = ("claim.accepted", "claim.rejected", "deliverable.accepted", "task.new_match")


class Postman:
    """Sends what waits for webhooks; `done` is what became of each attempt, in order."""

    def __init__(self, hive: Hive) -> None:
        self.hive = hive
        self.jobs = {job.name: job for job in hive.system.jobs}
        self.done: list[EndDelivery] = []

    def kicked(self) -> list[JobDue]:
        """What the rows have asked for since the last look, each once."""
        asked = list(dict.fromkeys(effect for effect in self.hive.effects if isinstance(effect, JobDue)))
        self.hive.effects = [effect for effect in self.hive.effects if not isinstance(effect, JobDue)]
        return asked

    async def begin(self, due: JobDue) -> Delivery | None:
        """Read, and claim."""
        job = self.jobs[due.job]
        work = await self.hive.database.read(lambda reader: job.load(reader, due.key))
        assert job.begin is not None
        return None if work is None else await self.hive.give(SERVER, job.begin(work))

    async def send(self, delivery: Delivery) -> EndDelivery:
        """Over a real socket."""
        ended: EndDelivery = await asyncio.to_thread(self.jobs["send_webhook"].compute, delivery)
        return ended

    async def end(self, ended: EndDelivery) -> None:
        """Write down what became of it."""
        self.done.append(ended)
        await self.hive.give(SERVER, ended)

    async def work(self) -> list[EndDelivery]:
        """Until nothing is to be done now; what became of the attempts."""
        before = len(self.done)
        while asked := self.kicked():
            for due in asked:
                if (delivery := await self.begin(due)) is not None:
                    await self.end(await self.send(delivery))
        return self.done[before:]

    async def pending(self) -> dict[str, list[str]]:
        """What each job finds that nobody is at."""
        found = {}
        for name, job in self.jobs.items():
            found[name] = list(await self.hive.database.read(job.pending))
        return found


async def hooked(hive: Hive, robot: Caller, receiver: Receiver, events: tuple[str, ...] = ALL) -> tuple[int, str]:
    """A webhook of the agent that leads to the receiver; its id and secret."""
    made = await hive.give(robot, wire.AddWebhook(url=receiver.url, events=events))
    return made.webhook.id, made.secret


async def row(hive: Hive, webhook: int) -> dict[str, Any]:
    """How a webhook stands."""
    columns = "is_active, failure_count, last_triggered_at, delivering, attempts, is_slow"
    return await hive.row(f"SELECT {columns} FROM webhooks WHERE id = :id", id=webhook)


async def wait_ms(hive: Hive) -> int:
    """How long the only delivery that failed waits for its next attempt."""
    claim = await hive.row("SELECT due FROM deadlines WHERE name = 'send_webhook'")
    return int(claim["due"]) - hive.now_ms


async def waiting(hive: Hive, webhook: int) -> int:
    """How many events wait for it."""
    found = await hive.row(
        "SELECT count(*) AS waiting FROM outbox WHERE receiver = :receiver AND endpoint = 'webhook'",
        receiver=f"webhook:{webhook}",
    )
    return int(found["waiting"])
