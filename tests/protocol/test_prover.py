"""A proof can be made from every plan of kept residues, is the same from each, and needs no second pass."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.proof import BadProof, Proof, Statement, rounds, verify
from protocol.prover import KEPT_BYTES_MAX, best_depth, kept_indices, prove, proving_squarings
from protocol.puzzle import Trapdoor, square_repeatedly
from tests.protocol import vectors
from tests.protocol.forging import answer_of, honest, statement_of

TRAPDOOR = Trapdoor(2**61 - 1, 2**64 - 59)
N = TRAPDOOR.p * TRAPDOOR.q


def residues(statement: Statement, depth: int, trapdoor: Trapdoor = TRAPDOOR) -> list[tuple[int, int]]:
    indices = kept_indices(statement.puzzle.squarings, depth)
    return [(i, trapdoor.power(statement.puzzle.base, i)) for i in indices]


class Meter:
    """Squares like `square_repeatedly`, and counts."""

    def __init__(self) -> None:
        self.squarings = 0

    def __call__(self, base: int, squarings: int, modulus: int) -> int:
        self.squarings += squarings
        return square_repeatedly(base, squarings, modulus)


# plans


@given(squarings=st.integers(65, 2**24), data=st.data())
def test_a_plan_keeps_residues_on_the_way_evenly_spread(squarings: int, data: st.DataObject) -> None:
    depth = data.draw(st.integers(0, min(8, rounds(squarings))))
    indices = kept_indices(squarings, depth)
    assert len(indices) == 2**depth
    assert list(indices) == sorted(set(indices))
    assert indices[0] > 0
    assert indices[-1] == squarings - 64
    gaps = [after - before for before, after in itertools.pairwise((0, *indices))]
    assert max(gaps) - min(gaps) <= 2 * depth


@given(squarings=st.integers(65, 2**20))
def test_a_plan_holds_every_shallower_one(squarings: int) -> None:
    plans = [set(kept_indices(squarings, depth)) for depth in range(min(8, rounds(squarings)) + 1)]
    assert all(shallow < deep for shallow, deep in itertools.pairwise(plans))


@pytest.mark.parametrize(
    ("squarings", "depth"), [(64, 0), (0, 0), (65, 1), (64 + 1023, 1), (64 + 1024, 2), (10**6, -1)]
)
def test_there_is_no_plan_without_rounds(squarings: int, depth: int) -> None:
    with pytest.raises(ValueError, match="at most the number of rounds"):
        kept_indices(squarings, depth)


@pytest.mark.parametrize(
    ("squarings", "depth", "percent"), [(10**6, 6, 4.4), (10**7, 7, 1.7), (3 * 10**7, 8, 1.0), (10**9, 10, 0.2)]
)
def test_the_best_depth_is_the_cheapest(squarings: int, depth: int, percent: float) -> None:
    costs = [proving_squarings(squarings, depth) for depth in range(rounds(squarings) + 1)]
    assert best_depth(squarings, 2048) == depth == costs.index(min(costs))
    assert costs[depth] / squarings * 100 < percent


@pytest.mark.parametrize("bits", [2048, 2047, 4096])
@pytest.mark.parametrize("depth", range(6))
def test_the_depth_keeps_to_the_memory_it_is_given(bits: int, depth: int) -> None:
    residue = (bits + 7) // 8
    assert best_depth(10**6, bits, residue << depth) == depth
    assert best_depth(10**6, bits, (residue << depth) - 1) == max(0, depth - 1)
    assert 256 << best_depth(2**53 - 1, 2048) <= KEPT_BYTES_MAX


@pytest.mark.parametrize("squarings", [65, 66, 1087])
def test_a_short_squaring_keeps_z_alone(squarings: int) -> None:
    assert kept_indices(squarings, best_depth(squarings, 2048)) == (squarings - 64,)


# proofs


@settings(max_examples=40)
@given(squarings=st.integers(65, 2**18), base=st.integers(2, 10**6), data=st.data())
def test_every_plan_makes_the_same_proof_and_it_holds(squarings: int, base: int, data: st.DataObject) -> None:
    statement = statement_of(squarings, TRAPDOOR, base)
    depth = data.draw(st.integers(0, rounds(squarings)))
    proof = prove(statement, residues(statement, depth))
    assert proof == honest(statement, TRAPDOOR)
    assert verify(statement, proof) == answer_of(statement, TRAPDOOR)


EDGES = [64 + exponent for exponent in (1, 2, 1023, 1024, 1025, 2047, 2048, 2049, 4095, 4096, 0b1010101010101, 65_535)]


@pytest.mark.parametrize("squarings", EDGES)
def test_every_depth_holds_at_the_edges(squarings: int) -> None:
    statement = statement_of(squarings, TRAPDOOR)
    made = {prove(statement, residues(statement, depth)) for depth in range(rounds(squarings) + 1)}
    assert made == {honest(statement, TRAPDOOR)}


@pytest.mark.parametrize("depth", range(8))
def test_kept_residues_spare_the_second_pass(depth: int) -> None:
    squarings, meter = 64 + 0b1101_1010_1110_1001, Meter()
    statement = statement_of(squarings, TRAPDOOR)
    prove(statement, residues(statement, min(depth, 6)), meter)
    gap = (squarings - 64) >> min(depth, 6)
    assert gap - 1024 <= meter.squarings <= gap


def test_the_deepest_plan_that_is_held_is_used_whatever_lies_beside_it() -> None:
    statement = statement_of(64 + 40_000, TRAPDOOR)
    kept = residues(statement, 4)
    meter = Meter()
    assert prove(statement, reversed([*kept, (1, 9), (77, 123_456)]), meter) == honest(statement, TRAPDOOR)
    assert meter.squarings <= 40_000 >> 4
    without = Meter()
    assert prove(statement, kept[1:], without) == honest(statement, TRAPDOOR)
    assert (40_000 >> 3) - 1024 <= without.squarings <= 40_000 >> 3


def test_a_killed_squaring_goes_on_from_its_newest_residue_and_the_kept_ones() -> None:
    """What a solver writes down at any moment is enough, whoever carries on."""
    trapdoor = vectors.large_trapdoor()
    statement = statement_of(4000, trapdoor)
    n = statement.puzzle.modulus
    plan = kept_indices(4000, 2)
    written = json.dumps({"done": 0, "value": 3, "kept": []})
    for stop in sorted({*plan, 1, 700, 701, 2500, 4000}):
        state = json.loads(written)
        state["value"] = square_repeatedly(state["value"], stop - state["done"], n)
        state["done"] = stop
        state["kept"] += [(stop, state["value"])] if stop in plan else []
        written = json.dumps(state)
    last = json.loads(written)
    proof = prove(statement, last["kept"])
    assert verify(statement, Proof.decode(proof.encode(n), statement.puzzle)) == last["value"]


def test_a_wrong_residue_makes_a_proof_that_does_not_hold() -> None:
    statement = statement_of(64 + 40_000, TRAPDOOR)
    kept = residues(statement, 3)
    for place in range(len(kept)):
        damaged = [(i, residue ^ (place == at)) for at, (i, residue) in enumerate(kept)]
        with pytest.raises(BadProof):
            verify(statement, prove(statement, damaged))


@pytest.mark.parametrize("squarings", [-1, 0, 63, 64])
def test_up_to_64_squarings_nothing_is_proved(squarings: int) -> None:
    with pytest.raises(ValueError, match="t above 64"):
        prove(statement_of(squarings, TRAPDOOR), [(squarings - 64, 3)])


def test_z_has_to_be_kept() -> None:
    statement = statement_of(64 + 40_000, TRAPDOOR)
    with pytest.raises(ValueError, match="residue at t - 64"):
        prove(statement, residues(statement, 3)[:-1])
