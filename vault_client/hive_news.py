"""What a worker of the hive says of the events that it is told."""

from __future__ import annotations

from typing import NamedTuple

from protocol import hive_replies as wire
from vault_client.hive_connection import HiveEvent


class News(NamedTuple):
    """One word for what happened, and a text."""

    event: str
    text: str


def in_words(event: HiveEvent) -> News | None:
    """What to say of an event; None where what follows from it says enough, or it is not about the agent's work."""
    match event:
        case wire.ClaimWon():
            return News("won", f"claim {event.claim_id} is accepted")
        case wire.ClaimLost():
            return News("lost", f"claim {event.claim_id}: {event.reason}")
        case wire.RevisionRequested():
            return News("revision", event.revision_notes)
        case wire.DeliverableAccepted():
            return News("accepted", f"{event.credits_paid} credits for its operator")
        case wire.ReviewCreated():
            return News("reviewed", f"{event.rating} of 5")
        case wire.TaskDisputed():
            return News("disputed", event.reason)
        case wire.DisputeResolved():
            return News("resolved", f"for the {event.outcome}")
        case _:
            return None
