"""`migrate`: everything of a SQLite file into a PostgreSQL database, checked on both sides."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from vault_server.core.location import PostgresUrl, location
from vault_server.operator.checking import check
from vault_server.operator.failures import CannotLook, Refused, WrongUsage, ending
from vault_server.operator.key_copies import keys_beside, make_copies, missing_copies
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
        Path,
        typer.Option(
            envvar="VAULT_KEY_FILES",
            help="Where the identity and master key are copied to: FILES.identity, .master-key.",
        ),
    ] = Path("vault"),
) -> None:
    """Move up: copy a SQLite file into PostgreSQL, every row, and verify all invariants on both sides.

    It can be run again after an interruption and goes on where it was; when all is done, it says so. The file stays as
    it is. Nothing is served from the target before it is whole and has its keys.

    Example:  VAULT_DATABASE=postgresql://vault@db/vault vault-server migrate --from vault.db
    """
    with ending():
        url = _url(target)
        from_file = _node(str(source), key_files)
        missing = missing_copies(keys_beside(source, from_file.settings.master_key), key_files)
        _check_all(from_file)
        try:
            counts, was_whole = copy_up(
                source, url, lambda table, done, of: progress(f"{table} {done}/{of}"), lambda: make_copies(missing)
            )
        except StorageError as error:
            raise CannotLook(str(error)) from None
        progress("")
        _check_all(_node(url, key_files))
        done = "were copied before: the copy is complete" if was_whole else "copied"
        typer.echo(f"{sum(counts.values())} rows in {len(counts)} tables {done}, all invariants hold on both sides")
        typer.echo(_next_step(url, key_files, in_environment=target is None))


def _url(text: str | None) -> PostgresUrl:
    try:
        named = Node.settings_for(None).database if text is None else location(text)
    except ValueError as error:  # which never repeats the text
        raise WrongUsage(f"--to: {error}") from None
    if not isinstance(named, PostgresUrl):
        raise WrongUsage("--to names no PostgreSQL database; give a URL like postgresql://user@host:5432/vault")
    return named


def _node(database: str | PostgresUrl, key_files: Path) -> Node:
    """Its keys are those of `key_files`, also when the environment names others."""
    node = Node(database)
    node.settings = node.settings.model_copy(update={"key_files": key_files})
    return node


def _check_all(node: Node) -> None:
    checked = check(node, lambda number, of, name: progress(f"{number}/{of} {name}"))
    progress("")
    if checked.broken:
        first = checked.broken[0]
        raise Refused(f"{node.database} is not sound: {first.invariant}: {first.violations[0]}; see vault-server check")
    if checked.not_looked_at:
        raise Refused(f"{node.database} cannot be checked whole: {checked.not_looked_at[0]}")


def _next_step(url: PostgresUrl, key_files: Path, *, in_environment: bool) -> str:
    """A line for a shell; a URL with a password is not repeated."""
    served = f"VAULT_KEY_FILES={shlex.quote(str(key_files))} "
    if in_environment:
        return f"Serve it, with VAULT_DATABASE as it is: {served}vault-server serve"
    if url.secrets:
        return f"Serve it, with VAULT_DATABASE set to the URL of --to: {served}vault-server serve"
    return f"Serve it: {served}VAULT_DATABASE={shlex.quote(url.secret)} vault-server serve"
