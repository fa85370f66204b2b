"""One end of a conversation as an object that never touches a socket; server, client and solver use it.

Feed it frames, it gives messages; give it messages, it gives frames. `DiallingPeer` is the end that connects,
`AnsweringPeer` the server's. A frame is `bytes` for a binary frame and `str` for a text frame.
"""

from __future__ import annotations

import contextlib
import hmac
import random
import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import Enum

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from protocol import sealing
from protocol.catalog import FROM_SERVER, TO_SERVER
from protocol.codec import Codec, DecodeError
from protocol.envelope import Envelope, Kind, Message
from protocol.errors import ERRORS, Close, Code, MessageError, ProtocolError
from protocol.identity import Identity, fingerprint_of, verify
from protocol.sealing import Opening
from protocol.session import PROTOCOL_VERSION, Ack, Challenge, Error, Hello, Welcome

Frame = bytes | str


@dataclass(frozen=True, slots=True)
class Subprotocol:
    """A WebSocket subprotocol: its format, and whether frames are sealed."""

    name: str
    binary: bool
    sealed: bool


SEALED = Subprotocol("vault.v1.sealed", binary=True, sealed=True)
PLAIN_MSGPACK = Subprotocol("vault.v1.msgpack", binary=True, sealed=False)
PLAIN_JSON = Subprotocol("vault.v1.json", binary=False, sealed=False)
SUBPROTOCOLS = {s.name: s for s in (SEALED, PLAIN_MSGPACK, PLAIN_JSON)}

FRAME_BYTES_MAX = 65_536
"""Default of the server's limit, and what our own dialling ends read."""


class HandshakeError(ProtocolError):
    """The other end did not prove what it claims; nothing was said to it."""


class HandshakeRefused(HandshakeError):
    """A refusal of the handshake, `code`. Nobody has signed it: anybody on the path can forge it, so it proves nothing.

    Its text is ours, never the other end's. It says nothing of any request, nor of what the server stores.
    `retry_after_ms` is as little proved as the rest.
    """

    def __init__(self, code: Code, retry_after_ms: int | None = None) -> None:
        super().__init__(f"{code}: {ERRORS[code].meaning}")
        self.code = code
        self.retry_after_ms = retry_after_ms


HANDSHAKE_CODES = frozenset(
    {
        Code.HELLO_REFUSED,
        Code.HELLO_LATE,
        Code.WRONG_AUTHORITY,
        Code.TOO_MANY_CONNECTIONS,
        Code.BANNED,
        # the first frame could not be read
        Code.MALFORMED,
        Code.TOO_LARGE,
        Code.TOO_DEEP,
        Code.WRONG_FRAME,
        Code.UNSUPPORTED_TYPE,
        Code.MISSING_FIELD,
        Code.UNKNOWN_FIELD,
        Code.BAD_FIELD,
        Code.BAD_SEAL,
    }
)
"""What a server says before the welcome; any other code there answers nothing."""


class State(Enum):
    """Where a conversation stands."""

    OPENING = "opening"
    GREETED = "greeted"
    OPEN = "open"


class Peer:
    """What both ends share: numbers, format and seals."""

    def __init__(self, opening: Opening, codec: Codec) -> None:
        self.opening = opening
        self.subprotocol = SUBPROTOCOLS[opening.chosen]
        self.state = State.OPENING
        self._codec = codec
        self._sealer: sealing.Sealer | None = None
        self._opener: sealing.Opener | None = None

    def encode(self, envelope: Envelope) -> Frame:
        """The frame for one message, sealed once the conversation is open. Raises sealing.Spent."""
        payload = self._codec.encode(envelope)
        if self._sealer is not None:
            return self._sealer.seal(payload)
        return payload if self.subprotocol.binary else payload.decode()

    def decode(self, frame: Frame) -> Envelope:
        """Open and read one frame. Raises MessageError (BAD_SEAL ends the session), sealing.Spent."""
        if self._opener is not None and isinstance(frame, bytes):
            return self._codec.decode(self._opener.open(frame))
        if isinstance(frame, str) is self.subprotocol.binary:
            due = "binary" if self.subprotocol.binary else "text"
            raise MessageError(
                Code.WRONG_FRAME, f"{self.subprotocol.name} has {due} frames only.", f"Send {due} frames."
            )
        return self._codec.decode(frame.encode() if isinstance(frame, str) else frame)

    def _seal_with(self, secret: bytes, handshake: bytes, sends: bytes, receives: bytes) -> None:
        if self.subprotocol.sealed:
            self._sealer = sealing.Sealer(sealing.direction_key(secret, handshake, sends))
            self._opener = sealing.Opener(sealing.direction_key(secret, handshake, receives))


def _ephemeral() -> tuple[X25519PrivateKey, bytes]:
    key = X25519PrivateKey.generate()
    return key, key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def _secret(private: X25519PrivateKey, public: bytes) -> bytes:
    try:
        return sealing.shared_secret(private, public)
    except ValueError:
        raise HandshakeError("the other end's ephemeral key is of low order") from None


class Acknowledged:
    """The `seq` of pushes that are done with: a set, not a maximum, since a higher number says nothing of lower ones.

    Keeps the latest `kept_max`; the server forgets a push when it is acknowledged, so older ones do not come back.
    """

    def __init__(self, kept_max: int = 65_536) -> None:
        self._kept: dict[int, None] = {}
        self._kept_max = kept_max

    def add(self, seq: int) -> None:
        """Remember one."""
        self._kept[seq] = None
        if len(self._kept) > self._kept_max:
            del self._kept[next(iter(self._kept))]

    def __contains__(self, seq: int) -> bool:
        return seq in self._kept


class DiallingPeer(Peer):
    """The end that connects: client or solver.

    `check_pin(authority, server_key)` raises when the server is not the one that is known; it is called before
    anything is said. After each `receive` send what `outgoing()` gives: the answers of the handshake, and fresh
    acknowledgements of pushes that had been acknowledged on a connection that broke. Share one `acknowledged` among the
    connections of one program, so that doubles are dropped across reconnects.
    """

    def __init__(
        self,
        identity: Identity,
        opening: Opening,
        authority: str,
        agent: str,
        check_pin: Callable[[str, bytes], object],
        *,
        acknowledged: Acknowledged | None = None,
        frame_bytes_max: int = 16 * FRAME_BYTES_MAX,
    ) -> None:
        binary = SUBPROTOCOLS[opening.chosen].binary
        super().__init__(
            opening, Codec(binary=binary, reads=FROM_SERVER, strict=False, frame_bytes_max=frame_bytes_max)
        )
        self.welcome: Welcome | None = None
        self.server_key = b""
        self._identity = identity
        self._authority = authority
        self._agent = agent
        self._check_pin = check_pin
        self._outgoing: list[Frame] = []
        self._handshake = b""
        self._last_id = 0
        self._acknowledged = Acknowledged() if acknowledged is None else acknowledged

    def receive(self, frame: Frame) -> Envelope | None:
        """Take one frame; returns the message that is for the caller.

        None while the handshake goes on, and for a push that has been acknowledged before. A push is acknowledged by
        the caller (`acknowledge`) once what it brings is safe; until then it may come again after a reconnect.
        Raises HandshakeError (HandshakeRefused when the other end refuses, which nobody has signed),
        address.PinMismatch, MessageError (a frame that does not open).
        """
        if self.welcome is None:
            self._shake_hands(frame)
            return None
        envelope = self.decode(frame)
        if envelope.seq is not None and envelope.seq in self._acknowledged:
            self._outgoing.append(self.acknowledge(envelope.seq))
            return None
        return envelope

    def _shake_hands(self, frame: Frame) -> None:
        message = self._decode_early(frame).message
        if isinstance(message, Error):
            raise _handshake_refusal(message)
        if isinstance(message, Challenge) and self.state is State.OPENING:
            self._greet(message)
        elif isinstance(message, Welcome) and self.state is State.GREETED:
            self._enter(message)
        else:
            raise HandshakeError(f"the server sent {message.SHAPE.wire_type!r} where the handshake has no place for it")

    def _decode_early(self, frame: Frame) -> Envelope:
        """As `decode`; a refusal of the hello comes unsealed, for the server shares no key before the welcome.

        Nobody has signed that refusal, so it becomes a HandshakeRefused and never the reply to a request.
        """
        try:
            return self.decode(frame)
        except MessageError as refusal:
            if self.state is State.GREETED and refusal.code is Code.BAD_SEAL:
                assert isinstance(frame, bytes), "only binary frames are sealed"
                with contextlib.suppress(DecodeError):
                    unsealed = self._codec.decode(frame)
                    if isinstance(unsealed.message, Error):
                        return unsealed
            raise

    def outgoing(self) -> list[Frame]:
        """Frames to send now; each is given once."""
        frames, self._outgoing = self._outgoing, []
        return frames

    def request(self, message: Message) -> tuple[int, Frame]:
        """A request's number and its frame."""
        self._last_id = number = self._last_id + 1
        return number, self.encode(Envelope(message, number))

    def signal(self, message: Message) -> Frame:
        """The frame of a message that nobody answers."""
        assert message.SHAPE.kind is Kind.SIGNAL, "a signal has no id"
        return self.encode(Envelope(message))

    def acknowledge(self, seq: int) -> Frame:
        """The frame that ends a push; a double of it is dropped from now on."""
        self._acknowledged.add(seq)
        return self.encode(Envelope(Ack(push=seq)))

    def _greet(self, challenge: Challenge) -> None:
        if challenge.version != PROTOCOL_VERSION:
            raise HandshakeError(f"the server speaks version {challenge.version}; this end speaks {PROTOCOL_VERSION}")
        self._check_pin(self._authority, challenge.server_key)
        private, ephemeral = _ephemeral()
        nonce = secrets.token_bytes(32)
        key = self._identity.public_key
        body = sealing.hello_body(key, ephemeral, nonce, self._authority, self._agent)
        signature = self._identity.sign(sealing.hello_signed(self.opening, challenge, self._authority, body))
        hello = Hello(
            key=key, ephemeral=ephemeral, nonce=nonce, authority=self._authority, agent=self._agent, signature=signature
        )
        self._outgoing.append(self.encode(Envelope(hello)))
        self._handshake = sealing.handshake_hash(self.opening, challenge, hello)
        secret = _secret(private, challenge.ephemeral)
        self._seal_with(secret, self._handshake, sealing.TO_SERVER_LABEL, sealing.FROM_SERVER_LABEL)
        self.server_key = challenge.server_key
        self.state = State.GREETED

    def _enter(self, welcome: Welcome) -> None:
        body = sealing.welcome_body(welcome.fingerprint, welcome.session, welcome.limits)
        if not verify(self.server_key, welcome.signature, sealing.welcome_signed(self._handshake, body)):
            raise HandshakeError("the welcome's signature does not hold: the server does not have the key it named")
        if welcome.fingerprint != self._identity.fingerprint:
            raise HandshakeError("the welcome is for another key")
        self.welcome = welcome
        self.state = State.OPEN


def _handshake_refusal(error: Error) -> HandshakeError:
    if error.code in HANDSHAKE_CODES:
        return HandshakeRefused(Code(error.code), error.retry_after_ms)
    return HandshakeError("the server refused for a reason that has no place in a handshake")


class AnsweringPeer(Peer):
    """The server's end: `challenge()`, then `greet(frame)` with the hello, then `welcome(limits)`.

    `authorities` are the host:port by which this server may be dialled.
    """

    def __init__(
        self, identity: Identity, opening: Opening, authorities: Collection[str], *, frame_bytes_max: int
    ) -> None:
        binary = SUBPROTOCOLS[opening.chosen].binary
        super().__init__(opening, Codec(binary=binary, reads=TO_SERVER, strict=True, frame_bytes_max=frame_bytes_max))
        self.public_key = b""
        self.fingerprint = ""
        self.agent = ""
        self.session = ""
        self._identity = identity
        self._authorities = authorities
        self._private, self._ephemeral = _ephemeral()
        self._challenge: Challenge | None = None
        self._handshake = b""
        self._secret = b""

    def challenge(self, now_ms: int) -> Frame:
        """The first frame."""
        self._challenge = Challenge(
            version=PROTOCOL_VERSION,
            nonce=secrets.token_bytes(32),
            server_key=self._identity.public_key,
            ephemeral=self._ephemeral,
            server_time_ms=now_ms,
        )
        return self.encode(Envelope(self._challenge))

    def greet(self, frame: Frame) -> None:
        """Take the hello: afterwards `fingerprint` is proved. Raises MessageError; nothing has been said then."""
        assert self._challenge is not None, "challenge() comes first"
        hello = self.decode(frame).message
        if not isinstance(hello, Hello) or self.state is not State.OPENING:
            raise _refused("The first message must be a hello.", "Answer the challenge with `hello`.")
        if hello.authority not in self._authorities:
            raise MessageError(
                Code.WRONG_AUTHORITY,
                f"This server is not {hello.authority!a}.",
                "Dial one of its public names; its operator lists them in public_names.",
            )
        if hmac.compare_digest(hello.key, self._identity.public_key):
            raise _refused("The hello names the server's own key.", "Use a key of your own.")
        body = sealing.hello_body(hello.key, hello.ephemeral, hello.nonce, hello.authority, hello.agent)
        signed = sealing.hello_signed(self.opening, self._challenge, hello.authority, body)
        if not verify(hello.key, hello.signature, signed):
            raise _refused(
                "The hello's signature does not hold for this challenge, path, authority and subprotocol.",
                "Sign the bytes that docs/protocol.md gives, with the key that the hello names.",
            )
        try:
            self._secret = _secret(self._private, hello.ephemeral)
        except HandshakeError:
            raise _refused("The hello's ephemeral key is of low order.", "Draw a fresh X25519 key.") from None
        self._handshake = sealing.handshake_hash(self.opening, self._challenge, hello)
        self.public_key = hello.key
        self.fingerprint = fingerprint_of(hello.key)
        self.agent = hello.agent
        self.state = State.GREETED

    def welcome(self, limits: dict[str, int]) -> Frame:
        """The first sealed frame; the conversation is open."""
        assert self.state is State.GREETED, "greet() comes first"
        self.session = secrets.token_hex(16)
        body = sealing.welcome_body(self.fingerprint, self.session, limits)
        signature = self._identity.sign(sealing.welcome_signed(self._handshake, body))
        self._seal_with(self._secret, self._handshake, sealing.FROM_SERVER_LABEL, sealing.TO_SERVER_LABEL)
        self._secret = b""
        self.state = State.OPEN
        welcome = Welcome(fingerprint=self.fingerprint, session=self.session, limits=limits, signature=signature)
        return self.encode(Envelope(welcome))


def _refused(message: str, suggestion: str) -> MessageError:
    return MessageError(Code.HELLO_REFUSED, message, suggestion)


RECONNECT_SECONDS_MAX = 30.0

LASTING = frozenset({Close.HANDSHAKE_FAILED, Close.REPLACED})
"""Close codes after which the same end must not connect again by itself."""


def reconnect_delay(attempt: int, jitter: Callable[[], float] = random.random) -> float:
    """Seconds to wait before attempt 1, 2, …: between half and all of a bound that doubles from 0.2 s to 30 s."""
    bound = min(RECONNECT_SECONDS_MAX, 0.2 * 2.0 ** min(attempt - 1, 16))
    return bound * (0.5 + 0.5 * jitter())
