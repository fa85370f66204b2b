"""The subnet's state machines (seed 001). No other code decides what a status may become."""

from __future__ import annotations

from vault_server.core.states import Transitions

TASK = Transitions(
    "subnet task",
    {
        ("assigned", "submit"): "submitted",
        ("assigned", "expire"): "expired",
        ("assigned", "cancel"): "cancelled",
        ("submitted", "settle"): "scored",
    },
    first="assigned",
)

LINK = Transitions(
    "contributor link",
    {
        ("active", "revoke"): "revoked",
        ("revoked", "link"): "active",
    },
    first="active",
)
"""What `revoked_at` says: null is active."""

OPEN = frozenset({"assigned", "submitted"})
"""A task that is neither scored nor over."""
