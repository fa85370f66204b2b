"""Session keys and sealed frames, and the exact bytes that the handshake signs.

Every signed or hashed string is a row of length-prefixed parts, so it means the same whatever format carries the
messages. docs/protocol.md gives the same rules with test vectors.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protocol.errors import Code, MessageError
from protocol.session import Challenge, Hello

TRANSCRIPT_LABEL = b"vault transcript v1"
HELLO_LABEL = b"hello v1"
WELCOME_LABEL = b"welcome v1"
TO_SERVER_LABEL = b"vault v1 client to server"
FROM_SERVER_LABEL = b"vault v1 server to client"

FRAMES_MAX = 2**32
BYTES_MAX = 2**40
SECONDS_MAX = 24 * 3600
"""A connection is renewed before its keys have sealed more than this, or served longer."""

TAG_BYTES = 16


def parts(*items: bytes) -> bytes:
    """Each item behind its length as four big-endian bytes."""
    return b"".join(len(item).to_bytes(4, "big") + item for item in items)


def _number(value: int) -> bytes:
    return value.to_bytes(8, "big")


@dataclass(frozen=True, slots=True)
class Opening:
    """What both ends know before a word is said; the transcript T of design §5."""

    path: str
    offered: tuple[str, ...]
    chosen: str

    def transcript(self, authority: str) -> bytes:
        """T for the authority that was dialled, as the hello names it."""
        return parts(
            TRANSCRIPT_LABEL,
            self.path.encode(),
            authority.encode(),
            ",".join(self.offered).encode(),
            self.chosen.encode(),
        )


def challenge_bytes(challenge: Challenge) -> bytes:
    """The challenge as it is signed and hashed."""
    return parts(
        _number(challenge.version),
        challenge.nonce,
        challenge.server_key,
        challenge.ephemeral,
        _number(challenge.server_time_ms),
    )


def hello_body(key: bytes, ephemeral: bytes, nonce: bytes, authority: str, agent: str) -> bytes:
    """The hello without its signature, as it is signed and hashed."""
    return parts(key, ephemeral, nonce, authority.encode(), agent.encode())


def hello_signed(opening: Opening, challenge: Challenge, authority: str, body: bytes) -> bytes:
    """What the peer signs."""
    return parts(HELLO_LABEL, opening.transcript(authority), challenge_bytes(challenge), body)


def handshake_hash(opening: Opening, challenge: Challenge, hello: Hello) -> bytes:
    """h = SHA-256(T, challenge, signed hello): 32 bytes that name this conversation."""
    body = hello_body(hello.key, hello.ephemeral, hello.nonce, hello.authority, hello.agent)
    return hashlib.sha256(
        parts(opening.transcript(hello.authority), challenge_bytes(challenge), body, hello.signature)
    ).digest()


def welcome_body(fingerprint: str, session: str, limits: dict[str, int]) -> bytes:
    """The welcome without its signature; limits in the order of their names."""
    rows = [part for name in sorted(limits) for part in (name.encode(), _number(limits[name]))]
    return parts(fingerprint.encode(), session.encode(), *rows)


def welcome_signed(handshake: bytes, body: bytes) -> bytes:
    """What the server signs."""
    return parts(WELCOME_LABEL, handshake, body)


def shared_secret(private: X25519PrivateKey, public: bytes) -> bytes:
    """X25519 of the two ephemerals (RFC 7748). Raises ValueError for a key of low order (an all-zero secret)."""
    return private.exchange(X25519PublicKey.from_public_bytes(public))


def direction_key(secret: bytes, handshake: bytes, label: bytes) -> bytes:
    """One 32-byte key per direction: HKDF-SHA256 with the handshake hash as salt (RFC 5869)."""
    return HKDF(SHA256(), 32, salt=handshake, info=label).derive(secret)


class Spent(Exception):
    """This direction has sealed as much as its key may; the connection has to be renewed."""


class _Direction:
    """One direction's cipher: AES-256-GCM, the frame's number (from 0, 12 big-endian bytes) as nonce, no extra data."""

    def __init__(self, key: bytes, frames_max: int, bytes_max: int) -> None:
        self._cipher = AESGCM(key)
        self._frames = 0
        self._bytes = 0
        self._frames_max = frames_max
        self._bytes_max = bytes_max

    def _advance(self, size: int) -> bytes:
        frames = self._frames
        total = self._bytes + size
        if frames >= self._frames_max or total > self._bytes_max:
            raise Spent
        self._frames = frames + 1
        self._bytes = total
        return frames.to_bytes(12, "big")


class Sealer(_Direction):
    """Seals what this end sends."""

    def __init__(self, key: bytes, frames_max: int = FRAMES_MAX, bytes_max: int = BYTES_MAX) -> None:
        super().__init__(key, frames_max, bytes_max)

    def seal(self, payload: bytes) -> bytes:
        """Ciphertext and 16-byte tag. Raises Spent."""
        return self._cipher.encrypt(self._advance(len(payload)), payload, None)


class Opener(_Direction):
    """Opens what the other end sealed, in order."""

    def __init__(self, key: bytes, frames_max: int = FRAMES_MAX, bytes_max: int = BYTES_MAX) -> None:
        super().__init__(key, frames_max, bytes_max)

    def open(self, frame: bytes) -> bytes:
        """The payload. Raises MessageError(BAD_SEAL) for anything but the next frame as it was sealed; Spent."""
        nonce = self._advance(len(frame))
        try:
            return self._cipher.decrypt(nonce, frame, None)
        except (InvalidTag, ValueError):  # ValueError: shorter than a tag
            raise MessageError(
                Code.BAD_SEAL, "A sealed frame did not open.", "Connect again: this session cannot go on."
            ) from None
