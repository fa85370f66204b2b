"""Which server is trusted: the key that was given, or the known-servers file, or the first key seen (design §5)."""

from __future__ import annotations

from pathlib import Path

from protocol.address import BadAddress, KnownServers, PinMismatch
from vault_solver.errors import BadFile
from vault_solver.files import config_folder, folder_locked, read_small, write_whole

HEADING = b"# Servers and their keys, one `HOST:PORT KEY` a line; written on first use.\n"


def default_known_servers_path() -> Path:
    """~/.config/vault/known-servers, or below $XDG_CONFIG_HOME. Raises BadFile."""
    return config_folder() / "known-servers"


class Pins:
    """Checks a server's key before anything is said to it, and keeps the key of a new server once it is proved.

    A given `server_key` (64 hex digits) decides alone; the file is then neither read nor written.
    """

    def __init__(self, path: Path, server_key: str | None = None) -> None:
        self._path = path
        self._given = server_key

    def check(self, authority: str, server_key: bytes) -> None:
        """Raises address.PinMismatch, BadFile."""
        if self._given is None:
            self._known(read_small(self._path) or b"").check(authority, server_key)
        elif self._given != server_key.hex():
            raise PinMismatch(
                # In full: two keys may differ in their last digits alone.
                f"the server at {authority} shows key {server_key.hex()}, not the {self._given} of "
                "--server-key. Check the address, and ask the server's operator for its key: somebody may be in between"
            )

    def keep(self, authority: str, server_key: bytes) -> None:
        """Pin a server that has proved its key. Raises address.PinMismatch, BadFile."""
        if self._given is not None or self._known(read_small(self._path) or b"").check(authority, server_key):
            return
        with folder_locked(self._path):
            text = read_small(self._path) or HEADING
            if not self._known(text).check(authority, server_key):
                ended = text if text.endswith(b"\n") else text + b"\n"
                write_whole(self._path, ended + KnownServers.line(authority, server_key).encode() + b"\n")

    def _known(self, text: bytes) -> KnownServers:
        try:
            return KnownServers.parse(text.decode())
        except (BadAddress, UnicodeDecodeError) as error:
            raise BadFile(f"Cannot use {self._path}: {error}.", "Mend the line or remove it.") from None
