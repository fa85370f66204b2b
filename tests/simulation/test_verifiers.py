"""`scripts/simulate verifiers` measures what it says: probes get through while proofs wait. How fast, a run tells."""

from __future__ import annotations

from pathlib import Path

from tests.simulation.verifiers import WAITING, measure


async def test_probes_get_through_while_more_proofs_wait_than_can_be_checked(tmp_path: Path) -> None:
    idle, saturated = await measure(tmp_path, seconds=0.3, turns=2)
    assert idle.proofs == 0
    assert saturated.proofs > 0
    assert 0 < saturated.waiting_least < WAITING
    for sample in (idle, saturated):
        assert sample.probes_ms
        assert 0 < sample.median <= sample.percentile(0.99) <= max(sample.probes_ms)
