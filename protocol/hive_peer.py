"""One end of a conversation on /hive: JSON in text frames, each a message in its envelope. Never touches a socket.

Who speaks was said with the upgrade request; there is no handshake of ours, and nothing is sealed: over TLS, or on
loopback. `AgentPeer` is the end that connects, `DoorPeer` the server's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from protocol.catalog import HIVE_FROM_SERVER, HIVE_TO_SERVER
from protocol.codec import Codec, DecodeError
from protocol.envelope import Envelope, Message, Shape
from protocol.errors import Code, MessageError
from protocol.hive import DEPTH_MAX, QUESTIONS, told_as
from protocol.hive_fields import OrNull
from protocol.hive_json import to_json
from protocol.peer import Frame, State

FRAME_BYTES_MAX = 2**20
"""Default of the server's limit (hive_body_bytes_max), and what our own dialling end reads."""

SUBPROTOCOL = "vault.v1.json"
"""What may be offered; whoever offers nothing gets the same."""


class HiveCodec(Codec):
    """JSON as REST has it: null where an optional value is absent, and the other way round."""

    def __init__(self, *, reads: Mapping[str, type[Message]], strict: bool, frame_bytes_max: int) -> None:
        super().__init__(binary=False, reads=reads, strict=strict, frame_bytes_max=frame_bytes_max, depth_max=DEPTH_MAX)

    def encode(self, envelope: Envelope) -> bytes:
        """The frame's payload."""
        message = envelope.message
        numbers = {"id": envelope.id, "re": envelope.re, "seq": envelope.seq}
        raw = {
            "type": message.SHAPE.wire_type,
            **{name: number for name, number in numbers.items() if number is not None},
            **to_json(message),
        }
        # A page of tasks in another script than Latin would be three times as long with every letter escaped.
        return json.dumps(raw, separators=(",", ":"), ensure_ascii=False).encode()

    def _values(self, shape: Shape, raw: dict[str, Any]) -> list[Any]:
        clears = {spec.name for spec in shape.fields if isinstance(spec.field, OrNull)}
        held = {name: value for name, value in raw.items() if value is not None or name in clears}
        return super()._values(shape, held)


class _Peer:
    """What both ends share."""

    state = State.OPEN
    """There is no handshake."""

    def __init__(self, codec: HiveCodec) -> None:
        self._codec = codec

    def encode(self, envelope: Envelope) -> Frame:
        """The frame for one message."""
        return self._codec.encode(envelope).decode()

    def decode(self, frame: Frame) -> Envelope:
        """Read one frame. Raises DecodeError."""
        if isinstance(frame, bytes):
            raise DecodeError(Code.WRONG_FRAME, "/hive has text frames only.", "Send JSON in text frames.")
        return self._codec.decode(frame.encode())


class AgentPeer(_Peer):
    """The end of an agent, or of a person's browser."""

    def __init__(self, *, frame_bytes_max: int = FRAME_BYTES_MAX) -> None:
        super().__init__(HiveCodec(reads=HIVE_FROM_SERVER, strict=False, frame_bytes_max=frame_bytes_max))


class DoorPeer(_Peer):
    """The server's end: what it refuses to read, it refuses under the hive's own codes."""

    def __init__(self, *, frame_bytes_max: int = FRAME_BYTES_MAX) -> None:
        super().__init__(HiveCodec(reads=HIVE_TO_SERVER, strict=True, frame_bytes_max=frame_bytes_max))

    def decode(self, frame: Frame) -> Envelope:
        """Read one frame. Raises DecodeError."""
        try:
            return super().decode(frame)
        except DecodeError as error:
            told = told_as(error, asks=_asks(frame))
            raise DecodeError(told.code, told.message, told.suggestion, error.re, error.code) from None

    def told(self, refusal: MessageError, order: Message) -> MessageError:
        """What this door calls a refusal of a request."""
        return told(refusal, order)


def _asks(frame: Frame) -> bool:
    """Whether a frame that cannot be read is a question nevertheless; what is no message is none."""
    try:
        raw = json.loads(frame)
    except (ValueError, RecursionError):
        return False
    return isinstance(raw, dict) and HIVE_TO_SERVER.get(str(raw.get("type"))) in QUESTIONS


def told(refusal: MessageError, order: Message) -> MessageError:
    """What the hive calls a refusal of this request."""
    return told_as(refusal, asks=type(order) in QUESTIONS)
