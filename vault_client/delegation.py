"""Has a locked file's puzzle solved by strangers. With a ticket, what leaves this machine is never the puzzle's base.

The blinded base g·u^a is uniform and independent of g's answer (design §8): neither server nor solver learns y.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from protocol.errors import Code
from protocol.puzzle import Puzzle, Ticket, blind, draw_blinding, unblind
from vault_client.answers import Answer, Order, ProofWish
from vault_client.errors import AnswerRejected, FileError, Refused, TaskEndedError, WrongFile
from vault_client.files import remove
from vault_client.locked_file import LockedFile
from vault_client.resume import Resume, blinding_is_long, read_resume, resume_path, write_resume
from vault_client.tasks import Task
from vault_client.tickets import root_blinds
from vault_client.vault import Vault

ENDED = ("failed", "cancelled")


@dataclass(slots=True)
class Delegation:
    """One wait for a locked file's answer, written down so that it can go on after a break.

    `client` is the fingerprint of the key that asks; `notice` is told in a sentence what the user should know; with
    `proof` "none" the agreement of two solvers is taken for an answer. Make it with `prepare`, which finds an earlier
    wait; nothing has been sent or written then.
    """

    locked: LockedFile
    ticket: Ticket | None = field(repr=False)
    server: str
    client: str
    notice: Callable[[str], object]
    earlier: Resume | None = field(repr=False)
    proof: ProofWish = "required"

    @classmethod
    def prepare(
        cls,
        locked: LockedFile,
        ticket: Ticket | None,
        server: str,
        client: str,
        notice: Callable[[str], object],
        proof: ProofWish = "required",
    ) -> Delegation:
        """Find an earlier wait for this file. Raises WrongFile, and what reading it raises."""
        path = resume_path(locked.path)
        earlier = read_resume(path, locked.header)
        if earlier is not None:
            _check_same(path, earlier, ticket, server, client, proof)
        return cls(locked, ticket, server, client, notice, earlier, proof)

    async def submit(self, vault: Vault) -> Task:
        """The task that solves the puzzle: the one of the earlier wait while it can still bring the answer, or new.

        Its answer is checked against what was asked for: the blinded puzzle, when there is a ticket.
        Raises Refused, FileError, TaskConfused.
        """
        if self.earlier is not None and self.earlier.task is not None:
            if await self._goes_on(vault, self.earlier.task):
                self.notice(f"Going on with task {self.earlier.task}.")
                return vault.task(self.earlier.task, self._published(self.earlier))
            resume = replace(self.earlier, idempotency_key=_next_key(self.earlier), task=None)
            task = await self._ask(vault, resume)  # what was written down stays until this is accepted
        else:
            resume = self.earlier or self._fresh()
            task = await self._send(vault, resume)
        self.earlier = replace(resume, task=task.id)
        write_resume(resume_path(self.locked.path), self.locked.header, self.earlier)
        return task

    async def answer(self, task: Task, wait: Callable[[Task], Awaitable[Answer]] = Task.answer) -> int:
        """Wait (in the way of `wait`); returns the answer of the file's own puzzle.

        Raises TaskEndedError, AnswerRejected, Refused.
        """
        try:
            answer = await wait(task)
        except (TaskEndedError, AnswerRejected):
            self.forget()
            raise
        assert self.earlier is not None, "submit() comes first"
        if self.ticket is None or self.earlier.blinding is None:
            return answer.y
        return unblind(answer.y, self.locked.header.puzzle, self.ticket, self.earlier.blinding)

    def forget(self) -> None:
        """This wait is over: its answer is used, or is of no use. Raises FileError."""
        remove(resume_path(self.locked.path))

    async def _goes_on(self, vault: Vault, task_id: str) -> bool:
        try:
            state = await vault.status(task_id)
        except Refused as refusal:
            if refusal.code != Code.TASK_NOT_FOUND:
                raise
            self.notice(f"The server does not know task {task_id} any more; asking anew.")
            return False
        if state.status in ENDED:
            self.notice(
                f"Task {task_id} has {'failed' if state.status == 'failed' else 'been cancelled'}; asking anew."
            )
        return state.status not in ENDED

    def _fresh(self) -> Resume:
        blinding = None if self.ticket is None else draw_blinding(self.locked.header.puzzle.modulus)
        return Resume(self.server, self.client, secrets.token_hex(16), blinding, proof=self.proof)

    async def _send(self, vault: Vault, resume: Resume) -> Task:
        self._published(resume)  # what must not be sent is not written down either
        write_resume(resume_path(self.locked.path), self.locked.header, resume)
        try:
            return await self._ask(vault, resume)
        except Refused as refusal:  # the server's sealed reply to this very request
            if not refusal.retryable:
                self.forget()  # the server has stored nothing, and never will: there is nothing to go on with
            raise

    async def _ask(self, vault: Vault, resume: Resume) -> Task:
        order = self._published(resume)
        return await vault.submit(
            t=order.puzzle.squarings,
            baseg=order.puzzle.base,
            product=order.puzzle.modulus,
            commitment=order.commitment,
            proof=order.proof,
            idempotency_key=resume.idempotency_key,
        )

    def _published(self, resume: Resume) -> Order:
        header = self.locked.header
        if self.ticket is None or resume.blinding is None:
            return Order(header.puzzle, header.answer_commitment, self.proof)
        # The commitment is to the answer of the bare puzzle; nobody can know one for the blinded puzzle.
        blinded = blind(header.puzzle, self.ticket, resume.blinding)
        if not (root_blinds(self.ticket, header.puzzle.modulus) and _hides(header.puzzle, blinded, resume.blinding)):
            raise FileError(
                "With this ticket or resume file the puzzle would be sent as it is: nothing was sent.",
                "Get the ticket from its maker again, and remove the resume file to ask anew.",
            )
        return Order(blinded, None, self.proof)


def _hides(puzzle: Puzzle, blinded: Puzzle, blinding: int) -> bool:
    n, g = puzzle.modulus, puzzle.base
    return blinding_is_long(blinding, n) and blinded.base not in (0, 1, n - 1, g, n - g)


def _next_key(ended: Resume) -> str:
    # The same again after a crash, so that asking anew makes one task without anything being written down before.
    return hashlib.sha256(f"{ended.idempotency_key}\n{ended.task}".encode()).hexdigest()[:32]


def _check_same(path: Path, earlier: Resume, ticket: Ticket | None, server: str, client: str, proof: ProofWish) -> None:
    if earlier.proof != proof:
        raise WrongFile(
            f"{path} belongs to a wait that was begun with --proof {earlier.proof}.",
            f"Run unlock with --proof {earlier.proof} to go on, or remove {path.name} to ask anew.",
        )
    if (earlier.blinding is None) != (ticket is None):
        began, now = ("without", "with") if earlier.blinding is None else ("with", "without")
        raise WrongFile(
            f"{path} belongs to a wait that was begun {began} the ticket, and this one is {now} it.",
            f"Run unlock {began} the ticket to go on, or remove {path.name} to ask anew.",
        )
    if earlier.server != server:
        raise WrongFile(
            f"{path} belongs to a wait at {earlier.server}.",
            f"Run unlock with --server {earlier.server} to go on, or remove {path.name} to ask anew.",
        )
    if earlier.client != client:
        raise WrongFile(
            f"{path} belongs to a wait with another key (fingerprint {earlier.client}).",
            f"Run unlock with that --key to go on, or remove {path.name} to ask anew.",
        )
