"""Events wait until they are taken, reach everybody who follows, and never hold up what comes behind them."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from protocol.vault import ComplaintRuled, StandingChanged, TaskProgress
from vault_client.errors import ConnectionEnded
from vault_client.events import PROGRESS_WAITING_MAX, WAITING_MAX, Event, Events

TASK = "ab" * 16
CHANGED = StandingChanged(standing="client", reputation_score=40.0, score_change=-10.0, reason="x")
OVER = ConnectionEnded("Over.", "Open another.")


def ruled(complaint: int, kind: str = "late") -> ComplaintRuled:
    return ComplaintRuled(complaint=complaint, task=TASK, kind=kind, ruling="upheld", reason="It was late.")


class Log:
    """What was acknowledged."""

    def __init__(self) -> None:
        self.seqs: list[int] = []
        self.events = Events(self.acknowledge)

    async def acknowledge(self, seq: int) -> None:
        self.seqs.append(seq)


async def test_what_came_before_somebody_follows_waits_and_ends_when_he_comes_back() -> None:
    log = Log()
    await log.events.hear(CHANGED, 1)
    await log.events.hear(ruled(5), 2)
    async with aclosing(log.events.follow([])) as events:
        assert await anext(events) == CHANGED
        assert log.seqs == []
        assert await anext(events) == ruled(5)
        assert log.seqs == [1]
    async with aclosing(log.events.follow([])) as events:
        assert await anext(events) == ruled(5), "it was given, and nobody came back"


async def test_everybody_who_follows_hears_it_and_it_is_ended_once() -> None:
    log = Log()
    heard: list[Event] = []

    async def follow() -> None:
        async with aclosing(log.events.follow([])) as events:
            heard.extend([await anext(events), await anext(events)])

    following = [asyncio.create_task(follow()) for _ in range(2)]
    await asyncio.sleep(0)
    for seq in (1, 2):
        await log.events.hear(CHANGED, seq)
    await asyncio.gather(*following)
    assert len(heard) == 4
    assert log.seqs == [1]


async def test_too_many_that_nobody_takes_give_way_the_oldest_first() -> None:
    log = Log()
    for seq in range(1, WAITING_MAX + 3):
        await log.events.hear(CHANGED, seq)
    assert log.seqs == [1, 2]


async def test_progress_waits_for_nobody_and_does_not_pile_up() -> None:
    log = Log()
    news = [TaskProgress(task=TASK, done=n, total=10**6) for n in range(2 * PROGRESS_WAITING_MAX)]
    await log.events.hear(news[0], None)
    async with aclosing(log.events.follow([CHANGED])) as events:
        assert await anext(events) == CHANGED
        for item in news:
            await log.events.hear(item, None)
        await log.events.hear(ruled(5), 9)
        seen = [await anext(events) for _ in range(PROGRESS_WAITING_MAX + 1)]
    assert seen[-1] == ruled(5)


async def test_a_ruling_is_found_whether_it_comes_before_or_after_and_ends_its_push_alone() -> None:
    log = Log()
    await log.events.hear(CHANGED, 1)
    await log.events.hear(ruled(5), 2)
    assert await log.events.ruling(TASK, "late", 5) == ruled(5)
    later = asyncio.create_task(log.events.ruling(TASK, "wrong_answer", 6))
    await asyncio.sleep(0)
    await log.events.hear(ruled(7, "wrong_answer"), 3)
    await log.events.hear(ruled(6, "wrong_answer"), 4)
    assert await later == ruled(6, "wrong_answer")
    assert log.seqs == [2, 4]
    assert await log.events.ruling(TASK, "wrong_answer", None) == ruled(6, "wrong_answer"), "the latest of its kind"


async def test_a_ruling_that_a_follower_has_taken_is_still_known_to_its_complaint() -> None:
    log = Log()
    await log.events.hear(ruled(5), 2)
    async with aclosing(log.events.follow([])) as events:
        await anext(events)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(events), 0.01)
        assert log.seqs == [2]
    assert await log.events.ruling(TASK, "late", 5) == ruled(5)


async def test_the_end_of_the_link_ends_whoever_waits() -> None:
    log = Log()
    waiting = asyncio.create_task(log.events.ruling(TASK, "late", 5))
    await asyncio.sleep(0)
    log.events.close(OVER)
    with pytest.raises(ConnectionEnded):
        await waiting
    with pytest.raises(ConnectionEnded):
        async for _ in log.events.follow([]):
            pass
