"""A worker of the subnet: hands tasks to a program and submits what it prints, or votes and casts what it chooses."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

from protocol import json_text
from protocol import subnet as wire
from vault_client.durations import format_duration
from vault_client.errors import Refused
from vault_client.programs import ProgramFailed, run_program
from vault_client.subnet import Subnet, SubnetEvent

CHOICES = ("a", "b")
SECONDS_MIN = 0.5
REGISTER_AGAIN_SECONDS = 60.0
"""A judge with nothing to do asks for what is still open."""

Tell = Callable[[str, int, str], None]
"""tell(event, task_id, text): what is shown of how things go."""


def plain(text: str) -> str:
    """A JSON text as a program reads it most easily: a string as what it says, everything else as JSON."""
    value = json_text.read(text)
    return value if isinstance(value, str) else text


class Worker(ABC):
    """Runs the program for `workers` tasks at a time until the connection ends; what is over is dropped."""

    def __init__(self, subnet: Subnet, program: Sequence[str], tell: Tell, workers: int) -> None:
        self._subnet = subnet
        self._program = program
        self._tell = tell
        self._turns = asyncio.Semaphore(workers)
        self._running: dict[int, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        self._broken: BaseException | None = None
        self._done = 0
        self._limit: int | None = None

    async def run(self, limit: int | None = None) -> None:
        """Work until the connection ends, or `limit` tasks are done. Raises what ended the connection."""
        self._limit = limit
        following = asyncio.create_task(self._follow())
        following.add_done_callback(lambda _: self._changed.set())
        try:
            while not (following.done() or self._has_enough()):
                await self._wait_for_change()
                if self._broken is not None:
                    raise self._broken
            if following.done():
                following.result()
        finally:
            for task in (following, *self._running.values()):
                task.cancel()
            await asyncio.gather(following, *self._running.values(), return_exceptions=True)

    async def _wait_for_change(self) -> None:
        """Until something has ended; whoever has nothing to do for long says again what he is there for."""
        try:
            async with asyncio.timeout(REGISTER_AGAIN_SECONDS):
                await self._changed.wait()
        except TimeoutError:
            if not self._running:
                await self._begin()
        self._changed.clear()

    @abstractmethod
    async def _begin(self) -> None:
        """Say what we are there for."""

    @abstractmethod
    async def _take(self, event: SubnetEvent) -> None:
        """Look at what came."""

    def _has_enough(self) -> bool:
        return self._limit is not None and self._done >= self._limit

    async def _follow(self) -> None:
        await self._begin()
        async with aclosing(self._subnet.events()) as events:
            async for event in events:
                await self._take(event)

    def _start(self, task_id: int, ends_at: int, what: str, work: Callable[[], Any]) -> None:
        if task_id in self._running or self._has_enough():
            return
        left = ends_at / 1000 - time.time()
        self._tell("taken", task_id, f"{what}, {format_duration(max(0, left))} left")
        self._running[task_id] = asyncio.create_task(self._guarded(task_id, work))
        self._running[task_id].add_done_callback(lambda done: self._ended(task_id, done))

    def _ended(self, task_id: int, done: asyncio.Task[None]) -> None:
        if self._running.get(task_id) is done:
            del self._running[task_id]
        if not done.cancelled() and (error := done.exception()) is not None and self._broken is None:
            self._broken = error
        self._changed.set()

    def _drop(self, task_id: int, why: str) -> None:
        running = self._running.pop(task_id, None)
        if running is not None and running.cancel():
            self._tell("dropped", task_id, why)

    async def _guarded(self, task_id: int, work: Callable[[], Any]) -> None:
        """One task; what goes wrong with it alone is told, and the worker goes on."""
        async with self._turns:
            try:
                await work()
                self._done += 1
            except ProgramFailed as failed:
                self._tell("failed", task_id, f"{failed.message} {failed.suggestion}")
            except Refused as refusal:
                self._tell("refused", task_id, f"{refusal.code}: {refusal.message}")

    async def _ask_program(self, given: bytes, ends_at: int, environment: Mapping[str, str]) -> str:
        seconds = ends_at / 1000 - time.time()
        if seconds < SECONDS_MIN:
            raise ProgramFailed("There is no time left.", "Its deadline is too near to begin.")
        return await run_program(self._program, given, seconds=seconds, environment=environment)


class Miner(Worker):
    """Answers every task that this key may answer. `reads_json`: what the program prints is JSON and not a text."""

    def __init__(
        self, subnet: Subnet, program: Sequence[str], tell: Tell, workers: int = 1, *, reads_json: bool = False
    ) -> None:
        super().__init__(subnet, program, tell, workers)
        self._reads_json = reads_json

    async def _begin(self) -> None:
        await self._subnet.register(mining=True)

    async def _take(self, event: SubnetEvent) -> None:
        match event:
            case wire.TaskAssigned():
                self._start(event.task_id, event.expire_at, event.task_type, lambda: self._answer(event))
            case wire.TaskWithdrawn() | wire.CompletionSubmitted() | wire.TaskExpired():
                self._drop(event.task_id, "nothing is left to answer")
            case wire.TaskScored():
                votes = sum(vote.chosen == "miner" for vote in event.votes)
                self._tell("scored", event.task_id, f"{votes} of {len(event.votes)} votes for the miner")
            case _:
                pass

    async def _answer(self, task: wire.TaskAssigned) -> None:
        metadata = task.task_metadata
        if metadata is None:
            metadata = (await self._subnet.task(task.task_id)).task_metadata or "{}"
        prompt = json_text.read(metadata).get("prompt")
        given = plain(metadata if prompt is None else json_text.canonical(prompt))
        environment = {
            "VAULT_TASK_ID": str(task.task_id),
            "VAULT_TASK_TYPE": task.task_type,
            "VAULT_EXPIRE_AT": str(task.expire_at),
            "VAULT_TASK_METADATA": metadata,
        }
        printed = await self._ask_program(given.encode(), task.expire_at, environment)
        taken = await self._subnet.submit(task.task_id, self._completion(printed))
        left = taken.voting_closes_at / 1000 - time.time()
        self._tell("submitted", task.task_id, f"judged for at most {format_duration(left)}")

    def _completion(self, printed: str) -> Any:
        if not self._reads_json:
            return printed
        try:
            return json_text.read(printed)
        except json_text.NotJson:
            raise ProgramFailed(
                "The program printed no JSON.", "Print one JSON value, or leave --json-output out."
            ) from None


class Judge(Worker):
    """Votes on every task that this key is asked to judge; a program that prints nothing abstains."""

    async def _begin(self) -> None:
        await self._subnet.register(judging=True)

    async def _take(self, event: SubnetEvent) -> None:
        match event:
            case wire.VoteRequested():
                self._start(event.task_id, event.voting_closes_at, event.task_type, lambda: self._judge(event))
            case wire.TaskScored():
                self._drop(event.task_id, "the voting is over")
                self._tell("scored", event.task_id, f"{len(event.votes)} votes")
            case _:
                pass

    async def _judge(self, asked: wire.VoteRequested) -> None:
        ballot = {"prompt": asked.prompt, "a": asked.a, "b": asked.b}
        if asked.a is None:
            shown = await self._subnet.task(asked.task_id)
            ballot = {"prompt": shown.prompt, "a": shown.a, "b": shown.b}
        texts = {name: text or "null" for name, text in ballot.items()}
        printed = await self._ask_with_files(asked, texts)
        chosen = printed.strip().lower()
        if not chosen:
            self._tell("abstained", asked.task_id, "the program printed nothing")
            return
        if chosen not in CHOICES:
            raise ProgramFailed(f"The program printed {chosen[:40]!r}.", "Print a or b, or nothing to abstain.")
        taken = await self._subnet.vote(asked.task_id, chosen, against_other=True)
        self._tell("voted", asked.task_id, f"for {chosen}, weight {taken.weight:g}")

    async def _ask_with_files(self, asked: wire.VoteRequested, texts: Mapping[str, str]) -> str:
        """The program finds each text in a file of its own, too: what a shell compares most easily."""
        document = {
            "task_id": asked.task_id,
            "task_type": asked.task_type,
            **{name: json_text.read(text) for name, text in texts.items()},
        }
        with tempfile.TemporaryDirectory(prefix="vault-judge-") as folder:
            paths = {name: Path(folder) / name for name in texts}
            for name, path in paths.items():
                path.write_text(plain(texts[name]), encoding="utf-8")
            environment = {
                "VAULT_TASK_ID": str(asked.task_id),
                **{f"VAULT_{name.upper()}": str(path) for name, path in paths.items()},
            }
            return await self._ask_program(json.dumps(document).encode(), asked.voting_closes_at, environment)
