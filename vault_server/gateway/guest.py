"""Who has come through a door, and the two halves of his coming: a way in, and the conversation behind it.

A way in (`by_key`, `by_account`) shows who it is. From then on the conversation does not care how that was done.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

from websockets.http11 import Request, Response

from protocol.envelope import Envelope, Message
from protocol.errors import Close, MessageError
from protocol.peer import Frame
from vault_server.core.accounts import Held
from vault_server.core.operation import Caller, Door


class Speaker(Protocol):
    """The server's end of a conversation."""

    def encode(self, envelope: Envelope) -> Frame:
        """The frame for one message. Raises sealing.Spent."""

    def decode(self, frame: Frame) -> Envelope:
        """Read one frame. Raises MessageError, sealing.Spent."""

    def told(self, refusal: MessageError, order: Message) -> MessageError:
        """What this door calls a refusal of a request."""


@dataclass(frozen=True, slots=True)
class Guest:
    """Who has arrived, and how he is spoken to."""

    caller: Caller
    door: Door
    speaker: Speaker
    program: str
    """What his program calls itself."""
    names: Mapping[str, str]
    """What every line of the log calls him."""
    seconds_max: float | None = None
    """How long the conversation may last before it has to be begun anew."""
    held: Held | None = None
    """What he came in with, where that may end while he is here."""


class Arriving(Protocol):
    """A connection, as the way in sees it."""

    @property
    def address(self) -> str:
        """Where it comes from."""

    @property
    def offered(self) -> Sequence[str]:
        """The subprotocols that the peer has offered, in its order."""

    @property
    def is_there(self) -> bool:
        """Whether it still waits for the answer to its upgrade request."""

    def reject(self, status: HTTPStatus, text: str) -> Response:
        """An answer to the upgrade request that ends it. To be sent with `answer`."""

    def refuse(self, status: HTTPStatus, refusal: MessageError) -> None:
        """Answer the upgrade request with a refusal."""

    def think(self) -> None:
        """The answer takes a while: until then nothing may come, and the server waits for it when it stops."""

    def answer(self, response: Response) -> None:
        """Answer the upgrade request."""

    def speaks(self, speaker: Speaker) -> None:
        """Frames can be sent: this is who makes them."""

    def say(self, frame: Frame) -> None:
        """Send a frame of the way in."""

    def failed(self) -> None:
        """Whoever it is has shown nothing that holds: it counts against the address."""

    def turn_down(self, refusal: MessageError, code: Close) -> None:
        """Say why, and close."""

    def let_in(self, guest: Guest, greeting: Frame | None = None) -> None:
        """He has arrived; `greeting` is the first that is said to him."""


class Way(ABC):
    """How somebody arrives through one door. One object for each connection."""

    @abstractmethod
    def choose(self, offered: Sequence[str]) -> str | None:
        """Which of the subprotocols that are offered is spoken."""

    @abstractmethod
    def refused(self, status: HTTPStatus, refusal: MessageError) -> Response:
        """How this door answers an upgrade request that it refuses."""

    def malformed(self, answer: Response) -> Response:
        """How this door answers what is no upgrade request; `answer` is what the library says."""
        return answer

    @abstractmethod
    def open(self, request: Request, welcome: Response) -> None:
        """A valid upgrade request has come; `welcome` is the answer that takes it."""

    @abstractmethod
    def hear(self, frame: Frame) -> None:
        """A frame of somebody who has not arrived yet."""

    @abstractmethod
    def is_late(self) -> None:
        """The time to arrive is over."""
