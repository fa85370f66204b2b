"""`migrate`: everything of a SQLite file into a PostgreSQL database, checked on both sides."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from vault_server import keys
from vault_server.core.location import PostgresUrl, location
from vault_server.operator.checking import check
from vault_server.operator.failures import CannotLook, Refused, WrongUsage, ending
from vault_server.operator.node import Node
from vault_server.operator.options import progress
from vault_server.storage.database import StorageError
from vault_server.storage.opening import copy_up


def migrate(
    source: Annotated[Path, typer.Option("--from", metavar="FILE", help="The SQLite file; no server may use it.")],
    target: Annotated[
        str | None,
        typer.Option("--to", metavar="URL", help="postgresql://…, an empty database; or VAULT_DATABASE."),
    ] = None,
    key_files: Annotated[
        Path, typer.Option(help="Where the identity and master key are copied to: KEY_FILES.identity, .master-key.")
    ] = Path("vault"),
) -> None:
    """Move up: copy a SQLite file into PostgreSQL, every row, and verify all invariants on both sides.

    It can be run again after an interruption and goes on where it was. The file stays as it is. Nothing is served from
    the target before it is whole.

    Example:  VAULT_DATABASE=postgresql://vault@db/vault vault-server migrate --from vault.db
    """
    with ending():
        url = _url(target)
        _check_all(str(source))
        try:
            counts = copy_up(source, url, lambda table, done, of: progress(f"{table} {done}/{of}"))
        except StorageError as error:
            raise CannotLook(str(error)) from None
        progress("")
        _copy_keys(source, key_files)
        _check_all(url)
        typer.echo(f"{sum(counts.values())} rows in {len(counts)} tables copied, all invariants hold on both sides")
        typer.echo(f"Serve it: VAULT_KEY_FILES={key_files} VAULT_DATABASE={url} vault-server serve")


def _url(text: str | None) -> PostgresUrl:
    named = Node.settings_for(None).database if text is None else location(text)
    if not isinstance(named, PostgresUrl):
        raise WrongUsage("--to names no PostgreSQL database; give a URL like postgresql://user@host:5432/vault")
    return named


def _check_all(database: str | PostgresUrl) -> None:
    checked = check(Node(database), lambda number, of, name: progress(f"{number}/{of} {name}"))
    progress("")
    if checked.broken:
        first = checked.broken[0]
        raise Refused(f"{database} is not sound: {first.invariant}: {first.violations[0]}; see vault-server check")


def _copy_keys(source: Path, files: Path) -> None:
    """What all nodes share; what is there already stays."""
    for path in (keys.identity_path, keys.master_key_path):
        if path(source).exists() and not path(files).exists():
            shutil.copy(path(source), path(files))  # with its mode
