"""What somebody is to one task. Decides what he may see and do, and looks the same from outside for every stranger."""

from __future__ import annotations

from enum import Enum

from vault_server.core.operation import Reader, Row
from vault_server.systems.subnet.records import Task, q


class Place(Enum):
    """One place in one task."""

    VALIDATOR = "validator"
    MINER = "miner"
    CONTRIBUTOR = "contributor"
    """Linked to the miner now."""
    FORMER = "former contributor"
    """He has answered the task, or helped its miner from its beginning to its answer. Without one: since it began."""
    VOTER = "voter"
    """May judge it, or has."""
    STRANGER = "stranger"


PARTIES = frozenset({Place.VALIDATOR, Place.MINER, Place.CONTRIBUTOR, Place.FORMER})
"""Who never judges the task."""

TEAM = frozenset({Place.MINER, Place.CONTRIBUTOR})
"""Who may answer it."""


def place_in(reader: Reader, task: Task, hotkey: str) -> Place:
    """The place of this key in the task."""
    if hotkey == task.validator:
        return Place.VALIDATOR
    if hotkey == task.miner:
        return Place.MINER
    link = reader.one(q.link_seen, contributor=hotkey)
    if link is not None and link["miner_hotkey"] == task.miner:
        if link["revoked_at"] is None:
            return Place.CONTRIBUTOR
        if _was_linked(task, link):
            return Place.FORMER
    if reader.one(q.completion_by, task_id=task.id, hotkey=hotkey) is not None:
        return Place.FORMER
    if reader.one(q.vote_of, task_id=task.id, voter=hotkey) is not None:
        return Place.VOTER
    if reader.one(q.voter, task_id=task.id, hotkey=hotkey) is not None:
        return Place.VOTER
    return Place.STRANGER


def _was_linked(task: Task, link: Row) -> bool:
    """Whether an ended link makes an insider; the view `subnet_voters` says the same of a task that is judged.

    One that was made later does not: else a miner could keep judges away by linking them unasked.
    """
    if task.submitted_at is None:
        return bool(link["revoked_at"] >= task.created_at)
    return bool(link["created_at"] <= task.created_at and link["revoked_at"] >= task.submitted_at)
