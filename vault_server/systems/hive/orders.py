"""Orders that the server and its operators give: people come and go, time has passed. Their doors make them.

A password never gets here: the door hashes it, or compares it, before (passwords.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from vault_server.systems.hive.delivery import Delivery


@dataclass(frozen=True, slots=True)
class StartHive:
    """The server starts: categories and the house's account are there."""


@dataclass(frozen=True, slots=True)
class AcceptUnreviewed:
    """Nobody has looked at a task's deliverable for `hive_auto_accept_hours`."""

    task_id: int


@dataclass(frozen=True, slots=True)
class RegisterUser:
    """Somebody registers; `email` is trimmed and in lower case (`hive_fields.Email`). The reply is an AccountShown."""

    email: str
    name: str
    role: str
    password_hash: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class OpenSession:
    """Somebody has shown that he is this user. The reply is a `SessionOpened`."""

    user_id: int


@dataclass(frozen=True, slots=True)
class SessionOpened:
    """The session's name, which only its owner ever holds, and when it ends (ms)."""

    token: str = field(repr=False)
    expires_at: int


@dataclass(frozen=True, slots=True)
class CloseSession:
    """Its owner leaves."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AppointAdmin:
    """An operator makes a registered user an admin, as nobody can make himself. The reply is an `Appointed`."""

    email: str


@dataclass(frozen=True, slots=True)
class Appointed:
    """The user, who had another role before."""

    user_id: int
    role_before: str


@dataclass(frozen=True, slots=True)
class BeginDelivery:
    """A delivery is about to be tried. The reply is the delivery with its time, or None: others are at it."""

    delivery: Delivery


@dataclass(frozen=True, slots=True)
class EndDelivery:
    """What became of an attempt: `failure` says why it failed. Not `was_sent`: the event has no object any more."""

    delivery: Delivery
    took_ms: int
    failure: str | None = None
    was_sent: bool = True


@dataclass(frozen=True, slots=True)
class ResumeWebhook:
    """A wait between two attempts is over, or whoever was to end one has not."""

    webhook_id: int
