"""Somebody who remembers all that was said and seen, and holds the vault to it after every order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from protocol.envelope import Message
from protocol.vault import (
    AssignmentEnded,
    CheckpointOffered,
    ComplaintRaised,
    ComplaintRuled,
    ComplaintTaken,
    PuzzleAccepted,
    PuzzleAnswered,
    PuzzleOffered,
    StandingChanged,
    TaskFailed,
)
from tests.vault_server.systems.vault.harness import Vault
from vault_server.core.operation import Query, Reader
from vault_server.systems.vault.records import open_assignment_answer
from vault_server.systems.vault.rules import Evidence

Row = Mapping[str, Any]

TABLES = (
    "tasks",
    "task_assignments",
    "complaints",
    "complaint_parties",
    "score_history",
    "participants",
    "relays",
    "outbox",
)
FINAL = {
    "tasks": ("settled", "cancelled", "failed"),
    "task_assignments": ("valid", "invalid", "expired"),
    "complaints": ("upheld", "rejected", "undecided"),
}
"""What is never touched again."""
KEYS = {"tasks": "fingerprint", "task_assignments": "db_key", "complaints": "id"}


@dataclass
class Witness:
    """Replies are told to it as they come; `look` reads the rows."""

    right: Mapping[int, int]
    """The right answer by t."""
    residues: bytes
    """What honest solvers relay."""
    accepted: dict[str, tuple[PuzzleAccepted, int]] = field(default_factory=dict)
    """By task: what its client was told, and t."""
    sent: dict[int, int] = field(default_factory=dict)
    """By assignment: the answer that its solver was told is stored."""
    proved: dict[int, bool] = field(default_factory=dict)
    """By assignment: whether the proof that was stored for its answer holds, and is of that answer."""
    replied: dict[int, str] = field(default_factory=dict)
    """By assignment: its outcome, where a reply has said it."""
    complaints: dict[int, ComplaintTaken] = field(default_factory=dict)
    words: dict[tuple[int, int], str] = field(default_factory=dict)
    """By complaint and assignment: what a solver was told is heard."""
    acknowledged: dict[int, tuple[str, str, Message]] = field(default_factory=dict)
    """By seq: receiver, endpoint and what was acknowledged."""
    final: dict[tuple[str, Any], Row] = field(default_factory=dict)
    history: list[Row] = field(default_factory=list)
    excused: set[tuple[str, str]] = field(default_factory=set)
    """Whose deadline for which task passed while the server was away."""
    misleading: set[int] = field(default_factory=set)
    """Assignments of which a wrong residue was relayed."""
    unproved: set[int] = field(default_factory=set)
    """Assignments that have ended so; a factor or a proof may show them to be right or wrong later."""
    released: set[int] = field(default_factory=set)
    """The same of those that were let go, and may still prove their answer."""

    async def look(self, vault: Vault) -> None:
        """Hold the rows to what was said and seen."""

        def read(reader: Reader) -> tuple[dict[str, list[Row]], list[tuple[Row, Message | None]]]:
            rows = {name: [*reader.all(Query(name, f"SELECT * FROM {name}"))] for name in TABLES}
            return rows, [(row, vault.render(reader, row)) for row in rows["outbox"]]

        rows, waiting = await vault.database.read(read)
        self.unproved |= {row["db_key"] for row in rows["task_assignments"] if row["status"] == "unproved"}
        self.released |= {row["db_key"] for row in rows["task_assignments"] if row["status"] == "released"}
        self._what_is_final_stays(rows)
        self._what_was_acknowledged_is_stored(vault, rows)
        self._verdicts_are_true(rows)
        self._everybody_is_told_once(rows, waiting)

    def _what_is_final_stays(self, rows: Mapping[str, list[Row]]) -> None:
        for table, ends in FINAL.items():
            for row in rows[table]:
                key = (table, row[KEYS[table]])
                if key in self.final:
                    assert row == self.final[key]
                elif row["status"] in ends:
                    self.final[key] = row
        assert rows["score_history"][: len(self.history)] == self.history
        self.history = rows["score_history"]

    def _what_was_acknowledged_is_stored(self, vault: Vault, rows: Mapping[str, list[Row]]) -> None:
        tasks = {row["fingerprint"]: row for row in rows["tasks"]}
        assert set(tasks) == set(self.accepted)
        for task, (reply, _) in self.accepted.items():
            assert tasks[task]["promised_by"] == reply.promised_by
        assignments = {row["db_key"]: row for row in rows["task_assignments"]}
        for key, answer in self.sent.items():
            row = assignments[key]
            raw = open_assignment_answer(vault.parts.cipher, row["answer"], key, row["solver_id"])
            assert int.from_bytes(raw, "big") == answer
        complaints = {row["id"]: row for row in rows["complaints"]}
        assert set(complaints) == set(self.complaints)
        for number, taken in self.complaints.items():
            assert complaints[number]["task_id"] == taken.task
        heard = {(row["complaint_id"], row["assignment_id"]): row["response"] for row in rows["complaint_parties"]}
        assert {where: word for where, word in heard.items() if word} == self.words

    def _verdicts_are_true(self, rows: Mapping[str, list[Row]]) -> None:
        """Nobody is convicted or confirmed by anything but arithmetic and its own word."""
        for row in rows["task_assignments"]:
            if row["status"] in ("valid", "invalid"):
                was_shown = self._is_right(row) and self.proved.get(row["db_key"], True)
                assert was_shown == (row["status"] == "valid")
        assignments = {row["db_key"]: row for row in rows["task_assignments"]}
        tasks = {row["fingerprint"]: row for row in rows["tasks"]}
        for complaint in rows["complaints"]:
            if complaint["kind"] != "wrong_answer" or complaint["status"] in ("open", "asked", "undecided"):
                continue
            keys = [row["assignment_id"] for row in rows["complaint_parties"] if row["complaint_id"] == complaint["id"]]
            given = self._given([assignments[key] for key in keys])
            if tasks[complaint["task_id"]]["answered_at"] is None:  # it failed: the factor is about all that was sent
                own = [self._is_right(assignments[key]) for key in keys]
                assert all(own) == (complaint["status"] == "rejected")
            elif complaint["status"] == "rejected":
                assert all(self._is_right(row) for row in given)
            elif complaint["factor"] is not None:
                assert not any(self._is_right(row) for row in given)
            else:
                words = [self.words.get((complaint["id"], row["db_key"])) for row in given]
                assert "withdraws" in words or False in [self.proved.get(row["db_key"]) for row in given]

        for relay in rows["relays"]:
            assert relay["status"] != "refuted" or relay["assignment_id"] in self.misleading
        holders = {row["fingerprint"]: row["hotkey"] for row in rows["participants"]}
        misled = {(holders[assignments[key]["solver_id"]], assignments[key]["task_id"]) for key in self.misleading}
        for row in rows["score_history"]:
            assert row["reason"] != Evidence.CHECKPOINT_REFUTED or (row["hotkey"], row["task_id"]) in misled
            if row["reason"] in (Evidence.DEADLINE_MISSED, Evidence.COMPLAINT_UPHELD):
                assert (row["hotkey"], row["task_id"]) not in self.excused

    def _is_right(self, row: Row) -> bool:
        _, t = self.accepted[row["task_id"]]
        return self.sent[row["db_key"]] == self.right[t]

    def _given(self, rows: list[Row]) -> list[Row]:
        """Those whose answer the client was given: what two agreed on, or the only one."""
        answers = Counter(self.sent[row["db_key"]] for row in rows)
        [(given, _)] = answers.most_common(1)
        return [row for row in rows if self.sent[row["db_key"]] == given]

    def _everybody_is_told_once(self, rows: Mapping[str, list[Row]], waiting: list[tuple[Row, Message | None]]) -> None:
        """Every push is delivered or pending; none is for nothing, and none comes again."""
        told: Counter[tuple[str, str, Any]] = Counter()
        for seq, (receiver, endpoint, message) in self.acknowledged.items():
            assert seq not in [row["seq"] for row, _ in waiting]
            told[receiver, endpoint, _gist(message)] += 1
        for row, push in waiting:
            assert push is not None, f"nothing is left to say of {row}"
            if isinstance(push, CheckpointOffered):
                assert self.residues.startswith(push.residues)
            if not isinstance(push, PuzzleOffered):
                told[row["receiver"], row["endpoint"], _gist(push)] += 1
        due = self._due(rows)
        assert {key: told[key] for key in due} == dict(due)
        # Of a complaint that has its ruling, a task that has lost its answer, an assignment that may have ended.
        passed = ("raised", "answered", "checkpoint")
        assert {key for key in told if key[2][0] not in passed} <= set(due), set(told) - set(due)

    def _due(self, rows: Mapping[str, list[Row]]) -> Counter[tuple[str, str, Any]]:
        """Who has to be told what, by the rows."""
        due: Counter[tuple[str, str, Any]] = Counter()
        for task in rows["tasks"]:
            client = f"key:{task['client_id']}"
            if task["status"] in ("answered", "settled"):
                due[client, "client", ("answered", task["fingerprint"])] += 1
            elif task["status"] == "failed":
                due[client, "client", ("failed", task["fingerprint"], task["reason"])] += 1
        for row in rows["task_assignments"]:
            if row["ended_at"] is not None and row["db_key"] not in self.replied:
                outcome = "unproved" if row["db_key"] in self.unproved else row["status"]
                due[f"key:{row['solver_id']}", "solver", ("ended", row["db_key"], outcome)] += 1
                if row["db_key"] in self.released and outcome != "released":
                    due[f"key:{row['solver_id']}", "solver", ("ended", row["db_key"], "released")] += 1
        self._due_of_complaints(rows, due)
        holders = {row["hotkey"]: f"key:{row['fingerprint']}" for row in rows["participants"]}
        for row in rows["score_history"]:
            gist = ("moved", row["score_change"], row["score_after"], row["reason"], row["task_id"])
            due[holders[row["hotkey"]], row["standing"], gist] += 1
        return due

    def _due_of_complaints(self, rows: Mapping[str, list[Row]], due: Counter[tuple[str, str, Any]]) -> None:
        solvers = {row["db_key"]: f"key:{row['solver_id']}" for row in rows["task_assignments"]}
        for complaint in rows["complaints"]:
            parties = [
                row["assignment_id"] for row in rows["complaint_parties"] if row["complaint_id"] == complaint["id"]
            ]
            number, status, reason = complaint["id"], complaint["status"], complaint["ruling"]
            if complaint["ruled_at"] is not None:
                due[f"key:{complaint['client_id']}", "client", ("ruled", number, status, reason, None)] += 1
            for key in parties:
                if complaint["ruled_at"] is not None:
                    due[solvers[key], "solver", ("ruled", number, status, reason, key)] += 1
                elif status == "asked":
                    due[solvers[key], "solver", ("raised", number, key)] += 1


def _gist(message: Message) -> tuple[Any, ...]:
    match message:
        case PuzzleAnswered():
            return ("answered", message.task)
        case TaskFailed():
            return ("failed", message.task, message.reason)
        case CheckpointOffered():
            return ("checkpoint", message.assignment)
        case AssignmentEnded():
            return ("ended", message.assignment, message.outcome)
        case ComplaintRaised():
            return ("raised", message.complaint, message.assignment)
        case ComplaintRuled():
            return ("ruled", message.complaint, message.ruling, message.reason, message.assignment)
        case StandingChanged():
            return ("moved", message.score_change, message.reputation_score, message.reason, message.task)
    raise AssertionError(f"nobody is told {message}")
