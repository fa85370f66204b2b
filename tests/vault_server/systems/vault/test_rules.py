"""The vault's rules: who is asked, until when, and how an answer is judged."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault_server.systems.vault.rules import (
    NEWCOMER_ANSWERS,
    NEWCOMER_BAND,
    SLOTS,
    Candidate,
    Judgement,
    band,
    choose,
    is_computed_inline,
    judgement_for,
    rank,
    slots_to_open,
)


def candidate(name: str, band: int = 5, in_hand: int = 0, last: int = 0, address: str | None = None) -> Candidate:
    return Candidate(name, band, 50.0, in_hand, last, name if address is None else address, "{}", 0.0)


candidates = st.lists(
    st.builds(
        Candidate,
        solver_id=st.text("abcdef", min_size=1, max_size=3),
        band=st.integers(0, 10),
        reputation=st.floats(0, 100),
        in_hand=st.integers(0, 5),
        last_assigned_ms=st.integers(0, 5),
        address=st.sampled_from(["x", "y", "z"]),
        speeds_text=st.just("{}"),
        observed_speed=st.just(0.0),
    ),
    max_size=12,
    unique_by=lambda one: one.solver_id,
)


# ranking


def test_the_order_is_band_then_hands_then_longest_unserved_then_name() -> None:
    best_first = [
        candidate("d", band=6, in_hand=3, last=9),
        candidate("c", band=5, in_hand=0, last=9),
        candidate("e", band=5, in_hand=1, last=1),
        candidate("a", band=5, in_hand=1, last=2),
        candidate("b", band=5, in_hand=1, last=2),
        candidate("f", band=4),
    ]
    for order in itertools.permutations(best_first):
        assert rank(order) == best_first


def test_the_score_within_a_band_does_not_count() -> None:
    strong = Candidate("z", 5, 59.9, 0, 0, "", "{}", 0.0)
    weak = Candidate("a", 5, 50.0, 0, 0, "", "{}", 0.0)
    assert rank([strong, weak]) == [weak, strong]


@given(candidates)
def test_ranking_loses_and_invents_nobody(given_candidates: list[Candidate]) -> None:
    ranked = rank(given_candidates)
    assert sorted(c.solver_id for c in ranked) == sorted(c.solver_id for c in given_candidates)
    assert rank(list(reversed(given_candidates))) == ranked
    for better, worse in itertools.pairwise(ranked):
        assert (-better.band, better.in_hand, better.last_assigned_ms) <= (
            -worse.band,
            worse.in_hand,
            worse.last_assigned_ms,
        )


@pytest.mark.parametrize(
    ("reputation", "answers", "expected"),
    [
        (0.0, 5, 0),
        (9.999, 5, 0),
        (10.0, 5, 1),
        (49.999, 5, 4),
        (50.0, 5, 5),
        (99.999, 50, 9),
        (100.0, 5, 10),
        (100.0, NEWCOMER_ANSWERS - 1, NEWCOMER_BAND),
        (29.999, NEWCOMER_ANSWERS - 1, NEWCOMER_BAND),
        (19.999, NEWCOMER_ANSWERS - 1, 1),  # a new key that has failed
        (100.0, 0, NEWCOMER_BAND),
    ],
)
def test_bands_of_ten_points_and_a_new_key_as_25(reputation: float, answers: int, expected: int) -> None:
    assert band(reputation, answers) == expected


def test_a_newcomer_has_fewer_than_five_valid_answers() -> None:
    assert NEWCOMER_ANSWERS == 5
    assert band(100.0, 4) == NEWCOMER_BAND
    assert band(100.0, 5) == 10


# choosing


def test_the_two_best_are_asked() -> None:
    a, b, c = candidate("a"), candidate("b"), candidate("c")
    assert choose([a, b, c], count=2, taken_address=None, newcomer=None) == [a, b]
    assert choose([a], count=2, taken_address=None, newcomer=None) == [a]
    assert choose([], count=2, taken_address=None, newcomer=None) == []
    assert choose([a, b, c], count=1, taken_address=None, newcomer=None) == [a]


def test_the_second_comes_from_another_address_where_possible() -> None:
    a, b, c = candidate("a", address="x"), candidate("b", address="x"), candidate("c", address="y")
    assert choose([a, b, c], count=2, taken_address=None, newcomer=None) == [a, c]
    assert choose([a, b], count=2, taken_address=None, newcomer=None) == [a, b]
    assert choose([b, c], count=1, taken_address="x", newcomer=None) == [c]
    assert choose([b], count=1, taken_address="x", newcomer=None) == [b]


def test_a_newcomer_gets_its_turn_in_the_second_slot() -> None:
    a, b, new = candidate("a"), candidate("b"), candidate("new")
    assert choose([a, b], count=2, taken_address=None, newcomer=new) == [a, new]
    assert choose([a, b], count=1, taken_address=None, newcomer=new) == [new]


def test_a_newcomer_that_is_the_best_anyway_is_asked_once() -> None:
    new, b = candidate("new"), candidate("b")
    assert choose([new, b], count=2, taken_address=None, newcomer=new) == [new, b]
    assert choose([new], count=2, taken_address=None, newcomer=new) == [new]


@given(candidates, st.integers(1, SLOTS), st.sampled_from([None, "x", "y"]), st.data())
def test_nobody_is_asked_twice_and_as_many_as_there_are(
    given_candidates: list[Candidate], count: int, taken_address: str | None, data: st.DataObject
) -> None:
    ranked = rank(given_candidates)
    newcomer = data.draw(st.sampled_from([None, *ranked]))
    chosen = choose(ranked, count=count, taken_address=taken_address, newcomer=newcomer)
    assert len({c.solver_id for c in chosen}) == len(chosen) == min(count, len(ranked))
    assert set(chosen) <= set(ranked)
    if count == SLOTS and ranked:
        assert chosen[0] == ranked[0]


# speeds and deadlines


# judging


def way(t: int, has_commitment: bool, wants_proof: bool, computed_max: int) -> Judgement:
    return judgement_for(t, has_commitment=has_commitment, wants_proof=wants_proof, computed_squarings_max=computed_max)


@given(st.integers(1, 2**53 - 1), st.booleans(), st.booleans(), st.integers(0, 65_536))
def test_how_an_answer_is_judged(t: int, has_commitment: bool, wants_proof: bool, computed_max: int) -> None:
    judgement = way(t, has_commitment, wants_proof, computed_max)
    is_small = t <= max(computed_max, 64)
    assert (judgement is Judgement.COMPUTED) == is_small
    assert (judgement is Judgement.COMMITMENT) == (not is_small and has_commitment)
    assert (judgement is Judgement.PROOF) == (not is_small and not has_commitment and wants_proof)
    assert (judgement is Judgement.AGREED) == (not is_small and not has_commitment and not wants_proof)


@pytest.mark.parametrize(
    ("t", "has_commitment", "wants_proof", "computed_max", "judgement"),
    [
        (4096, True, True, 4096, Judgement.COMPUTED),
        (4096, False, False, 4096, Judgement.COMPUTED),
        (4097, True, True, 4096, Judgement.COMMITMENT),
        (4097, False, True, 4096, Judgement.PROOF),
        (4097, False, False, 4096, Judgement.AGREED),
        (64, False, True, 0, Judgement.COMPUTED),  # nothing is proved there
        (65, False, True, 0, Judgement.PROOF),
    ],
)
def test_the_edge_between_computing_and_the_rest(
    t: int, has_commitment: bool, wants_proof: bool, computed_max: int, judgement: Judgement
) -> None:
    assert way(t, has_commitment, wants_proof, computed_max) is judgement


@given(st.integers(1, 65_536), st.integers(64, 8192))
def test_what_is_computed_inline_stays_inline_when_it_is_made_smaller(t: int, bits: int) -> None:
    if is_computed_inline(t, bits):
        assert is_computed_inline(max(1, t // 2), bits)
        assert is_computed_inline(t, max(64, bits // 2))


def test_a_tenth_of_a_millisecond_is_inline() -> None:
    assert is_computed_inline(96, 2048)
    assert not is_computed_inline(97, 2048)
    assert not is_computed_inline(4096, 2048)


@pytest.mark.parametrize(
    ("empty", "made", "bound", "opened"),
    [(2, 0, 6, 2), (1, 1, 6, 1), (0, 2, 6, 0), (2, 5, 6, 1), (1, 5, 6, 1), (2, 6, 6, 0), (1, 6, 6, 0), (1, 7, 6, 0)],
)
def test_how_many_slots_may_be_filled(empty: int, made: int, bound: int, opened: int) -> None:
    assert slots_to_open(empty, made, bound) == opened
