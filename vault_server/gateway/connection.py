"""One peer's conversation: frames in, orders out, replies and pushes back."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from protocol.envelope import Envelope, Message
from protocol.errors import Close, Code, MessageError
from protocol.sealing import Spent
from protocol.session import Ack, Error, Exit, Ping, Pong
from vault_server.core.tally import OK
from vault_server.exchange.admission import Allowances
from vault_server.exchange.outbox import Acknowledged
from vault_server.gateway.arrival import Arrival
from vault_server.gateway.excess import HOLD_SECONDS, Excess
from vault_server.gateway.guest import Guest
from vault_server.gateway.websocket import OPEN

if TYPE_CHECKING:
    from vault_server.gateway.listener import Listener

logger = structlog.get_logger()

NO_MESSAGE = frozenset({Code.MALFORMED, Code.TOO_LARGE, Code.TOO_DEEP, Code.WRONG_FRAME})
"""Refusals of frames that are no message: counted, and too many close the connection."""

REFUSALS_LOGGED = 16


class Connection(Arrival):
    """`listener` owns the shared parts; a connection enters and leaves its books by itself."""

    __slots__ = (
        "_acknowledged",
        "_bad_messages",
        "_excess",
        "_frame_bytes",
        "_granted",
        "_has_left",
        "_pending",
        "_pending_max",
        "_refused",
    )

    def __init__(self, listener: Listener) -> None:
        super().__init__(listener)
        self._has_left = False
        self._refused = 0
        self._pending = 0
        self._pending_max = self._settings.queue_messages_max
        self._bad_messages = 0
        self._granted = Allowances(0)
        self._acknowledged: list[int] = []
        self._frame_bytes = 0
        self._excess: Excess | None = None

    # coming and going

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A socket is there."""
        super().connection_made(transport)
        self._listener.entered(self)

    def _begin(self, guest: Guest) -> None:
        self._granted = self._listener.admission.allowances(guest.caller, self._now_ms())
        self._excess = Excess() if guest.door.by_account else None
        logger.info("connection.opened", agent=guest.program, address=self.address, **guest.names)
        if guest.door.exclusive:
            self._expect_soon()
        else:
            self._join(guest)

    def _join(self, guest: Guest) -> None:
        self._has_joined = True
        if self._expectation is not None:
            self._expectation.cancel()
        self._listener.joined(self, guest)

    def _is_late(self) -> None:
        if self._guest is None:
            super()._is_late()
            return
        milliseconds = self._settings.handshake_ms_max
        late = MessageError(
            Code.HELLO_LATE,
            f"No first message within {milliseconds} ms.",
            "Say what you offer with status_update at once.",
        )
        self.turn_down(late, Close.HANDSHAKE_TIMEOUT)

    def _leave(self) -> None:
        """Take part no more: nothing is assigned or sent to who has been told to go."""
        if self._has_joined and not self._has_left:
            assert self._guest is not None, "who joined is known"
            self._has_left = True
            self._listener.left(self, self._guest)

    def _lost(self) -> None:
        if self._guest is not None:
            self._leave()
            logger.info("connection.closed", code=self._ws.close_code, **self._guest.names)
        self._listener.gone(self)

    def _is_slow(self) -> None:
        logger.warning("connection.slow", **self._who())

    # what the pump and the roster use

    def push(self, seq: int, message: Message) -> None:
        """Send a durable push."""
        self._send(Envelope(message, seq=seq))

    def signal(self, message: Message) -> None:
        """Send what need not arrive."""
        self._send(Envelope(message))

    def grant(self, allowances: Iterable[Hashable]) -> None:
        """A push gives its receiver orders that do not count."""
        self._granted.grant(allowances)

    def revoke(self, allowances: Iterable[Hashable]) -> None:
        """What they would answer has ended, and the peer knows it."""
        self._granted.revoke(allowances)

    def banish(self, refusal: MessageError) -> None:
        """Say until when the key is banned, and close."""
        self._refuse(refusal, Close.BANNED)

    def dismiss(self, refusal: MessageError, code: Close) -> None:
        """What it came in with lets nobody in any more."""
        self._log_refused("connection.dismissed", refusal)
        self._refuse(refusal, code)

    @property
    def is_idle(self) -> bool:
        """Whether every request has its reply, that for an upgrade included."""
        return self._pending == 0 and not self._is_thinking

    # messages in

    def _take_message(self, payload: bytes) -> None:
        if self._way is None or self._speaker is None:
            return  # behind an opening that was refused
        try:
            frame = payload.decode() if self._is_text else payload
        except UnicodeDecodeError:
            self.close(1007, "text frames are UTF-8")
            return
        guest = self._guest
        if guest is None:
            if self._ws.state is OPEN:
                self._way.hear(frame)
            return
        self._frame_bytes = len(payload)
        try:
            envelope = guest.speaker.decode(frame)
        except MessageError as refusal:
            self._answer_bad(guest, refusal)
        except Spent:
            self.close(Close.RENEW, "the session's keys are spent")
        else:
            self._take(guest, envelope)

    def _admits(self, guest: Guest, message: Message | None, number: int | None) -> bool:
        """Whether the message may be looked at. None is a frame that is no message: it counts all the same."""
        try:
            return self._listener.guard.admit(self, guest.caller, message, self._granted, self._now_ms())
        except MessageError as refusal:
            if refusal.code is Code.BANNED:
                self.banish(refusal)
                return False
            self._log_refused("request.limited", refusal)
            self._tally.replied[refusal.code] += 1
            self._send(Envelope(Error.of(refusal), re=number))
            if self._excess is not None and self._excess.exceeded(self._frame_bytes):
                self.hold(HOLD_SECONDS)
            return False

    def _take_ping(self) -> None:
        if self._guest is None:
            self._take_early_ping()
        elif self._excess is None:
            self._admits(self._guest, None, None)
        elif self._excess.pinged(self._now_ms()):
            self.hold(HOLD_SECONDS)

    def _answer_bad(self, guest: Guest, refusal: MessageError) -> None:
        number = getattr(refusal, "re", None)
        fault = getattr(refusal, "fault", refusal.code)
        if refusal.code is not Code.BAD_SEAL and not self._admits(guest, None, number):
            if self._excess is not None:
                self._count_bad(fault)
            return
        self._log_refused("message.refused", refusal)
        self._tally.replied[refusal.code] += 1
        if refusal.code is Code.BAD_SEAL:
            self.failed()
            self._refuse(refusal, Close.BAD_MESSAGE)
            return
        self._send(Envelope(Error.of(refusal), re=number))
        self._count_bad(fault)

    def _count_bad(self, fault: Code) -> None:
        if fault in NO_MESSAGE:
            self._bad_messages += 1
            if self._bad_messages > self._settings.bad_messages_max:
                self.close(Close.BAD_MESSAGE, "too many frames that are no message")

    def _take(self, guest: Guest, envelope: Envelope) -> None:
        message = envelope.message
        self._tally.received[message.SHAPE.wire_type] += 1
        if not self._admits(guest, message, envelope.id):
            return
        if not self._has_joined:
            self._join(guest)
        if isinstance(message, Ping):
            self._tally.replied[OK] += 1
            self._send(Envelope(Pong(server_time_ms=self._listener.clock.now_ms()), re=envelope.id))
            return
        if isinstance(message, Exit):
            self.close(1000, "exit")
            return
        if isinstance(message, Ack):
            self._listener.pump.acknowledged(self, message.push)
            if not self._acknowledged:
                self._loop.call_soon(self._forget_pushes, guest, envelope)
            self._acknowledged.append(message.push)
            return
        self._order(guest, envelope, message)

    def _forget_pushes(self, guest: Guest, envelope: Envelope) -> None:
        """All that were acknowledged in this turn of the event loop; `envelope` is the first to say so."""
        pushes, self._acknowledged = tuple(self._acknowledged), []
        self._order(guest, envelope, Acknowledged(pushes))

    def _order(self, guest: Guest, envelope: Envelope, order: Any) -> None:
        self._pending += 1
        try:
            if self._pending > self._pending_max or self._listener.is_draining:
                raise self._no_room()
            self._listener.dispatcher.submit(guest.caller, order, partial(self.replied, envelope))
        except MessageError as refusal:
            self.replied(envelope, None, refusal)

    def _no_room(self) -> MessageError:
        if self._listener.is_draining:
            return MessageError(
                Code.DRAINING, "The server is stopping.", "Connect again in a moment.", retry_after_ms=1000
            )
        limit = self._pending_max
        return MessageError(
            Code.QUEUE_FULL,
            f"{limit} of your requests wait for their replies.",
            f"Wait for a reply before the next request; {limit} may wait (queue_messages_max).",
            retry_after_ms=100,
        )

    # replies out

    def replied(self, asked: Envelope, reply: Message | None, refusal: MessageError | None) -> None:
        """An order that was under way has its reply, or was refused."""
        self._pending -= 1
        if refusal is not None:
            assert self._guest is not None, "a guest has asked"
            refusal = self._guest.speaker.told(refusal, asked.message)
            self._log_refused("request.refused", refusal)
            self._tally.replied[refusal.code] += 1
            self._send(Envelope(Error.of(refusal), re=asked.id))
        elif reply is not None:
            self._tally.replied[OK] += 1
            self._send(Envelope(reply, re=asked.id))

    def _log_refused(self, event: str, refusal: MessageError) -> None:
        """Each of the first refusals, then the 32nd, 64th, 128th …: a peer must not be able to fill the log."""
        self._refused += 1
        if self._refused <= REFUSALS_LOGGED or self._refused.bit_count() == 1:
            level = logger.info if event == "request.refused" else logger.warning
            level(event, code=refusal.code, count=self._refused, **self._who())

    def _who(self) -> Mapping[str, str]:
        return {"address": self.address} if self._guest is None else self._guest.names
