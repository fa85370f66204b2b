"""The messages of every conversation: challenge, hello, welcome, ack, ping, pong, exit, error."""

from __future__ import annotations

from typing import Annotated

from protocol.envelope import Kind, Message, message
from protocol.errors import ERRORS, Code, MessageError
from protocol.fields import FINGERPRINT, MILLISECONDS, Counts, Flag, Integer, Octets, Text

PROTOCOL_VERSION = 1
AUTHORITY = Text(length_max=261, length_min=1)
"""host:port as dialled; a host name has at most 253 characters (RFC 1035 §2.3.4)."""


@message("challenge", Kind.SIGNAL)
class Challenge(Message):
    """The server's first frame: who it says it is, and something fresh to sign."""

    version: Annotated[int, Integer(1, 1_000_000)]
    nonce: Annotated[bytes, Octets(32, 32)]
    server_key: Annotated[bytes, Octets(32, 32)]
    ephemeral: Annotated[bytes, Octets(32, 32)]
    server_time_ms: Annotated[int, MILLISECONDS]


@message("hello", Kind.SIGNAL)
class Hello(Message):
    """The peer's first frame: its key, proved by a signature over the whole opening."""

    key: Annotated[bytes, Octets(32, 32)]
    ephemeral: Annotated[bytes, Octets(32, 32)]
    nonce: Annotated[bytes, Octets(32, 32)]
    authority: Annotated[str, AUTHORITY]
    agent: Annotated[str, Text(length_max=64)]
    signature: Annotated[bytes, Octets(64, 64)]


@message("welcome", Kind.SIGNAL)
class Welcome(Message):
    """The server's proof that it holds the key it named, and the limits it keeps. Its first sealed frame."""

    fingerprint: Annotated[str, FINGERPRINT]
    session: Annotated[str, FINGERPRINT]
    limits: Annotated[dict[str, int], Counts(entries_max=64)]
    signature: Annotated[bytes, Octets(64, 64)]


@message("ack", Kind.SIGNAL)
class Ack(Message):
    """The push numbered `push` has arrived for good; it is not sent again."""

    push: Annotated[int, Integer(minimum=1)]


@message("ping", Kind.REQUEST)
class Ping(Message):
    """Answered by `pong`; keeps the connection's status active."""


@message("pong", Kind.REPLY)
class Pong(Message):
    """Answers `ping`."""

    server_time_ms: Annotated[int, MILLISECONDS]


@message("exit", Kind.SIGNAL)
class Exit(Message):
    """The sender leaves on purpose and closes next."""


@message("error", Kind.REPLY)
class Error(Message):
    """Why a request (`re`), or the connection as a whole (no `re`), was refused."""

    code: Annotated[str, Text(length_max=64, length_min=1)]
    message: Annotated[str, Text(length_max=1000)]
    suggestion: Annotated[str, Text(length_max=1000)]
    retryable: Annotated[bool, Flag()]
    retry_after_ms: Annotated[int, MILLISECONDS] | None = None

    @classmethod
    def of(cls, error: MessageError) -> Error:
        """The wire form of a refusal."""
        return cls(
            code=str(error.code),
            message=error.message,
            suggestion=error.suggestion,
            retryable=ERRORS[error.code].retryable,
            retry_after_ms=error.retry_after_ms,
        )

    def exception(self) -> MessageError | None:
        """The refusal this came from, or None for a code that a newer server knows and we do not."""
        try:
            code = Code(self.code)
        except ValueError:
            return None
        return MessageError(code, self.message, self.suggestion, retry_after_ms=self.retry_after_ms)
