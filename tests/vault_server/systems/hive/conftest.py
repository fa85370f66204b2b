"""A hive on a fresh database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.vault_server.conftest import NewDatabase
from tests.vault_server.systems.hive.harness import Hive, settings_for, violations


class MakeHive(Protocol):
    """`await make_hive(hive_webhooks_max=1)`: a hive with other settings; one for each test."""

    def __call__(self, **settings: Any) -> Awaitable[Hive]:
        """Open it."""


@pytest.fixture
async def make_hive(tmp_path: Path, new_database: NewDatabase) -> AsyncIterator[MakeHive]:
    """A factory of one hive. At the end of a test no invariant of `vault-server check` may be broken."""
    opened: list[Hive] = []

    async def make(**settings: Any) -> Hive:
        hive = Hive(new_database(), settings_for(tmp_path, **settings))
        await hive.start()
        opened.append(hive)
        return hive

    yield make
    for hive in opened:
        try:
            assert await hive.database.read(violations) == []
        finally:
            await hive.database.stop()


@pytest.fixture
async def hive(make_hive: MakeHive) -> Hive:
    """The hive with the settings of these tests."""
    return await make_hive()
