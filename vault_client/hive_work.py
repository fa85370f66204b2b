"""One task in a worker's hands: begin it, run the program on it, deliver what it prints, or hand the task back.

A revision is delivered once, however many workers share the key and however often they are killed: its idempotency key
is made of the task and the revision's number, so the server takes one content for it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from protocol import hive_records as shown
from protocol.errors import Code
from protocol.hive_fields import One
from vault_client.errors import Refused
from vault_client.hive import Hive
from vault_client.hive_key import KEY_FILE_VARIABLE, KEY_VARIABLE
from vault_client.hive_patience import Patience, Tell
from vault_client.programs import ProgramFailed, run_program

CHARACTERS_MAX = 50_000
"""Of a deliverable."""
BYTES_MAX = 4 * CHARACTERS_MAX

DONE_ELSEWHERE = frozenset({
    Code.IDEMPOTENCY_KEY_MISMATCH, Code.INVALID_STATUS, Code.NOT_CLAIMED_BY_YOU, Code.TASK_NOT_FOUND,
})  # fmt: skip
"""Why a delivery is refused when the task is no longer waiting for it."""


@dataclass(frozen=True, slots=True)
class Program:
    """What does the work: how long it may take, and how often it is tried before a task is handed back."""

    words: Sequence[str]
    seconds: float = 600.0
    tries: int = 2


class Work:
    """Does one revision of a task that is this agent's and in progress."""

    def __init__(self, hive: Hive, agent_id: int, program: Program, tell: Tell, patiently: Patience) -> None:
        self._hive = hive
        self._agent_id = agent_id
        self._program = program
        self._tell = tell
        self._patiently = patiently

    async def do(self, task: shown.Task) -> bool:
        """Whether it was delivered. Raises Refused, and what ended the connection."""
        delivered = await self._patiently(lambda: self._hive.deliverables(task.id))
        own = [each for each in delivered if each.agent_id == self._agent_id]
        number = len(own) + 1
        given = assignment(task, number, own[-1] if own else None)
        failed = ProgramFailed("The program was not run.", "")
        for attempt in range(1, self._program.tries + 1):
            self._tell("working", task.id, f"revision {number}" + (f", try {attempt}" if attempt > 1 else ""))
            try:
                return await self._deliver(task.id, number, await self._run(task.id, number, given))
            except ProgramFailed as error:
                failed = error
                self._tell("failed", task.id, f"{error.message} {error.suggestion}")
        await self._hand_back(task.id, failed)
        return False

    async def _run(self, task_id: int, number: int, given: bytes) -> str:
        printed = await run_program(
            self._program.words,
            given,
            seconds=self._program.seconds,
            environment={"VAULT_TASK_ID": str(task_id), "VAULT_REVISION_NUMBER": str(number)},
            without=(KEY_VARIABLE, KEY_FILE_VARIABLE),
            output_bytes_max=BYTES_MAX,
        )
        if len(printed) > CHARACTERS_MAX:
            raise ProgramFailed(
                f"The program printed {len(printed)} characters.",
                f"A deliverable has at most {CHARACTERS_MAX}: print less, or a link to the rest.",
            )
        if not printed.strip():
            raise ProgramFailed("The program printed nothing.", "Print the deliverable, or end with an exit code.")
        return printed

    async def _deliver(self, task_id: int, number: int, content: str) -> bool:
        key = f"work:{task_id}:{number}"
        try:
            made = await self._patiently(lambda: self._hive.deliver(task_id, content, idempotency_key=key))
        except Refused as refusal:
            if refusal.code in DONE_ELSEWHERE:
                self._tell("left", task_id, f"revision {number} is not awaited any more ({refusal.code})")
                return False
            if refusal.code == Code.VALIDATION_ERROR:
                raise ProgramFailed(refusal.message, refusal.suggestion) from None
            raise
        self._tell("delivered", task_id, f"revision {made.revision_number}, {len(content)} characters")
        return True

    async def _hand_back(self, task_id: int, failed: ProgramFailed) -> None:
        """Give the task up, so that somebody else can do it; that counts as abandoned."""
        claim = await self._patiently(lambda: accepted_claim(self._hive, self._agent_id, task_id))
        if claim is None:
            return
        try:
            await self._patiently(lambda: self._hive.withdraw_claim(task_id, claim.id))
        except Refused as refusal:
            if refusal.code not in DONE_ELSEWHERE:
                raise
            return
        self._tell("handed_back", task_id, f"after {self._program.tries} tries: {failed.message}")


async def accepted_claim(hive: Hive, agent_id: int, task_id: int) -> shown.Claim | None:
    """The claim by which a task is this agent's, if it is."""
    async with aclosing(hive.claims(task_id)) as claims:
        async for claim in claims:
            if claim.agent_id == agent_id and claim.status == "accepted":
                return claim
    return None


def assignment(task: shown.Task, number: int, previous: shown.Deliverable | None) -> bytes:
    """What the program reads: the task as REST shows it, and on a revision what was said about the work before."""
    document: dict[str, Any] = {
        **One(shown.Task).dump(task, False),
        "revision_number": number,
        "revision_notes": None if previous is None else previous.revision_notes,
        "previous_deliverable": None if previous is None else previous.content,
    }
    return json.dumps(document, ensure_ascii=False).encode()
