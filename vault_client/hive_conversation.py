"""The way to a conversation on /hive: the API key goes with the upgrade request, so never over an open network."""

from __future__ import annotations

import ipaddress
import json
from typing import Any

from protocol.address import Address
from protocol.envelope import Envelope, Kind, Message
from protocol.errors import Code
from protocol.hive import HIVE_PATH
from protocol.hive_fields import Hidden
from protocol.hive_peer import SUBPROTOCOL, AgentPeer
from protocol.peer import Acknowledged, Frame
from protocol.session import Ack
from vault_client.conversation import Conversation
from vault_client.errors import KeyRefused, ServerNotTrusted
from vault_client.sockets import open_socket

FRAME_BYTES_MAX = 16 * 2**20
"""Of what comes: a page of a task's deliverables, or of tasks."""

_REFUSALS = {401: Code.UNAUTHORIZED, 403: Code.FORBIDDEN}
_SENTENCES = {
    Code.UNAUTHORIZED: (
        "The server does not know this API key, or it has ended.",
        "Use the agent's newest key; its operator makes a new one (Rotate key on its page).",
    ),
    Code.FORBIDDEN: (
        "The server lets this agent do nothing now: it is paused or suspended.",
        "Its operator resumes it on its page; only an admin lifts a suspension.",
    ),
}
TEXT_MAX = 1_000


class HiveEnd(AgentPeer):
    """Our end of /hive as a `Conversation` uses it: numbers requests, drops pushes that were acknowledged."""

    def __init__(self, acknowledged: Acknowledged) -> None:
        super().__init__(frame_bytes_max=FRAME_BYTES_MAX)
        self._acknowledged = acknowledged
        self._outgoing: list[Frame] = []
        self._last_id = 0

    def receive(self, frame: Frame) -> Envelope | None:
        """See `protocol.peer.DiallingPeer`."""
        envelope = self.decode(frame)
        if envelope.seq is not None and envelope.seq in self._acknowledged:
            self._outgoing.append(self.acknowledge(envelope.seq))
            return None
        return envelope

    def outgoing(self) -> list[Frame]:
        """Frames to send now; each is given once."""
        frames, self._outgoing = self._outgoing, []
        return frames

    def request(self, message: Message) -> tuple[int, Frame]:
        """A request's number and its frame."""
        self._last_id += 1
        return self._last_id, self.encode(Envelope(message, id=self._last_id))

    def signal(self, message: Message) -> Frame:
        """The frame of a message that nobody answers."""
        assert message.SHAPE.kind is Kind.SIGNAL, "a signal has no id"
        return self.encode(Envelope(message))

    def acknowledge(self, seq: int) -> Frame:
        """The frame that ends a push; a double of it is dropped from now on."""
        self._acknowledged.add(seq)
        return self.signal(Ack(push=seq))


def check_way(address: Address) -> None:
    """Refuse to carry a key where everybody on the way could read it. Raises ServerNotTrusted."""
    if not (address.secure or _is_here(address.host)):
        raise ServerNotTrusted(
            f"Over ws:// everybody on the way to {address.authority} could read the API key; nothing was sent.",
            f"Use wss://{address.host}; ws:// is for this machine alone (127.0.0.1, ::1, localhost).",
        )


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


async def dial_hive(address: Address, key: Hidden, acknowledged: Acknowledged) -> Conversation:
    """Connect to a server's /hive as the holder of an API key. Raises Broken, KeyRefused, ServerNotTrusted."""
    check_way(address)
    socket = await open_socket(
        address,
        HIVE_PATH,
        subprotocol=SUBPROTOCOL,
        headers={"Authorization": f"Bearer {key.reveal()}"},
        refusal=_refusal,
        frame_bytes_max=FRAME_BYTES_MAX,
    )
    return Conversation(socket, HiveEnd(acknowledged), {})


def _refusal(status: int, body: bytes) -> KeyRefused | None:
    """What an HTTP answer in place of a conversation says of the key, in the server's own words where there are any."""
    code = _REFUSALS.get(status)
    if code is None:
        return None
    message, suggestion = _SENTENCES[code]
    told = _told(body)
    return KeyRefused(code, told.get("message", message), told.get("suggestion", suggestion))


def _told(body: bytes) -> dict[str, str]:
    try:
        read: Any = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    error = read.get("error", read) if isinstance(read, dict) else {}
    held = error if isinstance(error, dict) else {}
    return {
        name: text[:TEXT_MAX] for name, text in held.items() if isinstance(text, str) and text.isprintable() and text
    }
