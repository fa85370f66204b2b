"""Which one miner gets a task: the named one, or the best of those who are there."""

from __future__ import annotations

from protocol.errors import Code
from vault_server.core.operation import Caller, Refusal, Transaction
from vault_server.systems.subnet import rules
from vault_server.systems.subnet.records import Parts, q
from vault_server.systems.subnet.rules import Candidate


def assign(parts: Parts, tx: Transaction, caller: Caller, named: str | None) -> str:
    """The hotkey of the miner. Raises Refusal; nothing is stored then."""
    if named is None:
        return _pick(parts, tx, caller)
    _check_named(parts, tx, caller, named)
    return named


def _pick(parts: Parts, tx: Transaction, caller: Caller) -> str:
    rows = tx.all(q.miners_available, validator=caller.hotkey, count=rules.CANDIDATES_MAX)
    limit = parts.settings.subnet_assignments_max
    candidates = [
        Candidate(row["hotkey"], row["open_tasks"], row["reputation_score"])
        for row in rows
        if row["open_tasks"] < limit
    ]
    chosen = rules.choose_miner(candidates, parts.draw)
    if chosen is None:
        raise Refusal(
            Code.NO_MINER_AVAILABLE,
            "Nobody who mines is there for you now.",
            "Try again when a miner is online, or name one in assigned_miner_hotkey.",
            retry_after_ms=5000,
        )
    return chosen.hotkey


def _check_named(parts: Parts, tx: Transaction, caller: Caller, named: str) -> None:
    if named == caller.hotkey:
        raise _conflict("You are the validator of this task and cannot be its miner.")
    if tx.one(q.participant, hotkey=named) is None:
        raise Refusal(
            Code.NOT_REGISTERED,
            f"Miner {named} does not take part.",
            "Name a participant, or leave assigned_miner_hotkey out and the server picks.",
        )
    if tx.one(q.partnership, one=caller.hotkey, other=named) is not None:
        raise _conflict(f"You and miner {named} help each other.")
    counted = tx.one(q.count_in_hand, hotkey=named)
    assert counted is not None, "an aggregate has a row"
    if counted["tasks"] >= parts.settings.subnet_assignments_max:
        raise Refusal(
            Code.NO_MINER_AVAILABLE,
            f"Miner {named} has {counted['tasks']} tasks to answer (subnet_assignments_max).",
            "Name another, or leave assigned_miner_hotkey out and the server picks.",
            retry_after_ms=5000,
        )


def _conflict(message: str) -> Refusal:
    return Refusal(
        Code.CONFLICT_OF_INTEREST, message, "Name a miner who has nothing to do with you, or let the server pick."
    )
