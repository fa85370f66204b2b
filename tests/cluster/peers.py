"""Clients and solvers of a cluster: they do not know how many nodes there are."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from websockets.exceptions import ConnectionClosed

from protocol.errors import MessageError
from protocol.identity import Identity
from protocol.peer import Acknowledged
from protocol.session import Error
from protocol.vault import PuzzleAccepted, PuzzleAnswered, SubmitPuzzle, TaskFailed
from tests.acceptance.conversation import next_envelope
from tests.cluster.nodes import Cluster
from tests.dialling import Dialled, dial
from tests.processes import LOOK_SECONDS, LoggingProcess, ProcessFailed

AWAY = (ConnectionClosed, OSError, MessageError, TimeoutError)
"""What a client sees while a node, or all of them, cannot serve it."""
ONLINE_SECONDS_MAX = 20.0
AGAIN_SECONDS = 0.2


class FleetSolver(LoggingProcess):
    """`vault-solver run` at the balancer."""

    def __init__(self, cluster: Cluster, folder: Path, name: str, capacity: int) -> None:
        super().__init__(name, folder)
        self.cluster = cluster
        self.capacity = capacity
        self.identity = Identity.generate()
        self.key_path = folder / f"{name}.key"
        self.known_servers = folder / f"{name}.known-servers"

    @property
    def fingerprint(self) -> str:
        """Its `solver_id`."""
        return self.identity.fingerprint

    def command(self) -> Sequence[str | Path]:
        """The same each time: a restarted solver is the same solver."""
        connect: list[str | Path] = ["--server", self.cluster.url, "--key", self.key_path]
        connect += ["--known-servers", self.known_servers, "--workers", "1"]
        return ["-m", "vault_solver", "run", *connect, "--calibration", "0.02", "--capacity", str(self.capacity)]

    async def start(self) -> None:
        """Start, and wait until the cluster counts it online."""
        self.key_path.touch(mode=0o600)
        self.key_path.write_bytes(self.identity.to_pem())
        self.known_servers.write_text(self.cluster.pin + "\n")
        self.launch()
        async with asyncio.timeout(ONLINE_SECONDS_MAX):
            while not self.is_online():
                if not self.running:
                    raise ProcessFailed(f"{self.name} ended before it was online\n{self.tail()}")
                await asyncio.sleep(LOOK_SECONDS)

    def is_online(self) -> bool:
        """Whether the cluster says so, of whichever node."""
        sql = f"SELECT count(*) FROM solvers WHERE is_online = 1 AND solver_id = '{self.fingerprint}'"
        return bool(self.cluster.postgres.one(sql))

    def node(self) -> str:
        """Where it is connected, as its row says."""
        return str(self.cluster.postgres.one(f"SELECT node FROM solvers WHERE solver_id = '{self.fingerprint}'"))


class Customer:
    """A client whose connection may break, and whose node may say UNAVAILABLE: it repeats by idempotency key."""

    def __init__(
        self, cluster: Cluster, orders: dict[str, tuple[SubmitPuzzle, int]], answered: Callable[[], None] = lambda: None
    ) -> None:
        self.cluster = cluster
        self.orders = orders
        self.identity = Identity.generate()
        self.acknowledged = Acknowledged()
        self.tasks: dict[str, str] = {}
        """What was acknowledged: each order's task."""
        self.told: list[PuzzleAnswered] = []
        self.unavailable = 0
        self._answered = answered

    async def run(self) -> None:
        """Until every order has its answer."""
        while len(self.told) < len(self.orders):
            with contextlib.suppress(*AWAY):
                dialled = await dial(self.cluster.url, identity=self.identity, acknowledged=self.acknowledged)
                async with dialled:
                    await self._converse(dialled)
            await asyncio.sleep(0.05)

    async def _converse(self, dialled: Dialled) -> None:
        # All of them again after each break: whoever is not sure may repeat, and gets the same task.
        asked = {await dialled.send(order): key for key, (order, _) in self.orders.items()}
        while len(self.told) < len(self.orders):
            envelope = await next_envelope(dialled)
            message = envelope.message
            assert not isinstance(message, TaskFailed), message
            if isinstance(message, Error) and envelope.re in asked:
                assert message.retryable, message
                self.unavailable += 1
                await asyncio.sleep(AGAIN_SECONDS)
                key = asked.pop(envelope.re)
                asked[await dialled.send(self.orders[key][0])] = key
            elif isinstance(message, PuzzleAccepted):
                assert envelope.re is not None
                key = asked[envelope.re]
                assert self.tasks.setdefault(key, message.task) == message.task
            elif isinstance(message, PuzzleAnswered):
                assert envelope.seq is not None
                self.told.append(message)
                self._answered()
                await dialled.acknowledge(envelope.seq)

    def check(self) -> None:
        """Each task was answered once, and rightly."""
        assert len({push.task for push in self.told}) == len(self.told) == len(self.orders)
        told = {push.task: push.answer for push in self.told}
        assert told == {self.tasks[key]: right for key, (_, right) in self.orders.items()}
