"""A TCP port before PostgreSQL's own socket that counts the round trips that pass, and can be as slow as a network.

It reads only what the server says, message by message: each "ready for query" ends one round trip.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

READY_FOR_QUERY = ord("Z")
HEADER_BYTES = 5
"""A type, and the length of all that follows it, itself included (PostgreSQL's protocol 3)."""
READ_BYTES = 65_536


class Wire:
    """`port` is where nodes connect; `one_way_seconds` is added to whatever passes, in each direction."""

    def __init__(self, path: str, one_way_seconds: float) -> None:
        self._path = path
        self._one_way_seconds = one_way_seconds
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.round_trips = 0

    def run(self) -> None:
        """Carry connections until `close`."""
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                far = socket.socket(socket.AF_UNIX)
                far.connect(self._path)
                for pipe in ((near, far, False), (far, near, True)):
                    threading.Thread(target=self._carry, args=pipe, daemon=True).start()

    def close(self) -> None:
        """Take no more; what is connected ends with its node."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _carry(self, here: socket.socket, there: socket.socket, is_answer: bool) -> None:
        left = b""
        with contextlib.suppress(OSError), here, there:
            while data := here.recv(READ_BYTES):
                if self._one_way_seconds:
                    time.sleep(self._one_way_seconds)
                there.sendall(data)
                if is_answer:
                    left = self._count(left + data)

    def _count(self, data: bytes) -> bytes:
        """Count the ends of round trips in `data`; returns the beginning of a message whose end is to come."""
        start = 0
        while start + HEADER_BYTES <= len(data):
            end = start + 1 + int.from_bytes(data[start + 1 : start + HEADER_BYTES], "big")
            if end > len(data):
                break
            self.round_trips += data[start] == READY_FOR_QUERY
            start = end
        return data[start:]


@contextmanager
def wire(path: str, one_way_seconds: float = 0.0) -> Iterator[Wire]:
    """One that carries, for as long as it is needed."""
    made = Wire(path, one_way_seconds)
    threading.Thread(target=made.run, daemon=True).start()
    try:
        yield made
    finally:
        made.close()
