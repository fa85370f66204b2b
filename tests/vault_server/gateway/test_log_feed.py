"""The log's last lines, and what becomes of a reader that is too slow for them."""

from __future__ import annotations

import asyncio
import json
import threading

import pytest

from vault_server.gateway.log_feed import LogFeed
from vault_server.gateway.pace import SECONDS, Pace
from vault_server.recent_lines import RecentLines


async def taken(feed: LogFeed) -> list[bytes]:
    return (await asyncio.wait_for(anext(feed), 5)).splitlines()


def test_the_oldest_lines_give_way() -> None:
    recent = RecentLines(lines_max=3)
    recent.add([b"1", b"2"])
    recent.add([b"3", b"4"])
    for earlier, lines in [(0, []), (1, [b"4"]), (3, [b"2", b"3", b"4"]), (100, [b"2", b"3", b"4"])]:
        seen: list[bytes] = []
        recent.follow(seen.append, earlier)
        assert seen == lines


def test_who_follows_gets_each_line_until_it_leaves() -> None:
    recent = RecentLines()
    seen: list[bytes] = []
    follower = seen.append
    recent.follow(follower, 0)
    recent.add([b"1"])
    recent.leave(follower)
    recent.add([b"2"])
    assert seen == [b"1"]


async def test_a_feed_that_has_left_gets_nothing_more() -> None:
    recent, feed = RecentLines(), LogFeed(asyncio.get_running_loop(), 1000)
    recent.follow(feed.put, 0)
    recent.leave(feed.put)
    recent.add([b"1"])
    feed.put(b"2")
    assert await taken(feed) == [b"2"]


async def test_lines_come_from_any_thread() -> None:
    feed = LogFeed(asyncio.get_running_loop(), 1000)
    threading.Thread(target=feed.put, args=(b"a",)).start()
    assert await taken(feed) == [b"a"]
    feed.put(b"b")
    feed.put(b"c")
    assert await taken(feed) == [b"b", b"c"]


async def test_what_is_not_taken_in_time_is_dropped_and_counted() -> None:
    feed = LogFeed(asyncio.get_running_loop(), 10)
    for line in (b"1234", b"5678", b"x", b"y"):  # with their ends: 10 bytes, then 2 too many each
        feed.put(line)
    first, second, dropped = await taken(feed)
    assert (first, second) == (b"1234", b"5678")
    told = json.loads(dropped)
    assert (told["event"], told["lines"], told["level"]) == ("tail.dropped", 2, "warning")
    feed.put(b"z")
    assert await taken(feed) == [b"z"]


async def test_what_waits_at_the_end_is_still_given() -> None:
    feed = LogFeed(asyncio.get_running_loop(), 1000)
    feed.put(b"last")
    feed.end()
    assert [lines async for lines in feed] == [b"last\n"]


def test_a_rate_is_the_mean_of_the_last_whole_seconds() -> None:
    now = [100.5]
    pace = Pace(lambda: now[0])
    for now[0] in (100.6, 101.2, 101.9):
        pace.count(["x"])
    now[0] = 102.1
    assert pace.rates() == {"x": 1.5}
    now[0] = 111.0
    assert pace.rates() == {"x": round(2 / SECONDS, 2)}
    now[0] = 112.0
    assert pace.rates() == {}


def test_what_happens_in_this_second_is_not_counted_yet() -> None:
    pace = Pace(lambda: 100.0)
    pace.count(["x"])
    assert pace.rates() == {}


def test_a_log_in_another_shape_is_kept_as_json() -> None:
    recent = RecentLines()
    seen: list[bytes] = []
    recent.follow(seen.append, 0)
    render = recent.beside(lambda _logger, _name, event: f"pretty {event['event']}")
    with pytest.raises(ValueError) as caught:
        raise ValueError("why")
    event = {"event": "x.failed", "task": "1", "exc_info": caught.value}
    assert render(None, "error", event) == "pretty x.failed"
    [line] = map(json.loads, seen)
    assert (line["event"], line["task"]) == ("x.failed", "1")
    assert line["exception"].endswith("ValueError: why")
