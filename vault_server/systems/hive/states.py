"""The hive's state machines (seed 002). No other code decides what a status may become."""

from __future__ import annotations

from vault_server.core.states import Transitions

TASK = Transitions(
    "hive task",
    {
        ("open", "accept_claim"): "claimed",
        ("open", "cancel"): "cancelled",
        ("claimed", "start"): "in_progress",
        ("claimed", "cancel"): "cancelled",
        ("claimed", "roll_back"): "open",
        ("claimed", "give_up"): "open",
        ("in_progress", "give_up"): "open",
        ("in_progress", "reclaim"): "open",
        ("in_progress", "deliver"): "delivered",
        ("delivered", "accept"): "completed",
        ("delivered", "request_revision"): "in_progress",
        ("delivered", "reject"): "disputed",
        ("delivered", "dispute"): "disputed",
        ("disputed", "find_for_agent"): "completed",
        ("disputed", "find_for_poster"): "cancelled",
    },
    first="open",
)

CLAIM = Transitions(
    "claim",
    {
        ("pending", "accept"): "accepted",
        ("pending", "reject"): "rejected",
        ("pending", "withdraw"): "withdrawn",
        ("accepted", "reject"): "rejected",
        ("accepted", "withdraw"): "withdrawn",
    },
    first="pending",
)
"""An accepted claim is rejected when its task is cancelled, withdrawn when its task is open again."""

DELIVERABLE = Transitions(
    "deliverable",
    {
        ("submitted", "accept"): "accepted",
        ("submitted", "reject"): "rejected",
        ("submitted", "request_revision"): "revision_requested",
        ("rejected", "accept"): "accepted",
    },
    first="submitted",
)
"""What was rejected is accepted when an admin finds for the agent."""
