"""Lines before the writers: a key is served in order, keys side by side, and everything once."""

from __future__ import annotations

import asyncio
import random

import pytest

from vault_server.dispatch.lanes import Lanes

Asked = tuple[str, int]


class Writers:
    """What was written, in the order in which it was, and how many batches at once."""

    def __init__(self, count: int, batch_max: int = 4, ahead: int = 1) -> None:
        self.lanes: Lanes[Asked, int] = Lanes(
            count, ahead, batch_max, self.write, self.conclude, lambda asked: asked[0]
        )
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.written: list[Asked] = []
        self.concluded: list[tuple[list[Asked], int | Exception]] = []
        self.at_once = 0
        self.most_at_once = 0

    async def write(self, batch: list[Asked]) -> int:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await self.may_go_on.wait()
        await asyncio.sleep(random.choice([0, 0, 0.001]))
        self.written += batch
        self.at_once -= 1
        return len(batch)

    def conclude(self, batch: list[Asked], result: int | Exception) -> None:
        self.concluded.append((batch, result))

    def of(self, key: str) -> list[int]:
        return [number for name, number in self.written if name == key]


@pytest.mark.parametrize("count", [1, 4])
async def test_each_key_is_served_in_order_and_everything_once(count: int) -> None:
    writers = Writers(count)
    asked = [(random.choice("abcdefg"), number) for number in range(300)]
    for one in asked:
        writers.lanes.add(one)
        if random.random() < 0.3:
            await asyncio.sleep(0)
    await writers.lanes.stop()
    assert sorted(writers.written) == sorted(asked)
    assert all(writers.of(key) == sorted(writers.of(key)) for key in "abcdefg")
    assert writers.most_at_once <= count
    assert [result for batch, result in writers.concluded] == [len(batch) for batch, _ in writers.concluded]
    assert max(len(batch) for batch, _ in writers.concluded) <= 4


async def test_one_writer_takes_all_that_has_arrived_in_the_order_of_arrival() -> None:
    writers = Writers(1, batch_max=100)
    for number in range(10):
        writers.lanes.add(("ab"[number % 2], number))
    await writers.lanes.stop()
    assert [batch for batch, _ in writers.concluded] == [[("ab"[number % 2], number) for number in range(10)]]


async def test_keys_are_served_side_by_side_and_a_key_never_overtakes_itself() -> None:
    writers = Writers(3)
    writers.may_go_on.clear()
    for key in "abc":
        writers.lanes.add((key, 1))
    await asyncio.sleep(0.01)
    assert writers.at_once == 3
    writers.lanes.add(("d", 1))
    writers.lanes.add(("d", 2))
    writers.lanes.add(("a", 2))
    await asyncio.sleep(0.01)
    assert writers.at_once == 3
    writers.may_go_on.set()
    await writers.lanes.stop()
    assert (writers.of("a"), writers.of("d")) == ([1, 2], [1, 2])
    assert writers.lanes._places == {}


async def test_a_writer_that_takes_several_at_once_gets_each_turns_worth_at_once_and_all_in_order() -> None:
    writers = Writers(1, batch_max=3, ahead=2)
    writers.may_go_on.clear()
    for number in range(2):
        writers.lanes.add(("a", number))
    await asyncio.sleep(0.01)
    for number in range(2, 9):
        writers.lanes.add(("a", number))
    await asyncio.sleep(0.01)
    assert writers.at_once == 2
    writers.may_go_on.set()
    await writers.lanes.stop()
    assert [[number for _, number in batch] for batch, _ in writers.concluded] == [
        [0, 1],
        [2, 3, 4],
        [5, 6, 7],
        [8],
    ]


async def test_what_is_nobodys_goes_where_there_is_room() -> None:
    writers = Writers(2)
    writers.may_go_on.clear()
    for number in range(2):
        writers.lanes.add(("", number))
    await asyncio.sleep(0.01)
    assert writers.at_once == 2
    writers.may_go_on.set()
    await writers.lanes.stop()


async def test_a_writer_that_breaks_its_promise_is_told_of_and_goes_on() -> None:
    writers = Writers(2)

    async def fail(_batch: list[Asked]) -> int:
        raise ZeroDivisionError

    for lane in writers.lanes._lanes:
        lane._write = fail
    writers.lanes.add(("a", 1))
    await asyncio.sleep(0.01)
    for lane in writers.lanes._lanes:
        lane._write = writers.write
    writers.lanes.add(("a", 2))
    await writers.lanes.stop()
    assert isinstance(writers.concluded[0][1], ZeroDivisionError)
    assert writers.of("a") == [2]
