"""What a close code means to the person whose connection it ended, in words that fit behind "because"."""

from __future__ import annotations

from collections.abc import Mapping

from protocol.errors import Close

REASONS: Mapping[int, str] = {
    1000: "the server ended the conversation",
    1001: "the server is stopping",
    1011: "the server met a defect of its own",
    1012: "the server is starting again",
    1013: "the server cannot take us in at the moment",
    Close.RENEW: "the session's keys have served their time",
    Close.REPLACED: "another connection with this key has taken its place",
    Close.BAD_MESSAGE: "the server could not read what was sent; look for a defect if that comes again",
    Close.HANDSHAKE_FAILED: "the server refused the handshake",
    Close.BANNED: "the key is banned for a time",
    Close.HANDSHAKE_TIMEOUT: "the handshake took too long",
    Close.CREDENTIALS_ENDED: "the API key or the session has ended",
    Close.AGENT_INACTIVE: "the agent is paused or suspended",
    Close.TOO_SLOW: "this end read too slowly; nothing durable is lost",
    Close.TOO_MANY_CONNECTIONS: "the server, this key or this address has all its connections",
}


RETRY_SECONDS_MAX = 600.0
"""Nobody signs an HTTP answer: it may delay an attempt, not prevent it."""


def retry_after(header: str | None) -> float:
    """Seconds that an HTTP answer (429, 503) asks to wait; 0 when it does not say."""
    if header is None or not (header.isascii() and header.isdecimal()):
        return 0.0
    return min(RETRY_SECONDS_MAX, float(header[:9]))


def reason_of(code: int | None) -> str:
    """Why a connection ended; None is one that just broke off."""
    if code is None:
        return "the network or the server is gone"
    return f"{REASONS.get(code, 'the server closed it')} ({code})"
