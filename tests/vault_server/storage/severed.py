"""A stand-in for the network between a server and PostgreSQL, which is cut at the moment a test chooses."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.vault_server.conftest import uri_of
from vault_server.core.location import PostgresUrl

COMMIT = b"COMMIT\0"


class Wire:
    """Connections pass through; a COMMIT is cut off when `cuts` says so, and the rest of them goes through."""

    def __init__(self, target: str, folder: Path) -> None:
        self._target = target
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / ".s.PGSQL.5432"))
        self._listener.listen()
        self.cuts: list[str] = []
        """For the next COMMITs: "before" it reaches the server, "behind" it, its answer is lost, or "" none."""
        self.commits = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Accept nobody more."""
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._target)
                threading.Thread(target=self._orders, args=(peer, server), daemon=True).start()

    def _orders(self, peer: socket.socket, server: socket.socket) -> None:
        threading.Thread(target=self._answers, args=(server, peer), daemon=True).start()
        with suppress(OSError):
            while data := peer.recv(65_536):
                cut = ""
                if COMMIT in data:
                    self.commits += 1
                    cut = self.cuts.pop(0) if self.cuts else ""
                if cut:
                    peer.shutdown(socket.SHUT_RDWR)
                if cut != "before":
                    server.sendall(data)
                if cut:
                    break
        with suppress(OSError):
            server.shutdown(socket.SHUT_WR)  # its answer, if it has one, ends the other direction

    def _answers(self, server: socket.socket, peer: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(65_536):
                peer.sendall(data)
        _hang_up(peer)
        _hang_up(server)


def _hang_up(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()


@contextmanager
def wire_to(url: PostgresUrl, folder: Path) -> Iterator[tuple[Wire, PostgresUrl]]:
    """A wire to that database, and the URL at its near end."""
    parts = urlsplit(url.secret)
    [there] = parse_qs(parts.query)["host"]
    wire = Wire(f"{there}/.s.PGSQL.5432", folder)
    try:
        near = f"postgresql://postgres@/x?host={folder}"
        yield wire, PostgresUrl(uri_of(near, parts.path.removeprefix("/")))
    finally:
        wire.close()
