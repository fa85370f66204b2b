"""A proof holds for what it was made for and nothing else; its bytes are exact; a refusal says why, without numbers."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.proof import (
    FINAL_BITS,
    LAST_SQUARINGS,
    BadProof,
    Challenges,
    Proof,
    Statement,
    proof_bytes,
    representative,
    rounds,
    verify,
)
from protocol.puzzle import Puzzle, Trapdoor
from tests.protocol import vectors
from tests.protocol.forging import SOLVER, TASK, answer_of, honest, statement_of

TRAPDOOR = Trapdoor(2**61 - 1, 2**64 - 59)
N = TRAPDOOR.p * TRAPDOOR.q
STATEMENT = statement_of(5003, TRAPDOOR)
PROOF = honest(STATEMENT, TRAPDOOR)


def by_the_book(statement: Statement, raw: bytes) -> int | None:
    """docs/protocol.md §14 in Python's own numbers: the answer, or None."""
    t, g, n = statement.puzzle.squarings, statement.puzzle.base, statement.puzzle.modulus
    width, e = -(-n.bit_length() // 8), t - 64
    halvings = max(0, e.bit_length() - 10)
    if e < 1 or raw[:1] != b"\x01" or len(raw) != 1 + width * (1 + halvings):
        return None
    z, *midpoints = (int.from_bytes(raw[1 + i * width :][:width], "big") for i in range(1 + halvings))
    hashed = b"vault proof v1" + bytes.fromhex(statement.task) + bytes.fromhex(statement.solver)
    hashed += width.to_bytes(4, "big") + n.to_bytes(width, "big") + g.to_bytes(width, "big") + e.to_bytes(8, "big")
    hashed += z.to_bytes(width, "big")
    x, claim = g, z
    for m in midpoints:
        hashed += m.to_bytes(width, "big")
        r = int.from_bytes(hashlib.sha256(hashed).digest()[:16], "big")
        x = x**2 % n if e % 2 else x
        x, claim, e = pow(x, r, n) * m % n, pow(m, r, n) * claim % n, e // 2
    return pow(z, 2**64, n) if pow(x, 2**e, n) in (claim, n - claim) else None


# what holds


@settings(max_examples=60)
@given(squarings=st.integers(65, 2**40), base=st.integers(2, N - 2))
def test_every_honest_proof_holds(squarings: int, base: int) -> None:
    if base % TRAPDOOR.p == 0 or base % TRAPDOOR.q == 0:
        return
    statement = statement_of(squarings, TRAPDOOR, base)
    proof = honest(statement, TRAPDOOR)
    raw = proof.encode(N)
    assert Proof.decode(raw, statement.puzzle) == proof
    assert verify(statement, proof) == answer_of(statement, TRAPDOOR) == by_the_book(statement, raw)


EDGES = sorted({64 + (1 << bits) + more for bits in range(13) for more in (-1, 0, 1)} - {64})


@pytest.mark.parametrize("squarings", EDGES)
def test_proofs_hold_at_every_edge_of_the_exponent(squarings: int) -> None:
    statement = statement_of(squarings, TRAPDOOR)
    proof = honest(statement, TRAPDOOR)
    assert verify(statement, proof) == answer_of(statement, TRAPDOOR)
    assert len(proof.midpoints) == rounds(squarings)


def test_a_proof_of_full_size_holds() -> None:
    trapdoor = vectors.large_trapdoor()
    statement = statement_of(123_457, trapdoor)
    proof = honest(statement, trapdoor)
    assert verify(statement, proof) == answer_of(statement, trapdoor)
    assert len(proof.encode(statement.puzzle.modulus)) == 1 + 256 * 8 == proof_bytes(123_457, statement.puzzle.modulus)


@pytest.mark.parametrize(
    ("squarings", "halvings"),
    [
        (65, 0),
        (64 + 1023, 0),
        (64 + 1024, 1),
        (64 + 2047, 1),
        (64 + 2048, 2),
        (10**6, 10),
        (10**9, 20),
        (2**53 - 1, 43),
    ],
)
def test_halving_stops_at_ten_bits(squarings: int, halvings: int) -> None:
    assert rounds(squarings) == halvings
    assert (squarings - LAST_SQUARINGS) >> halvings < 1 << FINAL_BITS
    assert proof_bytes(squarings, 1 << 2047) == 1 + 256 * (1 + halvings)
    assert proof_bytes(squarings, 1 << 2048) == 1 + 257 * (1 + halvings)


@pytest.mark.parametrize(("proof", "size"), [(10**6, 2817), (10**9, 5377), (2**40, 7937)])
def test_proofs_are_some_kilobytes(proof: int, size: int) -> None:
    assert proof_bytes(proof, 1 << 2047) == size


def test_the_document_and_the_code_agree_on_the_test_vectors() -> None:
    said = dict(line.split(" = ") for line in vectors.proofs() if line)
    moduli = dict(line.split(" = ") for line in vectors.puzzles() if line)
    for name in ("small", "large"):
        product, base = int(moduli[f"{name}.product"], 16), int(moduli[f"{name}.baseg"], 16)
        puzzle = Puzzle(int(said[f"proof.{name}.t"]), base, product)
        statement = Statement(puzzle, said["task"], said["solver"])
        raw = bytes.fromhex(said[f"proof.{name}.proof"])
        answer = int(said[f"proof.{name}.answer"], 16)
        assert by_the_book(statement, raw) == answer == pow(base, 2**puzzle.squarings, product)
        assert verify(statement, Proof.decode(raw, puzzle)) == answer


@given(st.integers(-(10**6), 10**6), st.sampled_from([77, 1081, 9_999_991]))
def test_a_representative_is_the_smaller_of_a_number_and_its_negative(value: int, modulus: int) -> None:
    written = representative(value, modulus)
    assert 0 <= written <= (modulus - 1) // 2
    assert representative(-value, modulus) == written
    assert (written - value) % modulus == 0 or (written + value) % modulus == 0


def test_secrets_stay_out_of_what_is_printed() -> None:
    shown = repr((STATEMENT, PROOF))
    assert not [number for number in (N, PROOF.z, *PROOF.midpoints) if str(number) in shown]


# what does not


def refused(statement: Statement, proof: Proof) -> str:
    with pytest.raises(BadProof) as caught:
        verify(statement, proof)
    said = str(caught.value)
    assert not re.search(r"\d{3}", said), "a refusal has no numbers of the proof"
    return said


def replaced(index: int, value: int) -> Proof:
    """PROOF with z (0) or a midpoint (from 1) replaced."""
    z, *midpoints = (value if i == index else number for i, number in enumerate((PROOF.z, *PROOF.midpoints)))
    return Proof(z, tuple(midpoints))


@given(index=st.integers(0, 3), value=st.integers(1, (N - 1) // 2))
def test_an_altered_number_spoils_a_proof(index: int, value: int) -> None:
    if value % TRAPDOOR.p and value % TRAPDOOR.q and replaced(index, value) != PROOF:
        assert "does not hold" in refused(STATEMENT, replaced(index, value))


@pytest.mark.parametrize("index", range(4))
@pytest.mark.parametrize(
    "alter",
    [lambda v: 0, lambda v: -v, lambda v: N - v, lambda v: v + N, lambda v: (N + 1) // 2, lambda v: 2**4096],
    ids=["0", "negative", "other-sign", "plus-N", "one-above", "huge"],
)
def test_a_number_out_of_range_is_refused(index: int, alter: Callable[[int], int]) -> None:
    changed = replaced(index, alter((PROOF.z, *PROOF.midpoints)[index]))
    assert ("z is not in" if index == 0 else "a midpoint is not in") in refused(STATEMENT, changed)


@pytest.mark.parametrize("index", range(4))
def test_the_largest_number_is_in_range(index: int) -> None:
    assert "does not hold" in refused(STATEMENT, replaced(index, (N - 1) // 2))


@pytest.mark.parametrize("index", range(4))
@pytest.mark.parametrize("factor", [TRAPDOOR.p, TRAPDOOR.q, 3 * TRAPDOOR.p], ids=["p", "q", "3p"])
def test_a_number_that_shares_a_factor_is_refused(index: int, factor: int) -> None:
    assert "shares a factor" in refused(STATEMENT, replaced(index, factor))


def test_midpoints_in_another_order_are_refused() -> None:
    for order in itertools.permutations(PROOF.midpoints):
        if order != PROOF.midpoints:
            assert "does not hold" in refused(STATEMENT, Proof(PROOF.z, order))


@pytest.mark.parametrize("count", [0, 1, 2, 4, 5, 1000])
def test_another_number_of_midpoints_is_refused(count: int) -> None:
    midpoints = tuple(itertools.islice(itertools.cycle(PROOF.midpoints), count))
    assert "number of midpoints" in refused(STATEMENT, Proof(PROOF.z, midpoints))


@pytest.mark.parametrize("squarings", [-(2**20), 0, 1, 63, 64])
def test_up_to_64_squarings_nothing_is_proved(squarings: int) -> None:
    assert "nothing is proved" in refused(statement_of(squarings, TRAPDOOR), Proof(3, ()))


OTHER = Trapdoor(2**61 - 1, 2**64 - 83)
OTHERS = {
    "one more squaring": dataclasses.replace(STATEMENT, puzzle=Puzzle(5004, 3, N)),
    "one less": dataclasses.replace(STATEMENT, puzzle=Puzzle(5002, 3, N)),
    "base": dataclasses.replace(STATEMENT, puzzle=Puzzle(5003, 5, N)),
    "the base's negative": dataclasses.replace(STATEMENT, puzzle=Puzzle(5003, N - 3, N)),
    "the base's square": dataclasses.replace(STATEMENT, puzzle=Puzzle(5003, 9, N)),
    "product": dataclasses.replace(STATEMENT, puzzle=Puzzle(5003, 3, OTHER.p * OTHER.q)),
    "task": dataclasses.replace(STATEMENT, task="ac" * 16),
    "solver": dataclasses.replace(STATEMENT, solver="ce" * 16),
    "task and solver": dataclasses.replace(STATEMENT, task=SOLVER, solver=TASK),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_proof_of_something_else_is_refused(name: str) -> None:
    assert "does not hold" in refused(OTHERS[name], PROOF)


@pytest.mark.parametrize("name", OTHERS)
def test_a_challenge_depends_on_all_of_the_statement(name: str) -> None:
    assert drawn(OTHERS[name], PROOF.z, PROOF.midpoints) != drawn(STATEMENT, PROOF.z, PROOF.midpoints)


def test_a_challenge_depends_on_z_and_on_every_midpoint_so_far() -> None:
    right = drawn(STATEMENT, PROOF.z, PROOF.midpoints)
    assert drawn(STATEMENT, PROOF.z + 1, PROOF.midpoints)[0] != right[0]
    for i, midpoint in enumerate(PROOF.midpoints):
        changed = (*PROOF.midpoints[:i], midpoint + 1, *PROOF.midpoints[i + 1 :])
        assert drawn(STATEMENT, PROOF.z, changed)[:i] == right[:i]
        assert not set(drawn(STATEMENT, PROOF.z, changed)[i:]) & set(right)


def drawn(statement: Statement, z: int, midpoints: tuple[int, ...]) -> list[int]:
    challenges = Challenges(statement, z)
    found = [challenges.draw(midpoint) for midpoint in midpoints]
    assert all(challenge < 2**128 for challenge in found)
    return found


# bytes


@pytest.mark.parametrize("cut", [0, 1, 2, 16, 17, 64])
def test_a_truncated_proof_is_no_proof(cut: int) -> None:
    with pytest.raises(BadProof, match="length" if cut else "version"):
        Proof.decode(PROOF.encode(N)[:cut], STATEMENT.puzzle)


@pytest.mark.parametrize("more", [1, 16, 32, 100_000])
def test_an_oversized_proof_is_no_proof(more: int) -> None:
    with pytest.raises(BadProof, match="length"):
        Proof.decode(PROOF.encode(N) + bytes(more), STATEMENT.puzzle)


@pytest.mark.parametrize("squarings", [64 + 4095, 64 + 8192])
def test_the_length_is_that_of_t(squarings: int) -> None:
    with pytest.raises(BadProof, match="length"):
        Proof.decode(PROOF.encode(N), Puzzle(squarings, 3, N))


@pytest.mark.parametrize("version", [0, 2, 255])
def test_another_version_is_refused(version: int) -> None:
    with pytest.raises(BadProof, match="version"):
        Proof.decode(bytes([version]) + PROOF.encode(N)[1:], STATEMENT.puzzle)


@given(st.binary(min_size=64, max_size=64))
def test_noise_of_the_right_length_is_decoded_and_refused(noise: bytes) -> None:
    refused(STATEMENT, Proof.decode(b"\x01" + noise, STATEMENT.puzzle))


@given(st.binary(max_size=200))
def test_noise_is_refused_or_decoded_to_itself(noise: bytes) -> None:
    try:
        proof = Proof.decode(noise, STATEMENT.puzzle)
    except BadProof:
        return
    assert proof.encode(N) == noise
