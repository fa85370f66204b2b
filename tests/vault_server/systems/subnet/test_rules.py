"""The subnet's arithmetic: weights, shares, traps, choices."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from vault_server.systems.subnet import rules
from vault_server.systems.subnet.rules import Candidate, Change, CountedVote, Reason

MINER, HELPER = "m" * 64, "h" * 64


def settle(votes: list[CountedVote], **changed: object) -> list[Change]:
    given: dict[str, object] = {"miner": MINER, "author": MINER, "negative": None, "scale": 1.0, "votes_min": 1}
    return rules.settle(votes, **(given | changed))  # type: ignore[arg-type]


def votes(*chosen: str, weight: float = 0.5) -> list[CountedVote]:
    return [CountedVote(f"{number:064d}", weight, side) for number, side in enumerate(chosen)]


@pytest.mark.parametrize(
    ("reputation", "weight"), [(0, 0.05), (4.999999, 0.05), (5, 0.05), (5.1, 0.051), (50, 0.5), (100, 1.0)]
)
def test_a_vote_weighs_a_hundredth_of_the_reputation_and_never_nothing(reputation: float, weight: float) -> None:
    assert rules.weight(reputation) == pytest.approx(weight)


def test_the_example_of_five_votes() -> None:
    changes = settle(votes(*["validator"] * 4, "miner"))
    assert [(change.amount, change.reason) for change in changes] == [
        *[(0.2, Reason.AGREED_REFERENCE)] * 4,
        (0.2, Reason.GENERATOR_VOTES),
    ]
    assert sum(change.amount for change in changes) == pytest.approx(1)


def test_heavier_votes_share_more() -> None:
    [light, heavy] = settle([CountedVote("a", 0.2, "validator"), CountedVote("b", 0.6, "validator")])
    assert (light.amount, heavy.amount) == (0.25, 0.75)


def test_the_scale_scales() -> None:
    assert settle(votes("miner"), scale=2.5) == [Change(MINER, 2.5, Reason.GENERATOR_VOTES)]
    assert settle(votes("miner"), scale=0.0) == []


def test_a_contributor_is_named_and_the_miner_gets_it() -> None:
    [change] = settle(votes("miner"), author=HELPER)
    assert change == Change(MINER, 1.0, f"generator_votes, by contributor {HELPER}")
    assert len(change.reason) <= 200


def test_nothing_below_the_quorum() -> None:
    assert settle([]) == []
    assert settle(votes("miner"), votes_min=2) == []
    assert len(settle(votes("miner", "validator"), votes_min=2)) == 2


@pytest.mark.parametrize("negative", ["validator", "miner"])
def test_a_trap_costs_those_who_fall_for_it_and_pays_nobody(negative: str) -> None:
    changes = settle(votes("validator", "miner", negative), negative=negative)
    assert [change.amount for change in changes] == [-0.4, -0.4]
    assert {change.reason for change in changes} == {Reason.FELL_FOR_TRAP}
    assert MINER not in {change.hotkey for change in changes}


def test_silence_costs_only_where_it_is_set() -> None:
    assert len(settle(votes("miner"), silent=["s1", "s2"])) == 1
    changes = settle(votes("miner"), silent=["s1", "s2"], no_vote_total=1.0)
    assert [change for change in changes if change.reason == Reason.NO_VOTE] == [
        Change("s1", -0.5, Reason.NO_VOTE),
        Change("s2", -0.5, Reason.NO_VOTE),
    ]
    assert settle([], silent=["s1"], no_vote_total=1.0) == []


@given(
    cast=st.lists(st.tuples(st.floats(0.05, 1), st.sampled_from(["validator", "miner"])), min_size=1, max_size=30),
    scale=st.floats(0, 25),
)
def test_a_settlement_gives_away_the_scale_and_no_more(cast: list[tuple[float, str]], scale: float) -> None:
    counted = [CountedVote(f"{number:064d}", weight, side) for number, (weight, side) in enumerate(cast)]
    changes = settle(counted, scale=scale)
    assert sum(change.amount for change in changes) == pytest.approx(scale, abs=1e-5)
    assert all(change.amount > 0 for change in changes)
    assert changes == sorted(changes, key=lambda change: change.hotkey)


def test_the_choice_of_a_miner() -> None:
    def chosen(*candidates: Candidate, draw: int = 0) -> str | None:
        found = rules.choose_miner(candidates, lambda count: min(draw, count - 1))
        return None if found is None else found.hotkey

    assert chosen() is None
    assert chosen(Candidate("a", 1, 90), Candidate("b", 0, 10)) == "b"
    assert chosen(Candidate("a", 1, 20), Candidate("b", 1, 30)) == "b"
    equals = [Candidate("a", 0, 50), Candidate("b", 0, 50), Candidate("c", 1, 50)]
    assert {chosen(*equals, draw=draw) for draw in range(5)} == {"a", "b"}


@pytest.mark.parametrize(
    ("has_mined", "given_ms", "blamed"), [(True, 10, True), (True, 9, False), (False, 10, False), (False, 9, False)]
)
def test_who_is_blamed(has_mined: bool, given_ms: int, blamed: bool) -> None:
    assert rules.blames_miner(has_mined=has_mined, given_ms=given_ms, fair_ms=10) is blamed


@pytest.mark.parametrize(
    ("status", "now", "shown"),
    [
        ("assigned", 9, "assigned"),
        ("assigned", 10, "expired"),
        ("submitted", 11, "submitted"),
        ("scored", 11, "scored"),
    ],
)
def test_a_task_is_over_at_its_end(status: str, now: int, shown: str) -> None:
    assert rules.status_now(status, 10, now) == shown


@pytest.mark.parametrize(
    ("metadata", "prompt", "public"),
    [
        ('{"prompt":"say"}', '"say"', '{"prompt":"say"}'),
        ('{"prompt":{"b":1}}', '{"b":1}', '{"prompt":{"b":1}}'),
        ('{"negative_completion":"miner","prompt":"say"}', '"say"', '{"prompt":"say"}'),
        ('{"negative_completion":"miner","x":1}', '{"x":1}', '{"x":1}'),
        ('{"prompt":null,"x":1}', '{"prompt":null,"x":1}', '{"prompt":null,"x":1}'),
        ("{}", "{}", "{}"),
    ],
)
def test_what_voters_and_miners_see_of_the_metadata(metadata: str, prompt: str, public: str) -> None:
    assert rules.prompt_of(metadata) == prompt
    assert rules.public_metadata(metadata) == public


@pytest.mark.parametrize(("metadata", "negative"), [({}, None), ({"negative_completion": "miner"}, "miner")])
def test_the_trap_is_read(metadata: dict[str, object], negative: str | None) -> None:
    assert rules.negative_of(metadata) == negative


@pytest.mark.parametrize("word", ["both", "", None, 1, ["miner"]])
def test_a_trap_of_no_side_is_refused(word: object) -> None:
    with pytest.raises(ValueError, match="negative_completion is validator or miner"):
        rules.negative_of({"negative_completion": word})


def test_both_labels_come_about() -> None:
    assert {rules.reference_label(bytes([number])) for number in range(256)} == {"a", "b"}
    assert (rules.other("a"), rules.other("b")) == ("b", "a")
