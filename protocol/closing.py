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
    Close.TOO_SLOW: "this end read too slowly; nothing durable is lost",
    Close.TOO_MANY_CONNECTIONS: "the server, this key or this address has all its connections",
}


def reason_of(code: int | None) -> str:
    """Why a connection ended; None is one that just broke."""
    if code is None:
        return "it broke"
    return f"{REASONS.get(code, 'the server closed it')} ({code})"
