"""What a solver relays, when, and what it makes of a checkpoint that it is offered. No socket, no clock."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from protocol.envelope import Envelope
from protocol.proof import Proof, Statement, verify
from protocol.prover import kept_indices
from protocol.puzzle import Puzzle, make_modulus
from protocol.relay import encode
from protocol.session import Error
from protocol.vault import CheckpointOffered, CheckpointTaken, PuzzleOffered, RelayCheckpoint
from vault_solver.agent import Agent
from vault_solver.effects import Acknowledge, Effect, Note, Request, Retry, Start, Stop
from vault_solver.pipe import Line, Misproved, Solve, Solved, Verified
from vault_solver.plan import Plan, Planner
from vault_solver.relaying import Relaying
from vault_solver.solving import Solving
from vault_solver.squaring import CHECK_SECONDS, gmp_square
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


# what a wrong one costs


def solved_from(start: State) -> tuple[Line, list[Line]]:
    """A worker's last word on the puzzle when it goes on from there, and those before."""
    said: list[Line] = []
    job = Solve(7, T, 3, N, start, PLAN)
    return Solving(job, said.append, lambda _: None, gmp_square, CHECK_SECONDS).run(), said


def is_right(last: Line) -> bool:
    statement = Statement(Puzzle(T, 3, N), PLAN.task, PLAN.solver)
    assert isinstance(last, Solved)
    assert last.answer == TRAPDOOR.power(3, T)
    return verify(statement, Proof.decode(last.proof, statement.puzzle)) == last.answer


def test_a_right_checkpoint_is_proved_as_if_it_were_its_own() -> None:
    last, said = solved_from(State(PLACES[7], RIGHT[7], tuple(zip(PLACES[:8], RIGHT[:8], strict=True))))
    assert is_right(last)
    assert not any(isinstance(line, Misproved) for line in said)


def test_what_does_not_follow_is_computed_again_before_anything_is_answered() -> None:
    wrong = [*RIGHT[:7], RIGHT[7] * 2 % N]
    last, said = solved_from(State(PLACES[7], wrong[7], tuple(zip(PLACES[:8], wrong, strict=True))))
    assert is_right(last)
    [again] = [said[place + 1] for place, line in enumerate(said) if isinstance(line, Misproved)]
    assert isinstance(again, Verified)
    assert again.state.done == PLACES[6]


def test_errors_that_cancel_are_left_behind_by_beginning_at_zero() -> None:
    """The server's check does not let them pass; whoever got past it would gain nothing."""
    gap = PLACES[7] - PLACES[6]
    first = RIGHT[6] * 2 % N
    second = pow(first, 1 << gap, N) * pow(2, -1, N) % N
    wrong = [*RIGHT[:6], first, second]
    last, said = solved_from(State(PLACES[7], second, tuple(zip(PLACES[:8], wrong, strict=True))))
    assert is_right(last)
    after = [said[place + 1] for place, line in enumerate(said) if isinstance(line, Misproved)]
    assert [line.state.done for line in after if isinstance(line, Verified)] == [PLACES[-1], 0]


# in the agent's hands


def envelope(push: CheckpointOffered) -> Envelope:
    return Envelope(push, seq=40)


def test_the_agent_stops_and_starts_again_from_there() -> None:
    agent = Agent(capacity=1, workers=1, speeds={"512": 1_000_000})
    agent.opened(LIMITS)
    agent.pushed(Envelope(OFFER, seq=39))
    effects = agent.pushed(envelope(offered(4, depth=4)))
    assert effects[0] == Note("checkpoint.taken_over", {"assignment": 7, "percent": 25.0})
    stop, begin, done = effects[1:]
    assert (stop, done) == (Stop(7), Acknowledge(40))
    assert isinstance(begin, Start)
    assert begin.job.state is not None
    assert begin.job.state.done == kept_indices(T, 4)[3]
    assert agent.in_hand[0].done == begin.job.state.done


def test_what_has_not_begun_begins_there() -> None:
    agent = Agent(capacity=2, workers=1, speeds={"512": 1_000_000})
    agent.pushed(Envelope(replace(OFFER, assignment=6), seq=38))
    agent.pushed(Envelope(OFFER, seq=39))
    assert [type(effect) for effect in agent.pushed(envelope(offered(4)))] == [Note, Acknowledge]
    started = [effect for effect in agent.reported(Solved(6, 5, b"a proof")) if isinstance(effect, Start)]
    assert started[0].job.state is not None


def test_an_offer_for_nothing_in_hand_is_passed_over() -> None:
    agent = Agent(capacity=1, workers=1, speeds={"512": 1_000_000})
    assert agent.pushed(envelope(offered(4))) == [Acknowledge(40)]


def test_a_refused_checkpoint_costs_no_assignment_and_an_early_one_waits() -> None:
    planner = Planner(kept_bytes_max=32 << DEPTH)
    agent = Agent(capacity=1, workers=1, speeds={"512": 1_000_000}, planner=planner)
    agent.opened(LIMITS)
    agent.pushed(Envelope(OFFER, seq=39))
    [request] = sent(agent.reported(Verified(7, state(3))))
    early = Error(code="CHECKPOINT_EARLY", message="too soon", suggestion="wait", retryable=True, retry_after_ms=70)
    _, retry = agent.replied(request, early)
    assert retry == Retry(request, 0.07)
    assert sent(agent.due(request)) == [request]
    final = Error(code="CHECKPOINT_REFUSED", message="no", suggestion="go on", retryable=False)
    assert [type(effect) for effect in agent.replied(request, final)] == [Note]
    assert agent.holding == 1
    assert agent.reported(Verified(7, state(4))) == []
