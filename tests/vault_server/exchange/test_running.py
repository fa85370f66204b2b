"""What is under way is known to the last transaction, so that no push of it is passed over."""

from __future__ import annotations

import psycopg

from vault_server.core.location import PostgresUrl
from vault_server.exchange import outbox
from vault_server.storage.postgres import PostgresDatabase

WRITERS = 3


async def test_who_has_begun_is_below_the_second_number(postgres_url: PostgresUrl) -> None:
    database = PostgresDatabase(postgres_url, 6)
    await database.start()
    running = [psycopg.connect(postgres_url.secret) for _ in range(WRITERS)]
    try:
        numbers = [_begun(connection) for connection in running]
        oldest, following = await database.read(outbox.running)
        assert oldest <= min(numbers)
        assert following > max(numbers)  # none of them has ended
    finally:
        for connection in running:
            connection.close()
        await database.stop()


def _begun(connection: psycopg.Connection[tuple[int]]) -> int:
    row = connection.execute("SELECT pg_current_xact_id()::text::bigint").fetchone()
    assert row is not None
    return row[0]
