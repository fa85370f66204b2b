"""A value that is expensive: one gets it for all, it serves for a while, and nobody waits longer than he wants to."""

from __future__ import annotations

import asyncio

import pytest

from vault_server.web.remembered import Remembered


class Well:
    """Gives 1, 2, 3, … once the test lets it."""

    def __init__(self, *, open_: bool = True) -> None:
        self.drawn = 0
        self.is_open = asyncio.Event()
        if open_:
            self.is_open.set()

    async def draw(self) -> int:
        self.drawn += 1
        number = self.drawn
        await self.is_open.wait()
        return number


async def test_many_who_ask_together_get_the_same() -> None:
    well = Well(open_=False)
    remembered = Remembered(well.draw, seconds=60)
    asking = [asyncio.create_task(remembered.value(10)) for _ in range(5)]
    await asyncio.sleep(0)
    well.is_open.set()
    assert await asyncio.gather(*asking) == [1] * 5
    assert await remembered.value(10) == 1


async def test_it_is_got_again_once_it_is_old() -> None:
    well = Well()
    remembered = Remembered(well.draw, seconds=0)
    assert [await remembered.value(10) for _ in range(3)] == [1, 2, 3]


async def test_what_took_long_to_get_serves_longer() -> None:
    async def slowly() -> int:
        await asyncio.sleep(0.05)
        return await well.draw()

    well = Well()
    remembered = Remembered(slowly, seconds=0, times=1000)
    assert [await remembered.value(10) for _ in range(3)] == [1, 1, 1]


async def test_who_will_not_wait_is_told_and_the_getting_goes_on() -> None:
    well = Well(open_=False)
    remembered = Remembered(well.draw, seconds=60)
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await remembered.value(0.01)
    well.is_open.set()
    assert await remembered.value(10) == 1
    assert well.drawn == 1


async def test_one_who_leaves_takes_nothing_from_the_others() -> None:
    well = Well(open_=False)
    remembered = Remembered(well.draw, seconds=60)
    leaving, staying = (asyncio.create_task(remembered.value(10)) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    well.is_open.set()
    assert await staying == 1


async def test_stop_ends_the_getting() -> None:
    well = Well(open_=False)
    remembered = Remembered(well.draw, seconds=60)
    asking = asyncio.create_task(remembered.value(10))
    await asyncio.sleep(0.01)
    for _ in range(2):
        await remembered.stop()
    with pytest.raises(asyncio.CancelledError):
        await asking
