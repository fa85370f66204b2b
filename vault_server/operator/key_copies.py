"""The key files beside a SQLite file, and their copies where a server on PostgreSQL looks for them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vault_server import keys
from vault_server.operator.failures import Refused


def keys_beside(source: Path, given_master_key: str | None) -> Mapping[str, bytes]:
    """What is to be copied: contents by the ending of the name. Raises Refused when a key that is needed is missing."""
    try:
        keys.load_identity(source, is_used=True)
        keys.load_master_keys(source, given_master_key, is_used=True)
    except keys.KeyFileError as error:
        raise Refused(
            f"{source} cannot be moved without its keys: {error}; "
            "--key-files (VAULT_KEY_FILES) only says where copies of both files go"
        ) from None
    found = (keys.identity_path(source), keys.master_key_path(source))
    return {path.suffix: path.read_bytes() for path in found if path.exists()}


def missing_copies(contents: Mapping[str, bytes], files: Path) -> Mapping[Path, bytes]:
    """What has no copy yet, by its path. Raises Refused when another key lies there: it is never overwritten."""
    copies = {files.with_name(files.name + ending): content for ending, content in contents.items()}
    for path, content in copies.items():
        if path.exists() and path.read_bytes() != content:
            raise Refused(
                f"{path} holds another key than the file's, perhaps that of another server; keep it, and name other "
                "files with --key-files (VAULT_KEY_FILES)"
            )
    return {path: content for path, content in copies.items() if not path.exists()}


def make_copies(missing: Mapping[Path, bytes]) -> None:
    """Each whole or not at all, for its owner alone. Raises Refused."""
    try:
        for path, content in missing.items():
            keys.write_new(path, content)
    except keys.KeyFileError as error:
        raise Refused(f"{error.problem}; name other files with --key-files (VAULT_KEY_FILES)") from None
