"""The solver's own key on disk, mode 0600: made on first start, never shown, never replaced."""

from __future__ import annotations

from pathlib import Path

from protocol.identity import BadKey, Identity
from vault_solver.errors import BadFile
from vault_solver.files import config_folder, folder_locked, read_small, write_whole


def default_key_path() -> Path:
    """~/.config/vault/solver.key, or below $XDG_CONFIG_HOME. Raises BadFile."""
    return config_folder() / "solver.key"


def load_or_make_key(path: Path) -> tuple[Identity, bool]:
    """The key in this file, and whether it was made just now. Raises BadFile.

    A file that is there is never written to: one that holds no key, or that others can read, is refused.
    """
    pem = read_small(path)
    if pem is None:
        with folder_locked(path):  # two first starts at once end with one key
            pem = read_small(path)
            if pem is None:
                identity = Identity.generate()
                write_whole(path, identity.to_pem())
                return identity, True
    return _read(path, pem), False


def _read(path: Path, pem: bytes) -> Identity:
    _refuse_open_to_others(path)
    try:
        return Identity.from_pem(pem)
    except BadKey as error:
        raise BadFile(
            f"Cannot use {path}: {error}.", "Name another file with --key, or move this one away to have a key made."
        ) from None


def _refuse_open_to_others(path: Path) -> None:
    mode = path.stat().st_mode
    if mode & 0o077:
        raise BadFile(
            f"The key file {path} is open to others (mode {mode & 0o777:04o}).",
            f"Close it with `chmod 600 {path}`; if others may have read it, move it away and start with a new key.",
        )
