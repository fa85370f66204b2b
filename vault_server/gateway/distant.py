"""Messages that need not arrive, for whoever is connected to another node: sealed, and sent along as a hint.

Whoever may listen at the database sees who is sent something and when, and nothing of what. Sealed under the master
key, which all nodes have; what does not open, or comes too often, is dropped.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable

from protocol.catalog import FROM_SERVER
from protocol.codec import Codec
from protocol.envelope import Envelope
from protocol.errors import MessageError
from protocol.peer import FRAME_BYTES_MAX
from vault_server.core.operation import Endpoint, Relay
from vault_server.exchange.cipher import Cipher, WrongMasterKey

PREFIX = "relay|"
TOPICS_MAX = 65_536


class DistantRelays:
    """`hint` tells all other nodes; `pass_on` gives a message to whoever is here. Of one topic at most one message in
    `interval_ms` goes out. `now_ms` never goes back.
    """

    def __init__(
        self,
        cipher: Cipher,
        interval_ms: int,
        now_ms: Callable[[], float],
        hint: Callable[[str], None],
        pass_on: Callable[[Relay], None],
    ) -> None:
        self._cipher = cipher
        self._interval_ms = interval_ms
        self._now_ms = now_ms
        self._hint = hint
        self._pass_on = pass_on
        self._sent: dict[tuple[str, str], float] = {}
        self._codec = Codec(binary=True, reads=FROM_SERVER, strict=False, frame_bytes_max=FRAME_BYTES_MAX)

    def send(self, relay: Relay) -> None:
        """To all other nodes: where the receiver is, this one does not know."""
        now_ms, key = self._now_ms(), (relay.receiver, relay.topic or "")
        if relay.topic is not None and now_ms - self._sent.get(key, -self._interval_ms) < self._interval_ms:
            return
        if len(self._sent) >= TOPICS_MAX:
            self._sent.clear()
        self._sent[key] = now_ms
        sealed = self._cipher.seal(
            self._codec.encode(Envelope(relay.message)), **_place(relay.receiver, relay.endpoint)
        )
        text = base64.urlsafe_b64encode(sealed).decode()
        self._hint(f"{PREFIX}{relay.endpoint}|{relay.receiver}|{relay.topic or ''}|{text}")

    def received(self, hint: str) -> None:
        """What another node has sent; who is not here is somewhere else."""
        try:
            _, endpoint, receiver, topic, text = hint.split("|")
            opened = self._cipher.open(base64.urlsafe_b64decode(text), **_place(receiver, endpoint))
            message = self._codec.decode(opened).message
            relay = Relay(receiver, Endpoint(endpoint), message, topic or None)
        except (ValueError, binascii.Error, WrongMasterKey, MessageError):
            return  # of another version, or of nobody we know
        self._pass_on(relay)


def _place(receiver: str, endpoint: str) -> dict[str, str]:
    return {"table": "hints", "row": receiver, "column": str(endpoint), "owner": receiver.rpartition(":")[2]}
