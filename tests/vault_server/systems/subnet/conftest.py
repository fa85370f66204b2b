"""A subnet on a fresh database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.vault_server.conftest import NewDatabase
from tests.vault_server.systems.subnet.harness import Subnet, settings_for, violations


class MakeSubnet(Protocol):
    """`await make_subnet(subnet_votes_min=2)`: a subnet with other settings; one for each test."""

    def __call__(self, **settings: Any) -> Awaitable[Subnet]:
        """Open it."""


@pytest.fixture
async def make_subnet(tmp_path: Path, new_database: NewDatabase) -> AsyncIterator[MakeSubnet]:
    """A factory of one subnet. At the end of a test no invariant of `vault-server check` may be broken."""
    opened: list[Subnet] = []

    async def make(**settings: Any) -> Subnet:
        subnet = Subnet(new_database(), settings_for(tmp_path, **settings))
        await subnet.database.start()
        opened.append(subnet)
        return subnet

    yield make
    for subnet in opened:
        try:
            assert await subnet.database.read(violations) == []
        finally:
            await subnet.database.stop()


@pytest.fixture
async def subnet(make_subnet: MakeSubnet) -> Subnet:
    """The subnet with the settings of these tests."""
    return await make_subnet()
