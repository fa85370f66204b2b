"""Who may come and who may stay where callers have no keys: API keys and sessions, as the rows say now.

All that is asked at the same moment is read at once. Whoever stays is looked at again when something about his account
changes, on this node or another, and every `hive_recheck_ms` besides: sessions run out, and hints get lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import structlog

from protocol.errors import Close, Code, MessageError
from vault_server.clock import Clock
from vault_server.core.accounts import Accounts, Held
from vault_server.core.operation import Caller, Reader
from vault_server.dispatch.dispatcher import Dispatcher

logger = structlog.get_logger()

BATCH = 500
"""Looked at in one read."""

HINT = "account|"
"""How a hint to other nodes begins; the account follows."""


class Staying(Protocol):
    """A connection, as the watch sees it."""

    def dismiss(self, refusal: MessageError, code: Close) -> None:
        """What it came in with lets nobody in any more: say so, and close."""


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """What came with an upgrade request: an API key, or a session's token. Never shown."""

    secret: str
    is_session: bool


Known = Callable[[Caller | None, MessageError | None], None]
"""Told exactly once, later: who it is, or why he is not let in."""


@dataclass(frozen=True, slots=True)
class _Question:
    credentials: Credentials
    place: str
    known: Known


class AccountWatch:
    """`start` when the database can be read. Everything is called from the event loop."""

    def __init__(self, dispatcher: Dispatcher, clock: Clock, accounts: Accounts, pause_ms: int) -> None:
        self._dispatcher = dispatcher
        self._clock = clock
        self._accounts = accounts
        self._pause_seconds = pause_ms / 1000
        self._questions: list[_Question] = []
        self._asking: asyncio.Task[None] | None = None
        self._staying: dict[str, dict[Staying, Held]] = {}
        self._changed: set[str] = set()
        self._changed_meanwhile: set[str] = set()
        self._wake = asyncio.Event()
        self._runner: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Look again from now on."""
        if self._runner is None:
            self._runner = asyncio.create_task(self._run(), name="accounts")

    async def stop(self) -> None:
        """Look no more; who has asked has his answer."""
        runner, self._runner = self._runner, None
        if runner is not None:
            runner.cancel()
            await asyncio.gather(runner, return_exceptions=True)
        if self._asking is not None:
            await self._asking

    # who comes

    def ask(self, credentials: Credentials, place: str, known: Known) -> None:
        """Whose they are."""
        self._questions.append(_Question(credentials, place, known))
        if self._asking is None:
            self._asking = asyncio.create_task(self._answer_all(), name="credentials")

    async def _answer_all(self) -> None:
        while self._questions:
            asked, self._questions = self._questions[:BATCH], self._questions[BATCH:]
            self._changed_meanwhile.clear()
            for question, answer in zip(asked, await self._answers(asked), strict=True):
                self._tell(question, answer)
        self._asking = None

    def _tell(self, question: _Question, answer: Caller | MessageError) -> None:
        try:
            if isinstance(answer, MessageError):
                question.known(None, answer)
                return
            question.known(answer, None)
        except Exception:
            logger.exception("reply.failed", order="upgrade")
        else:
            if answer.account in self._changed_meanwhile:  # perhaps behind what was read
                self.changed(answer.account)

    async def _answers(self, asked: Sequence[_Question]) -> Sequence[Caller | MessageError]:
        now_ms = self._clock.now_ms()

        def read(reader: Reader) -> list[Caller | MessageError]:
            return [self._caller(reader, question, now_ms) for question in asked]

        try:
            return await self._dispatcher.look(read)
        except MessageError as refusal:
            return [refusal] * len(asked)
        except Exception:
            logger.exception("operation.failed", order="upgrade")
            defect = MessageError(Code.INTERNAL_ERROR, "The server has a defect.", "Try again later.")
            return [defect] * len(asked)

    def _caller(self, reader: Reader, question: _Question, now_ms: int) -> Caller | MessageError:
        secret = question.credentials.secret
        try:
            if question.credentials.is_session:
                return self._accounts.user(reader, secret, question.place, now_ms)
            return self._accounts.agent(reader, secret, question.place)
        except MessageError as refusal:
            return refusal

    # who stays

    def held(self, caller: Caller, credentials: Credentials) -> Held:
        """What is kept of them, to see whether they still hold."""
        return Held(caller.account, self._accounts.hash_of(credentials.secret))

    def enter(self, staying: Staying, held: Held) -> None:
        """Somebody has come in with these."""
        self._staying.setdefault(held.account, {})[staying] = held

    def leave(self, staying: Staying, held: Held) -> None:
        """He is gone."""
        present = self._staying.get(held.account, {})
        present.pop(staying, None)
        if not present:
            self._staying.pop(held.account, None)

    def changed(self, account: str) -> None:
        """Look at whoever is here by this account, at once."""
        self._changed_meanwhile.add(account)
        if account in self._staying:
            self._changed.add(account)
            self._wake.set()

    async def _run(self) -> None:
        clock = asyncio.get_running_loop().time
        due = clock() + self._pause_seconds
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._wake.wait()
            self._wake.clear()
            is_due = clock() >= due
            accounts = list(self._staying) if is_due else list(self._changed)
            self._changed.clear()
            try:
                await self._look_at(accounts)
            except MessageError as refusal:  # the next look at everybody makes it good
                logger.warning("accounts.unread", code=refusal.code)
                due = clock() + self._pause_seconds
            except Exception:
                logger.exception("accounts.failed")
                due = clock() + self._pause_seconds
            else:
                due = clock() + self._pause_seconds if is_due else due

    async def _look_at(self, accounts: Sequence[str]) -> None:
        for begin in range(0, len(accounts), BATCH):
            here = [pair for account in accounts[begin : begin + BATCH] for pair in self._here(account)]
            held = list({held for _, held in here})
            if held:
                ended = await self._dispatcher.look(partial(self._ended, held=held, now_ms=self._clock.now_ms()))
                for staying, his in here:
                    if (refusal := ended.get(his)) is not None:
                        is_paused = refusal.code is Code.FORBIDDEN
                        staying.dismiss(refusal, Close.AGENT_INACTIVE if is_paused else Close.CREDENTIALS_ENDED)

    def _here(self, account: str) -> Sequence[tuple[Staying, Held]]:
        return tuple(self._staying.get(account, {}).items())

    def _ended(self, reader: Reader, held: Sequence[Held], now_ms: int) -> Mapping[Held, MessageError]:
        return self._accounts.ended(reader, held, now_ms)
