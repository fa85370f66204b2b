"""A vault on a fresh database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.vault_server.systems.vault.harness import Vault, settings_for
from vault_server.storage.sqlite import SqliteDatabase


class MakeVault(Protocol):
    """`await make_vault(open_tasks_max=1)`: a vault with other settings; one for each test."""

    def __call__(self, **settings: Any) -> Awaitable[Vault]:
        """Open it."""


@pytest.fixture
async def make_vault(tmp_path: Path) -> AsyncIterator[MakeVault]:
    """A factory of one vault."""
    opened: list[Vault] = []

    async def make(**settings: Any) -> Vault:
        chosen = settings_for(tmp_path, **settings)
        vault = Vault(SqliteDatabase(chosen.database), chosen)
        await vault.database.start()
        opened.append(vault)
        return vault

    yield make
    for vault in opened:
        await vault.database.stop()


@pytest.fixture
async def vault(make_vault: MakeVault) -> Vault:
    """The vault with the settings of these tests."""
    return await make_vault()
