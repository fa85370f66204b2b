"""Who waits for a password: one at a time, addresses in turn, few, and nobody who has left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from starlette.requests import ClientDisconnect

from protocol.errors import Code, MessageError
from vault_server.web.hive.pages.password_queue import WAITING_MAX, WAITING_OF_ADDRESS_MAX, PasswordQueue


class People:
    """They come to one queue, and stay inside until they are let go on."""

    def __init__(self) -> None:
        self.queue = PasswordQueue()
        self.may_go_on = asyncio.Event()
        self.first_is_served = asyncio.Event()
        self.served: list[str] = []
        self.left: set[str] = set()

    async def come(self, name: str) -> None:
        """`name`: the address, and one letter behind it."""

        async def has_left() -> bool:
            return name in self.left

        async with self.queue.turn(name[:-1], has_left):
            await self.may_go_on.wait()
            self.served.append(name)
            self.first_is_served.set()

    async def all_come(self, *names: str) -> list[asyncio.Task[None]]:
        """One after the other, until each waits or is inside."""
        tasks = []
        for name in names:
            tasks.append(asyncio.create_task(self.come(name)))
            await asyncio.sleep(0)
        return tasks

    async def go_on(self, tasks: list[asyncio.Task[None]]) -> list[BaseException | None]:
        self.may_go_on.set()
        return await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)


async def test_addresses_take_turns() -> None:
    people = People()
    tasks = await people.all_come("xa", "xb", "xc", "xd", "ya", "za", "yb")
    assert await people.go_on(tasks) == [None] * 7
    assert people.served == ["xa", "xb", "ya", "za", "xc", "yb", "xd"]
    assert len(people.queue) == 0


async def test_as_many_of_one_address_wait_as_may() -> None:
    people = People()
    tasks = await people.all_come("xa", *(f"x{letter}" for letter in "bcde"[:WAITING_OF_ADDRESS_MAX]))
    assert len(people.queue) == WAITING_OF_ADDRESS_MAX
    with pytest.raises(MessageError) as caught:
        await people.come("xz")
    assert (caught.value.code, caught.value.retry_after_ms) == (Code.UNAVAILABLE, 1000)
    assert caught.value.message == f"Of your address {WAITING_OF_ADDRESS_MAX} logins and registrations wait already."
    tasks += await people.all_come("ya")
    assert set(await people.go_on(tasks)) == {None}
    await people.come("xz")


async def test_as_many_wait_as_may() -> None:
    people = People()
    tasks = await people.all_come("ia", *(f"{number}a" for number in range(WAITING_MAX)))
    assert len(people.queue) == WAITING_MAX
    with pytest.raises(MessageError) as caught:
        await people.come("za")
    assert (caught.value.code, caught.value.retry_after_ms) == (Code.UNAVAILABLE, 1000)
    assert caught.value.message == "Too many people log in or register at this moment."
    assert set(await people.go_on(tasks)) == {None}
    assert len(people.served) == WAITING_MAX + 1
    await people.come("za")


async def test_whoever_has_left_is_passed_over() -> None:
    people = People()
    tasks = await people.all_come("xa", "xb", "ya", "yb")
    people.left |= {"xb", "ya"}
    ends = await people.go_on(tasks)
    assert [type(end) for end in ends] == [type(None), ClientDisconnect, ClientDisconnect, type(None)]
    assert people.served == ["xa", "yb"]
    await people.come("xc")


GONE: dict[str, Callable[[list[asyncio.Task[None]]], None]] = {
    "while he waits": lambda tasks: void(tasks[1].cancel()),
    "while he is inside": lambda tasks: void(tasks[0].cancel()),
    "all but the last": lambda tasks: void([task.cancel() for task in tasks[:-1]]),
}


def void(_: object) -> None:
    """Nothing of it matters."""


@pytest.mark.parametrize("when", GONE)
async def test_whoever_is_cancelled_holds_up_nobody(when: str) -> None:
    people = People()
    tasks = await people.all_come("xa", "xb", "ya")
    GONE[when](tasks)
    await people.go_on(tasks)
    assert people.served[-1] in ("xb", "ya")
    assert [task.cancelled() for task in tasks].count(False) == len(people.served)
    await people.come("za")


async def test_whoever_is_cancelled_just_when_it_is_his_turn_passes_it_on() -> None:
    people = People()
    tasks = await people.all_come("xa", "xb", "ya")
    people.may_go_on.set()
    await people.first_is_served.wait()  # its waiter runs before the one whose turn it is now
    tasks[1].cancel()
    await people.go_on(tasks)
    assert people.served == ["xa", "ya"]
    await people.come("za")


async def test_a_failure_inside_passes_the_turn_on() -> None:
    people = People()

    async def stays() -> bool:
        return False

    with pytest.raises(ZeroDivisionError):
        async with people.queue.turn("x", stays):
            raise ZeroDivisionError
    people.may_go_on.set()
    await people.come("xa")
    assert people.served == ["xa"]
