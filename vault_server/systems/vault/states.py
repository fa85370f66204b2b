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
        ("answered", "overturn"): "failed",
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
        ("unproved", "confirm"): "valid",
        ("unproved", "refute"): "invalid",
        ("released", "confirm"): "valid",
        ("released", "refute"): "invalid",
        ("valid", "refute"): "invalid",
    },
    first="offered",
)
"""A released assignment is judged when its proved answer still came in time; only a factor refutes a valid one."""

PROOF = Transitions(
    "proof",
    {
        ("waiting", "hold"): "holding",
        ("waiting", "fail"): "failed",
    },
    first="waiting",
)

RELAY = Transitions(
    "relay",
    {
        ("open", "check"): "checking",
        ("checking", "hold"): "open",
        ("checking", "refute"): "refuted",
    },
    first="open",
)
"""A relayed checkpoint: taken unseen, checked when somebody could go on from it."""

COMPLAINT = Transitions(
    "complaint",
    {
        ("open", "ask"): "asked",
        ("open", "uphold"): "upheld",
        ("open", "reject"): "rejected",
        ("asked", "reveal"): "open",
        ("asked", "uphold"): "upheld",
        ("asked", "reject"): "rejected",
        ("asked", "leave"): "undecided",
    },
    first="open",
)

IN_HAND = frozenset({"offered", "accepted"})
"""What a solver is still working on."""

OPEN = frozenset({"waiting", "assigned"})
"""A task that has not ended."""
