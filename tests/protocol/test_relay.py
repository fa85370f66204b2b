"""Relayed checkpoints: their bytes, the depth that is chosen, and what the check lets pass and what not."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence

import gmpy2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import relay
from protocol.catalog import FROM_SERVER, TO_SERVER
from protocol.codec import Codec, DecodeError
from protocol.envelope import Envelope
from protocol.errors import Code
from protocol.peer import FRAME_BYTES_MAX
from protocol.proof import Statement, rounds, verify
from protocol.prover import POWER_SQUARINGS, best_depth, kept_indices, prove
from protocol.puzzle import Puzzle, Trapdoor, effort_seconds, make_modulus
from protocol.relay import EXPONENT_BYTES, BadCheckpoint, Chain, Check, decode, encode, may_have_depth, relay_depth
from protocol.vault import (
    CHECKPOINT_BYTES_MAX,
    CHECKPOINT_DEPTH_MAX,
    CHECKPOINT_PART_BYTES_MAX,
    CheckpointOffered,
    RelayCheckpoint,
)
from tests.protocol.forging import SOLVER, TASK, element, honest, joined, prime_above
from vault_solver.gerbicz import Segment
from vault_solver.squaring import gmp_square

MODULUS, TRAPDOOR = make_modulus(256)
PUZZLE = Puzzle(1_000_003, 3, MODULUS)
DEPTH = 4
UNHURRIED = {"interval_ms": 30_000, "bytes_max": CHECKPOINT_BYTES_MAX}


def residues_of(puzzle: Puzzle, depth: int, trapdoor: Trapdoor = TRAPDOOR) -> list[int]:
    return [trapdoor.power(puzzle.base, place) for place in kept_indices(puzzle.squarings, depth)]


def holds(chain: Chain, randomness: bytes | None = None) -> bool:
    check = Check(
        chain, secrets.token_bytes(EXPONENT_BYTES * len(chain.residues)) if randomness is None else randomness
    )
    while (result := check.advance()) is None:
        pass
    return result


def drawn(exponents: Iterable[int]) -> bytes:
    return b"".join(exponent.to_bytes(EXPONENT_BYTES, "big") for exponent in exponents)


def gaps_of(puzzle: Puzzle, depth: int) -> tuple[int, ...]:
    return Chain.of(puzzle, depth, [1] * (1 << depth)).gaps


def plainly_holds(puzzle: Puzzle, depth: int, residues: Sequence[int]) -> bool:
    """Gerbicz's check, which has no exponents."""
    segment = Segment(gmpy2.mpz(puzzle.base), gmpy2.mpz(puzzle.modulus), gmp_square)
    for gap, residue in zip(gaps_of(puzzle, depth), residues, strict=False):
        segment.add(gap, gmpy2.mpz(residue))
    return segment.holds()


def follow(puzzle: Puzzle, depth: int, residues: Sequence[int]) -> list[int]:
    """These residues, and those that follow from the last of them by squaring."""
    followed, n = [*residues], puzzle.modulus
    for gap in gaps_of(puzzle, depth)[len(residues) :]:
        followed.append(int(gmpy2.powmod(followed[-1], gmpy2.mpz(1) << gap, n)))
    return followed


# bytes


def test_residues_travel_at_the_length_of_the_modulus() -> None:
    residues = (1, MODULUS - 1, 2**200)
    raw = encode(residues, MODULUS)
    assert len(raw) == 3 * 32
    assert decode(raw, MODULUS) == residues


@pytest.mark.parametrize("length", [31, 33, 63, 65])
def test_bytes_that_are_no_whole_residues_are_refused(length: int) -> None:
    with pytest.raises(BadCheckpoint, match="length"):
        decode(b"\x01" * length, MODULUS)


@pytest.mark.parametrize("above", [None, 0])
def test_a_residue_below_one_or_above_the_last_is_refused(above: int | None) -> None:
    wrong = 0 if above is None else MODULUS + above
    with pytest.raises(BadCheckpoint, match="not in 1") as caught:
        decode(encode((5, wrong), MODULUS), MODULUS)
    assert str(wrong or "x") not in str(caught.value)


@pytest.mark.parametrize("binary", [True, False], ids=["msgpack", "json"])
def test_a_full_part_fits_a_frame_and_one_byte_more_is_no_part(binary: bool) -> None:
    def part(size: int) -> Envelope:
        full = RelayCheckpoint(
            assignment=2**53 - 1, depth=CHECKPOINT_DEPTH_MAX, first=2**53 - 1, residues=b"\xff" * size
        )
        return Envelope(full, id=2**53 - 1)

    frames = Codec(binary=binary, reads=TO_SERVER, strict=True, frame_bytes_max=FRAME_BYTES_MAX)
    assert frames.decode(frames.encode(part(CHECKPOINT_PART_BYTES_MAX))) == part(CHECKPOINT_PART_BYTES_MAX)
    with pytest.raises(DecodeError) as caught:
        frames.decode(frames.encode(part(CHECKPOINT_PART_BYTES_MAX + 1)))
    assert caught.value.code is Code.BAD_FIELD


@pytest.mark.parametrize("binary", [True, False], ids=["msgpack", "json"])
def test_a_whole_checkpoint_fits_what_a_solver_reads(binary: bool) -> None:
    offered = CheckpointOffered(
        assignment=2**53 - 1, depth=CHECKPOINT_DEPTH_MAX, residues=b"\xff" * CHECKPOINT_BYTES_MAX
    )
    frames = Codec(binary=binary, reads=FROM_SERVER, strict=False, frame_bytes_max=16 * FRAME_BYTES_MAX)
    assert frames.decode(frames.encode(Envelope(offered, seq=2**53 - 1))).message == offered


# depth


def test_a_depth_is_a_plans_and_its_places_are_not_too_far_apart() -> None:
    assert may_have_depth(1_000_000, 2048, rounds(1_000_000))
    assert not may_have_depth(1_000_000, 2048, rounds(1_000_000) + 1)
    assert not may_have_depth(64, 2048, 0)
    assert may_have_depth(65, 2048, 0)
    longest = int(relay.SPACING_SECONDS_MAX / effort_seconds(1, 2048))
    assert may_have_depth(64 + longest, 2048, 0)
    assert not may_have_depth(64 + longest + 1, 2048, 0)
    assert may_have_depth(64 + 8 * longest, 2048, 3)
    assert may_have_depth(10**9, 2048, 10)  # 1,024 residues are as many bytes as a checkpoint may have
    assert not may_have_depth(10**9, 2048, 11)
    assert may_have_depth(2**40, 64, CHECKPOINT_DEPTH_MAX)
    assert not may_have_depth(2**40, 64, CHECKPOINT_DEPTH_MAX + 1)


def test_the_longest_task_can_be_relayed_at_the_usual_size() -> None:
    assert relay_depth(2**40, 2048, 12, **UNHURRIED) == 10


def test_relaying_is_not_worth_it_within_one_interval() -> None:
    squarings = 30_000_000
    seconds = effort_seconds(squarings, 2048)
    bytes_max = CHECKPOINT_BYTES_MAX
    assert relay_depth(squarings, 2048, 8, interval_ms=round(seconds * 1000) + 1, bytes_max=bytes_max) is None
    assert relay_depth(squarings, 2048, 8, interval_ms=1000, bytes_max=bytes_max) is not None
    assert relay_depth(64, 2048, 8, interval_ms=0, bytes_max=bytes_max) is None


def test_the_depth_is_the_proofs_own_where_it_fits() -> None:
    deepest = best_depth(10**9, 2048)
    whole = 256 << deepest
    assert relay_depth(10**9, 2048, deepest, interval_ms=1000, bytes_max=whole) == deepest
    assert relay_depth(10**9, 2048, deepest, interval_ms=1000, bytes_max=whole - 1) == deepest - 1
    assert relay_depth(10**9, 2048, deepest, interval_ms=1000, bytes_max=255) is None


def test_the_places_of_one_interval_fit_a_message() -> None:
    squarings, interval_ms = 115_000_000, 30_000
    depth = relay_depth(squarings, 2048, 10, interval_ms=interval_ms, bytes_max=CHECKPOINT_BYTES_MAX)
    assert depth is not None
    assert depth < 10
    share = (256 << depth) * interval_ms / (effort_seconds(squarings, 2048) * 1000)
    assert share <= CHECKPOINT_PART_BYTES_MAX / 2 < 2 * share


# what holds


@settings(max_examples=40, deadline=None)
@given(
    squarings=st.integers(1_100, 200_000), depth=st.integers(0, 7), count=st.integers(1, 128), checked=st.integers(0)
)
def test_every_honest_checkpoint_holds(squarings: int, depth: int, count: int, checked: int) -> None:
    depth = min(depth, rounds(squarings))
    count = min(count, 1 << depth)
    puzzle = Puzzle(squarings, 3, MODULUS)
    residues = residues_of(puzzle, depth)[:count]
    assert holds(Chain.of(puzzle, depth, residues, checked=checked % count))


def test_gaps_of_several_lengths_are_folded() -> None:
    gaps = gaps_of(PUZZLE, DEPTH)
    assert len(set(gaps)) > 1
    assert sum(gaps) == PUZZLE.squarings - 64


def test_a_finished_check_says_the_same_again() -> None:
    residues = residues_of(PUZZLE, DEPTH)
    for chain, is_right in ((Chain.of(PUZZLE, DEPTH, residues), True), (Chain.of(PUZZLE, DEPTH, residues[1:]), False)):
        check = Check(chain, secrets.token_bytes(EXPONENT_BYTES * len(chain.residues)))
        while check.advance() is None:
            pass
        assert check.advance() is check.advance() is is_right


def test_nothing_to_check_holds() -> None:
    residues = residues_of(PUZZLE, DEPTH)
    assert holds(Chain.of(PUZZLE, DEPTH, residues, checked=len(residues)))


def test_a_check_costs_the_squarings_of_one_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "TURN_SECONDS", effort_seconds(1000, 256))
    chain = Chain.of(PUZZLE, DEPTH, residues_of(PUZZLE, DEPTH))
    check, turns = Check(chain, secrets.token_bytes(EXPONENT_BYTES << DEPTH)), 0
    while (result := check.advance()) is None:
        turns += 1
    assert result
    powers = 2 * len(chain.residues) * POWER_SQUARINGS
    assert max(chain.gaps) // 1000 <= turns <= (max(chain.gaps) + powers) // 1000 + 1


def test_a_check_of_one_turn_is_done_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "TURN_SECONDS", effort_seconds(10**7, 256))
    chain = Chain.of(PUZZLE, DEPTH, residues_of(PUZZLE, DEPTH))
    assert Check(chain, secrets.token_bytes(EXPONENT_BYTES << DEPTH)).advance() is True


# what does not


@pytest.mark.parametrize("wrong", [0, 1, 7, 15])
def test_a_wrong_residue_does_not_hold(wrong: int) -> None:
    residues = residues_of(PUZZLE, DEPTH)
    residues[wrong] = residues[wrong] * 2 % MODULUS
    assert not holds(Chain.of(PUZZLE, DEPTH, residues))
    assert not holds(Chain.of(PUZZLE, DEPTH, follow(PUZZLE, DEPTH, residues[: wrong + 1])))


def test_residues_of_another_place_base_or_order_do_not_hold() -> None:
    residues = residues_of(PUZZLE, DEPTH)
    assert not holds(Chain.of(Puzzle(PUZZLE.squarings, 5, MODULUS), DEPTH, residues))
    assert not holds(Chain.of(Puzzle(PUZZLE.squarings + 64, 3, MODULUS), DEPTH, residues))
    assert not holds(Chain.of(PUZZLE, DEPTH, residues[1:]))
    assert not holds(Chain.of(PUZZLE, DEPTH, [residues[1], residues[0], *residues[2:]]))


def test_two_errors_that_cancel_pass_plain_gerbicz_and_do_not_pass_here() -> None:
    right = residues_of(PUZZLE, DEPTH)
    error, inverse = 2, int(gmpy2.invert(2, MODULUS))
    first = right[0] * error % MODULUS
    [_, honest_second] = follow(PUZZLE, DEPTH, [first])[:2]
    crafted = follow(PUZZLE, DEPTH, [first, honest_second * inverse % MODULUS])
    assert crafted[-1] != right[-1]
    assert plainly_holds(PUZZLE, DEPTH, crafted)
    assert not any(holds(Chain.of(PUZZLE, DEPTH, crafted)) for _ in range(20))


def test_what_is_checked_already_is_not_checked_again() -> None:
    residues = residues_of(PUZZLE, DEPTH)
    crafted = follow(PUZZLE, DEPTH, [residues[0] * 2 % MODULUS])
    assert not holds(Chain.of(PUZZLE, DEPTH, crafted))
    assert holds(Chain.of(PUZZLE, DEPTH, crafted, checked=1))


def test_residues_that_share_a_factor_with_the_modulus_do_not_hold() -> None:
    """Modulo one prime both sides are 0, modulo the other all is right: the equation itself would hold."""
    p, q = TRAPDOOR.p, TRAPDOOR.q
    lost = [joined(TRAPDOOR, 0, residue % q) for residue in residues_of(PUZZLE, DEPTH)]
    assert all(residue % p == 0 for residue in lost)
    assert not holds(Chain.of(PUZZLE, DEPTH, lost))


# signs and other elements of small order


@pytest.mark.parametrize("flipped", [(0,), (3, 4), (15,), tuple(range(16))])
def test_a_wrong_sign_passes_and_changes_neither_proof_nor_answer(flipped: tuple[int, ...]) -> None:
    right = residues_of(PUZZLE, DEPTH)
    signed = [MODULUS - residue if place in flipped else residue for place, residue in enumerate(right)]
    assert all(holds(Chain.of(PUZZLE, DEPTH, signed)) for _ in range(5))
    statement = Statement(PUZZLE, TASK, SOLVER)
    proof = prove(statement, list(zip(kept_indices(PUZZLE.squarings, DEPTH), signed, strict=True)))
    assert proof == honest(statement, TRAPDOOR)
    assert verify(statement, proof) == TRAPDOOR.power(3, PUZZLE.squarings)
    assert int(gmpy2.powmod(signed[-1], 1 << 64, MODULUS)) == TRAPDOOR.power(3, PUZZLE.squarings)


@pytest.mark.parametrize("order", [2, 3, 5])
def test_an_error_of_small_order_passes_with_the_exponents_that_it_divides(order: int) -> None:
    """Only who knows the factors has one; a successor's own proof shows it (threat-model.md)."""
    trapdoor = Trapdoor(prime_above(2**90, 2 * order), TRAPDOOR.q)
    modulus = trapdoor.p * trapdoor.q
    error = joined(trapdoor, element(trapdoor.p, order), 1)
    assert pow(error, order, modulus) == 1
    assert error not in (1, modulus - 1)
    puzzle = Puzzle(PUZZLE.squarings, 3, modulus)
    right = residues_of(puzzle, DEPTH, trapdoor)
    crafted = follow(puzzle, DEPTH, [*right[:8], right[8] * error % modulus])
    chain = Chain.of(puzzle, DEPTH, crafted)
    for exponent in range(1, 2 * order + 1):
        assert holds(chain, drawn([1] * 8 + [exponent] + [1] * 7)) == (exponent % order == 0)


def test_nothing_of_a_chain_is_shown() -> None:
    chain = Chain.of(PUZZLE, DEPTH, residues_of(PUZZLE, DEPTH))
    assert repr(chain) == "Chain()"
