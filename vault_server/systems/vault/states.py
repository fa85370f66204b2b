"""The vault's state machines (design §7). No other code decides what a status may become."""

from __future__ import annotations

from vault_server.core.states import Transitions

TASK = Transitions(
    "task",
    {
        ("waiting", "assign"): "assigned",
        ("waiting", "cancel"): "cancelled",
        ("waiting", "fail"): "failed",
        ("assigned", "assign"): "assigned",
        ("assigned", "unassign"): "waiting",
        ("assigned", "answer"): "answered",
        ("assigned", "cancel"): "cancelled",
        ("assigned", "fail"): "failed",
        ("answered", "settle"): "settled",
    },
    first="waiting",
)

ASSIGNMENT = Transitions(
    "assignment",
    {
        ("offered", "accept"): "accepted",
        ("offered", "deliver"): "delivered",
        ("offered", "expire"): "expired",
        ("offered", "release"): "released",
        ("accepted", "accept"): "accepted",
        ("accepted", "deliver"): "delivered",
        ("accepted", "expire"): "expired",
        ("accepted", "release"): "released",
        ("delivered", "confirm"): "valid",
        ("delivered", "refute"): "invalid",
        ("delivered", "leave_unproved"): "unproved",
    },
    first="offered",
)

IN_HAND = frozenset({"offered", "accepted"})
"""What a solver is still working on."""

OPEN = frozenset({"waiting", "assigned"})
"""A task that has not ended."""
