"""An agent that works by itself: looks for tasks, bids by its rules, and hands what it wins to a program.

What is true is the server's rows: whatever dies, the next look at them shows what is this agent's to do.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing, suppress

from protocol import hive_records as shown
from protocol import hive_replies as wire
from protocol.errors import Code
from vault_client.errors import Refused
from vault_client.hive import Hive
from vault_client.hive_bidder import Bidder
from vault_client.hive_bidding import Rules
from vault_client.hive_connection import HiveEvent
from vault_client.hive_news import in_words
from vault_client.hive_patience import Patience, Tell
from vault_client.hive_sdk import PAUSED_SECONDS
from vault_client.hive_work import Program, Work, accepted_claim

LOOK_SECONDS = 30.0
"""Between two looks at what is open and what is ours, when nothing happens."""
SETTLE_SECONDS = 1.0
"""What happens within it is looked at once: each look is some requests of the limit."""
OTHERS_SECONDS = 60.0
"""Beyond the time that a program may take: then a task in progress is nobody's but this worker's."""
TAKEN_BACK = frozenset({"rolled_back", "deadline_passed"})


class HiveWorker:
    """Works for one agent until the connection ends, `limit` deliveries are made, or `drain` is called."""

    def __init__(
        self,
        hive: Hive,
        rules: Rules,
        program: Program,
        tell: Tell,
        *,
        workers: int = 1,
        look_seconds: float = LOOK_SECONDS,
        paused_seconds: float = PAUSED_SECONDS,
    ) -> None:
        self._hive = hive
        self._patiently = Patience(hive, tell, paused_seconds)
        self._bidder = Bidder(hive, rules, tell, self._patiently)
        self._program = program
        self._tell = tell
        self._look_seconds = look_seconds
        self._turns = asyncio.Semaphore(workers)
        self._running: dict[int, asyncio.Task[None]] = {}
        self._known: dict[int, int | None] = {}
        """Tasks whose revisions are ours: with several workers, those of who delivered before; and by which claim.

        None: delivered before this start, by whatever claim.
        """
        self._lost: set[int] = set()
        """Claims that were accepted and taken back."""
        self._wake = asyncio.Event()
        self._stop = asyncio.Event()
        self._drains = False
        self._broken: BaseException | None = None
        self._left: int | None = None
        self._me: shown.OwnAgent | None = None

    async def run(self, limit: int | None = None) -> None:
        """Work. Returns when drained or done; raises what ended the connection."""
        self._left = limit
        self._me = await self._patiently(self._hive.me)
        self._tell("ready", None, f"agent {self._me.id}, {self._me.name}: reputation {self._me.reputation_score:g}")
        await self._look(is_first=True)
        minding = [asyncio.create_task(self._follow()), asyncio.create_task(self._look_again())]
        for task in minding:
            task.add_done_callback(self._minded)
        try:
            await self._stop.wait()
            for task in minding:
                task.cancel()
            if self._broken is None and self._running:
                await asyncio.wait(self._running.values())
            if self._broken is not None:
                raise self._broken
        finally:
            for task in (*minding, *self._running.values()):
                task.cancel()
            await asyncio.gather(*minding, *self._running.values(), return_exceptions=True)

    def drain(self) -> None:
        """Take nothing more, finish what runs, then end."""
        if not self._drains:
            self._drains = True
            self._bidder.stop()
            self._tell("draining", None, f"{len(self._running)} tasks in hand, {len(self._bidder.bids)} bids stay")
            self._stop.set()

    def _minded(self, done: asyncio.Task[None]) -> None:
        if not done.cancelled() and (error := done.exception()) is not None:
            self._break(error)

    def _break(self, error: BaseException) -> None:
        self._broken = self._broken or error
        self._stop.set()

    # what happens

    async def _follow(self) -> None:
        async with aclosing(self._hive.events()) as events:
            async for event in events:
                await self._take(event)

    async def _take(self, event: HiveEvent) -> None:
        """Events come late, too: what ends a claim touches nothing that is done by a newer one."""
        if (said := in_words(event)) is not None:
            self._tell(said.event, event.task_id, said.text, event.timestamp)
        match event:
            case wire.TaskNewMatch():
                with suppress(Refused):
                    task = await self._patiently(lambda: self._hive.task(event.task_id))
                    await self._bidder.consider(task, self._running.keys())
            case wire.ClaimWon():
                self._bidder.over(event.task_id, event.claim_id)
                self._begin(event.task_id, takes_over=False)
            case wire.ClaimLost():
                self._bidder.over(event.task_id, event.claim_id)
                if event.reason in TAKEN_BACK:
                    self._lost.add(event.claim_id)
                    if self._known.get(event.task_id) == event.claim_id:
                        self._drop(event.task_id, "its poster took it back")
                self._wake.set()
            case wire.RevisionRequested():
                self._begin(event.task_id, takes_over=False)
            case wire.TaskCancelled():
                self._bidder.over(event.task_id)
                self._drop(event.task_id, "its poster cancelled it")
            case wire.DeliverableAccepted():
                self._known.pop(event.task_id, None)
            case _:
                pass  # it asks for nothing, or is of a task that its operator has posted

    # looking and bidding

    async def _look_again(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._look_seconds):
                    await self._wake.wait()
                    await asyncio.sleep(min(SETTLE_SECONDS, self._look_seconds))
            self._wake.clear()
            await self._look(is_first=False)

    async def _look(self, *, is_first: bool) -> None:
        """See what the server's rows say is ours, then bid."""
        try:
            await self._patiently(lambda: self._see(is_first=is_first))
        except Refused as refusal:
            self._tell("refused", None, f"{refusal.code}: {refusal.message} {refusal.suggestion}")

    async def _see(self, *, is_first: bool) -> None:
        for status in ("claimed", "in_progress"):
            for line in [each async for each in self._hive.my_tasks(role="worker", status=status)]:
                takes_over = is_first or await self._is_forsaken(line.id)
                if takes_over or status == "claimed" or line.id in self._known:
                    self._begin(line.id, takes_over=takes_over)
        if is_first:
            async for each in self._hive.my_tasks(role="worker", status="delivered"):
                self._known.setdefault(each.id, None)
        await self._bidder.look(self._running.keys(), is_first=is_first)

    async def _is_forsaken(self, task_id: int) -> bool:
        """Whether another worker with this key would long be done with it."""
        task = await self._hive.task(task_id)
        seconds = self._program.seconds * self._program.tries + OTHERS_SECONDS
        return task.updated_at / 1000 < time.time() - seconds

    # working

    def _begin(self, task_id: int, *, takes_over: bool) -> None:
        if task_id in self._running or self._drains:
            return
        self._running[task_id] = asyncio.create_task(self._guarded(task_id, takes_over))
        self._running[task_id].add_done_callback(lambda done: self._ended(task_id, done))

    def _ended(self, task_id: int, done: asyncio.Task[None]) -> None:
        if self._running.get(task_id) is done:
            del self._running[task_id]
        if not done.cancelled() and (error := done.exception()) is not None:
            self._break(error)
        self._wake.set()

    def _drop(self, task_id: int, why: str) -> None:
        self._known.pop(task_id, None)
        running = self._running.pop(task_id, None)
        if running is not None and running.cancel():
            self._tell("dropped", task_id, why)

    async def _guarded(self, task_id: int, takes_over: bool) -> None:
        """One task; what goes wrong with it alone is told, and the worker goes on."""
        async with self._turns:
            if self._drains:
                return  # it is begun at the next start
            try:
                if await self._work(task_id, takes_over):
                    self._delivered()
            except Refused as refusal:
                self._tell("refused", task_id, f"{refusal.code}: {refusal.message} {refusal.suggestion}")

    async def _work(self, task_id: int, takes_over: bool) -> bool:
        assert self._me is not None, "run() asks who it is first"
        task = await self._patiently(lambda: self._hive.task(task_id))
        if task.claimed_by_agent_id != self._me.id or task.status not in ("claimed", "in_progress"):
            return False
        agent_id = self._me.id
        claim = await self._patiently(lambda: accepted_claim(self._hive, agent_id, task_id))
        if claim is None or claim.id in self._lost:
            return False  # taken back meanwhile
        is_known = task_id in self._known and self._known[task_id] in (None, claim.id)
        self._known[task_id] = claim.id  # before it is begun: whoever drops it, and begins it anew, knows his own mark
        if not (await self._start(task_id) if task.status == "claimed" else takes_over or is_known):
            self._known.pop(task_id, None)
            self._tell("left", task_id, "another worker with this key is on it")
            return False
        return await Work(self._hive, agent_id, self._program, self._tell, self._patiently).do(task)

    async def _start(self, task_id: int) -> bool:
        """Of several workers with one key, the one that begins a task does it."""
        try:
            await self._patiently(lambda: self._hive.start_task(task_id))
        except Refused as refusal:
            if refusal.code != Code.INVALID_STATUS:
                raise
            return False
        return True

    def _delivered(self) -> None:
        if self._left is not None:
            self._left -= 1
            if self._left <= 0:
                self._drains = True
                self._bidder.stop()
                self._stop.set()
