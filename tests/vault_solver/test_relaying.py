"""What a solver relays, when, and what it makes of a checkpoint that it is offered. No socket, no clock."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.prover import kept_indices
from protocol.puzzle import make_modulus
from protocol.relay import encode
from protocol.vault import CheckpointOffered, CheckpointTaken, PuzzleOffered, RelayCheckpoint
from vault_solver.effects import Effect, Note, Request, Retry
from vault_solver.plan import Plan
from vault_solver.relaying import Relaying
from vault_solver.state import State

N, TRAPDOOR = make_modulus(256)
T, DEPTH = 5_000_000, 5
OFFER = PuzzleOffered(assignment=7, task="ab" * 16, t=T, baseg=3, product=N, deadline=10**13, proof="required")
PLAN = Plan("ab" * 16, "cd" * 16, DEPTH, True)
PLACES = kept_indices(T, DEPTH)
RIGHT = [TRAPDOOR.power(3, place) for place in PLACES]
LIMITS = {"relay_interval_ms": 10, "relay_bytes_max": 2**18, "frame_bytes_max": 65_536}


def state(count: int, further: int = 5) -> State:
    """A state with so many kept residues, some squarings beyond the last of them."""
    done = PLACES[count - 1] + further if count else further
    return State(done, 5, tuple(zip(PLACES[:count], RIGHT[:count], strict=True)))


def opened(enabled: bool = True, /, **limits: int) -> Relaying:
    relaying = Relaying(enabled)
    assert relaying.opened({**LIMITS, **limits}) == []
    return relaying


def part(first: int, end: int, depth: int = DEPTH) -> RelayCheckpoint:
    return RelayCheckpoint(assignment=7, depth=depth, first=first, residues=encode(RIGHT[first:end], N))


def sent(effects: list[Effect]) -> list[Any]:
    return [effect.message for effect in effects if isinstance(effect, Request)]


def taken(relaying: Relaying, count: int) -> list[Effect]:
    return relaying.taken(CheckpointTaken(assignment=7, count=count, next_at=0))


def offered(count: int, depth: int = DEPTH) -> CheckpointOffered:
    return CheckpointOffered(assignment=7, depth=depth, residues=encode(RIGHT[:count], N))


# what is sent


def test_the_first_verified_state_is_relayed_and_later_ones_an_interval_after() -> None:
    relaying = opened()
    assert relaying.verified(OFFER, PLAN, state(0)) == []
    assert sent(relaying.verified(OFFER, PLAN, state(3))) == [part(0, 3)]
    assert relaying.verified(OFFER, PLAN, state(5)) == []  # one is on its way
    note, retry = taken(relaying, 3)
    assert note == Note("checkpoint.relayed", {"assignment": 7, "residues": 3})
    assert isinstance(retry, Retry)
    assert retry.seconds == 0.01
    assert relaying.verified(OFFER, PLAN, state(6)) == []  # not before the interval has passed
    assert sent(relaying.due(7)) == [part(3, 6)]
    assert [type(effect) for effect in taken(relaying, 6)] == [Retry]
    assert relaying.due(7) == []
    assert sent(relaying.verified(OFFER, PLAN, state(7))) == [part(6, 7)]


def test_what_the_server_holds_already_is_compared_from_the_first_place_on() -> None:
    relaying = opened()
    assert sent(relaying.verified(OFFER, PLAN, state(3))) == [part(0, 3)]
    taken(relaying, 9)  # an earlier process of ours had come farther
    relaying.due(7)
    assert sent(relaying.verified(OFFER, PLAN, state(5))) == [part(3, 5)]


def test_what_was_on_its_way_is_sent_again_on_the_next_connection() -> None:
    relaying = opened()
    relaying.verified(OFFER, PLAN, state(3))
    assert sent(relaying.opened(LIMITS)) == [part(0, 3)]


def test_a_part_fits_the_frame() -> None:
    relaying = opened(frame_bytes_max=1024 + 2 * 4 * 32)
    assert sent(relaying.verified(OFFER, PLAN, state(9))) == [part(0, 4)]
    taken(relaying, 4)
    assert sent(relaying.due(7)) == [part(4, 8)]


@pytest.mark.parametrize(
    "limits", [{"relay_bytes_max": 0}, {"relay_bytes_max": 31}, {"relay_interval_ms": 10**6}], ids=str
)
def test_nothing_is_relayed_where_the_server_takes_none_or_the_task_is_short(limits: dict[str, int]) -> None:
    assert opened(**limits).verified(OFFER, PLAN, state(9)) == []


def test_nothing_is_relayed_to_a_server_that_names_no_limits() -> None:
    relaying = Relaying(True)
    relaying.opened({})
    assert relaying.verified(OFFER, PLAN, state(9)) == []


@pytest.mark.parametrize("plan", [None, Plan("ab" * 16, "cd" * 16, DEPTH, False)], ids=["none", "unproved"])
def test_nothing_is_relayed_of_what_is_not_proved_or_when_it_is_switched_off(plan: Plan | None) -> None:
    assert opened().verified(OFFER, plan, state(9)) == []
    assert opened(False).verified(OFFER, PLAN, state(9)) == []


def test_a_shallower_plan_is_relayed_where_its_own_is_too_large() -> None:
    relaying = opened(relay_bytes_max=32 << 3)
    [message] = sent(relaying.verified(OFFER, PLAN, state(9)))
    shallow = kept_indices(T, 3)
    assert message.depth == 3
    assert message.residues == encode([RIGHT[PLACES.index(place)] for place in shallow if place <= PLACES[8]], N)


def test_after_a_refusal_and_after_the_end_nothing_more_is_sent() -> None:
    relaying = opened()
    relaying.verified(OFFER, PLAN, state(3))
    relaying.refused(7)
    assert relaying.verified(OFFER, PLAN, state(5)) == relaying.due(7) == relaying.opened(LIMITS) == []
    other = opened()
    other.verified(OFFER, PLAN, state(3))
    other.forget(7)
    assert taken(other, 3) == other.due(7) == []


# what is offered


def test_an_offer_that_lies_farther_is_gone_on_from_and_continued() -> None:
    relaying = opened()
    found = relaying.offered(OFFER, PLAN, 100, offered(4))
    assert found == State(PLACES[3], RIGHT[3], tuple(zip(PLACES[:4], RIGHT[:4], strict=True)))
    assert sent(relaying.verified(OFFER, PLAN, state(6))) == [part(4, 6)]


@pytest.mark.parametrize(("done", "is_used"), [(PLACES[3] - 1, True), (PLACES[3], False), (PLACES[3] + 1, False)])
def test_an_offer_behind_us_is_not_used_and_compared_from_its_start(done: int, is_used: bool) -> None:
    relaying = opened()
    assert (relaying.offered(OFFER, PLAN, done, offered(4)) is not None) == is_used
    assert sent(relaying.verified(OFFER, PLAN, state(6))) == [part(4 if is_used else 0, 6)]


def test_an_offer_of_another_depth_is_continued_at_that_depth() -> None:
    relaying = opened()
    shallow = kept_indices(T, 2)
    push = CheckpointOffered(
        assignment=7, depth=2, residues=encode([RIGHT[PLACES.index(place)] for place in shallow[:2]], N)
    )
    found = relaying.offered(OFFER, PLAN, 0, push)
    assert found is not None
    assert found.done == shallow[1]
    [message] = sent(relaying.verified(OFFER, PLAN, state(len(PLACES))))
    assert (message.depth, message.first) == (2, 2)


def test_an_offer_is_of_no_use_where_nothing_is_proved() -> None:
    unproved = Plan("ab" * 16, "cd" * 16, DEPTH, False)
    assert opened().offered(OFFER, unproved, 0, offered(4)) is None
    assert opened().offered(OFFER, None, 0, offered(4)) is None


@pytest.mark.parametrize(
    "push",
    [
        CheckpointOffered(assignment=7, depth=DEPTH, residues=b"\x01" * 33),
        CheckpointOffered(assignment=7, depth=DEPTH, residues=bytes(32)),
        CheckpointOffered(assignment=7, depth=20, residues=encode(RIGHT[:1], N)),
        CheckpointOffered(assignment=7, depth=1, residues=encode(RIGHT[:3], N)),
    ],
    ids=["length", "zero", "depth", "places"],
)
def test_an_impossible_offer_is_passed_over(push: CheckpointOffered) -> None:
    assert opened().offered(OFFER, PLAN, 0, push) is None


def test_who_does_not_relay_goes_on_from_offers_all_the_same() -> None:
    relaying = opened(False)
    assert relaying.offered(OFFER, PLAN, 0, offered(4)) is not None
    assert relaying.verified(OFFER, PLAN, state(6)) == []
