"""The compiled kernel where this machine has it; its tests are skipped, and say so, where it has not."""

from __future__ import annotations

import pytest

from vault_solver.kernel.ifma import Ifma
from vault_solver.kernel.library import Missing


@pytest.fixture(scope="session")
def ifma() -> Ifma:
    try:
        return Ifma()
    except Missing as reason:
        pytest.skip(f"NOT TESTED: there is no compiled kernel here: {reason}")
