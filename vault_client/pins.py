"""Which servers are trusted: the key that was given, the file of known servers, or the first one seen (design §5)."""

from __future__ import annotations

import os
from pathlib import Path

from protocol.address import BadAddress, KnownServers
from vault_client.errors import FileError, ServerNotTrusted
from vault_client.files import PRIVATE, file_error, read_small
from vault_client.keyfile import make_folder

KNOWN_SERVERS_BYTES_MAX = 2**20


class Pins:
    """Checks a server's key before anything is said to it.

    `server_key` (64 hex digits) decides alone when it is given. Else the file of known servers does, and a new server
    is written into it once it has proved its key. Without a file the first key seen is kept for this connection.
    """

    def __init__(self, server_key: str | None, known_servers: Path | None) -> None:
        self._given = None if server_key is None else server_key.strip().lower()
        self._path = known_servers
        self._seen = KnownServers()
        if self._given is not None and (len(self._given) != 64 or set(self._given) - set("0123456789abcdef")):
            raise FileError("The server key is not 64 hex digits.", "Copy it from what `vault-server serve` prints.")

    def check(self, authority: str, server_key: bytes) -> None:
        """Raises address.PinMismatch, ServerNotTrusted, FileError."""
        if self._given is None:
            self._seen.check(authority, server_key)
            self._known().check(authority, server_key)
        elif server_key.hex() != self._given:
            raise ServerNotTrusted(
                # In full: two keys may differ in their last digits alone.
                f"The server at {authority} shows key {server_key.hex()}, not {self._given} as was asked.",
                "Check the address and the key with the server's operator: somebody may be in between.",
            )

    def remember(self, authority: str, server_key: bytes) -> None:
        """Called once the server has proved that it holds the key. Raises FileError."""
        if self._given is not None or self._seen.check(authority, server_key):
            return
        self._seen = KnownServers({authority: server_key.hex()})
        if self._path is not None and not self._known().check(authority, server_key):
            _append(self._path, KnownServers.line(authority, server_key))

    def _known(self) -> KnownServers:
        if self._path is None or not os.path.exists(self._path):
            return KnownServers()
        data = read_small(self._path, bytes_max=KNOWN_SERVERS_BYTES_MAX)
        try:
            return KnownServers.parse(data.decode())
        except (BadAddress, UnicodeDecodeError) as error:
            raise FileError(f"Cannot use {self._path}: {error}.", "Mend the line, or remove it.") from None


def _append(path: Path, line: str) -> None:
    make_folder(path)
    try:
        # One write in append mode, so that two clients at once do not mix their lines.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, PRIVATE)
        try:
            size = os.fstat(descriptor).st_size
            ended = size == 0 or os.pread(descriptor, 1, size - 1) == b"\n"
            os.write(descriptor, f"{'' if ended else chr(10)}{line}\n".encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        raise file_error("write", path, error) from None
