"""A real HTTP server that takes webhooks, on a thread of its own: what it is sent, and answers of any kind."""

from __future__ import annotations

import asyncio
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from standardwebhooks.webhooks import Webhook

WAIT_SECONDS_MAX = 20.0


@dataclass(frozen=True)
class Received:
    """One request; the names of its headers in lower case."""

    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        """Which delivery it says that it is."""
        return self.headers["webhook-id"]

    def opened(self, secret: str) -> Any:
        """Its content, verified as a receiver does. Raises WebhookVerificationError."""
        return Webhook(secret).verify(self.body, self.headers)


Answer = Callable[[Received, socket.socket], None]
"""Writes what the receiver answers."""


def status(*codes: int) -> Answer:
    """An answer without a body, with one status after the other; the last one stays."""
    left = list(codes)
    lock = threading.Lock()

    def answer(_received: Received, connection: socket.socket) -> None:
        with lock:
            code = left.pop(0) if len(left) > 1 else left[0]
        connection.sendall(f"HTTP/1.1 {code} Said\r\nContent-Length: 0\r\n\r\n".encode())

    return answer


def raw(*parts: bytes) -> Answer:
    """Any bytes."""

    def answer(_received: Received, connection: socket.socket) -> None:
        for part in parts:
            connection.sendall(part)

    return answer


def in_turn(*answers: Answer) -> Answer:
    """One answer after the other; the last one stays."""
    left = list(answers)

    def answer(received: Received, connection: socket.socket) -> None:
        (left.pop(0) if len(left) > 1 else left[0])(received, connection)

    return answer


class Receiver:
    """Listens from `with` on. `received` is what has come, in order; a connection has one request."""

    def __init__(
        self, answer: Answer | None = None, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
    ) -> None:
        self.received: list[Received] = []
        self.connections = 0
        self.answer = answer or status(200)
        self.may_end = threading.Event()
        """Set at the end: answers that hold on wait for it."""
        receiver = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                receiver._serve(self.request)

        class Listening(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            request_queue_size = 256

        self._tls = tls
        self._server = Listening((host, 0), Handler)
        self.host, self.port = self._server.server_address[:2]

    @property
    def url(self) -> str:
        """Where it takes webhooks."""
        return f"{'https' if self._tls else 'http'}://{self.host!s}:{self.port}/hook?token=hush"

    def hold(self, _received: Received, _connection: socket.socket) -> None:
        """An answer that never comes."""
        self.may_end.wait(WAIT_SECONDS_MAX)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.may_end.set()
        self._server.shutdown()
        self._server.server_close()

    async def have(self, count: int) -> Sequence[Received]:
        """Wait until so many requests have come."""
        until = time.monotonic() + WAIT_SECONDS_MAX
        while len(self.received) < count:
            assert time.monotonic() < until, f"{len(self.received)} of {count} requests have come"
            await asyncio.sleep(0.01)
        return self.received

    def _serve(self, connection: socket.socket) -> None:
        self.connections += 1
        with suppress(OSError):  # whoever calls may hang up at any time
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            received = _read(connection)
            self.received.append(received)
            self.answer(received, connection)
            connection.close()


def _read(connection: socket.socket) -> Received:
    data = b""
    while b"\r\n\r\n" not in data:
        data += _some(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    line, *rest = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in rest)}
    while len(body) < int(headers.get("content-length", 0)):
        body += _some(connection)
    return Received(line, headers, body)


def _some(connection: socket.socket) -> bytes:
    data = connection.recv(65_536)
    if not data:
        raise OSError("it hung up")
    return data
