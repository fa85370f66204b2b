"""A vault on a fresh database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.vault_server.conftest import NewDatabase
from tests.vault_server.systems.vault.harness import Vault, settings_for
from tests.vault_server.systems.vault.invariants import violations

BY_HAND = {
    "test_the_best_band_is_asked_first_and_the_ranking_is_kept",
    "test_the_second_solver_comes_from_another_address_where_possible",
    "test_one_second_slot_in_ten_goes_to_a_newcomer",
    "test_orders_of_time_are_harmless_when_repeated_or_late",
}
"""Tests that write to rows, or give orders of time, as no server would: their rows need not be consistent."""


class MakeVault(Protocol):
    """`await make_vault(open_tasks_max=1)`: a vault with other settings; one for each test."""

    def __call__(self, **settings: Any) -> Awaitable[Vault]:
        """Open it."""


@pytest.fixture
async def make_vault(
    tmp_path: Path, new_database: NewDatabase, request: pytest.FixtureRequest
) -> AsyncIterator[MakeVault]:
    """A factory of one vault. At the end of a test no invariant of `vault-server check` may be broken."""
    opened: list[Vault] = []

    async def make(**settings: Any) -> Vault:
        chosen = settings_for(tmp_path, **settings)
        vault = Vault(new_database(), chosen)
        await vault.database.start()
        opened.append(vault)
        return vault

    yield make
    for vault in opened:
        try:
            if request.node.originalname not in BY_HAND:
                assert await vault.database.read(violations) == []
        finally:
            await vault.database.stop()


@pytest.fixture
async def vault(make_vault: MakeVault) -> Vault:
    """The vault with the settings of these tests."""
    return await make_vault()
