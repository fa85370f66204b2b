"""Progress at a bounded rate: the first at once, then the newest of each interval; the last one always arrives."""

from __future__ import annotations

import asyncio

from protocol.envelope import Message
from protocol.errors import MessageError
from protocol.vault import TaskProgress
from tests.vault_server.dispatch.conftest import eventually
from tests.vault_server.people import client
from vault_server.core.operation import Caller, Endpoint, Relay
from vault_server.gateway.relays import Relays
from vault_server.gateway.roster import Roster

ANN, BOB = client("ann"), client("bob")
INTERVAL_MS = 40
ONE, OTHER = "1" * 32, "2" * 32


class Screen:
    """A connection that keeps what it is shown, and when."""

    def __init__(self, roster: Roster, caller: Caller) -> None:
        self.shown: list[tuple[str, int]] = []
        self.times: list[float] = []
        roster.add(caller, self, exclusive=False)

    def signal(self, message: Message) -> None:
        assert isinstance(message, TaskProgress)
        self.shown.append((message.task, message.done))
        self.times.append(asyncio.get_running_loop().time())

    def close(self, code: int, reason: str) -> None:
        raise AssertionError("a relay ends nothing")

    def banish(self, refusal: MessageError) -> None:
        raise AssertionError("a relay ends nothing")


def progress(done: int, task: str = ONE, to: Caller = ANN, topic: bool = True) -> Relay:
    message = TaskProgress(task=task, done=done, total=1000)
    return Relay(to.subject, Endpoint.CLIENT, message, topic=task if topic else None)


async def test_the_first_comes_at_once_and_of_a_burst_the_last() -> None:
    roster = Roster()
    relays, screen = Relays(INTERVAL_MS, roster), Screen(roster, ANN)
    for done in range(1, 11):
        relays.pass_on(progress(done))
    assert screen.shown == [(ONE, 1)]
    await eventually(lambda: len(screen.shown) == 2)
    assert screen.shown[1] == (ONE, 10)
    relays.pass_on(progress(11))
    assert len(screen.shown) == 2, "its turn has not come"
    await eventually(lambda: len(screen.shown) == 3)
    assert screen.shown[2] == (ONE, 11)
    gaps = [after - before for before, after in zip(screen.times, screen.times[1:], strict=False)]
    assert min(gaps) >= INTERVAL_MS / 1000 - 0.002, "the loop's clock is that exact"


async def test_tasks_and_receivers_do_not_wait_for_each_other() -> None:
    roster = Roster()
    relays, ann, bob = Relays(60_000, roster), Screen(roster, ANN), Screen(roster, BOB)
    for relay in (progress(1), progress(1, OTHER), progress(1, to=BOB), progress(2)):
        relays.pass_on(relay)
    assert ann.shown == [(ONE, 1), (OTHER, 1)]
    assert bob.shown == [(ONE, 1)]


async def test_without_a_topic_or_an_interval_everything_is_passed_on() -> None:
    roster = Roster()
    screen = Screen(roster, ANN)
    for relays, topic in ((Relays(60_000, roster), False), (Relays(0, roster), True)):
        for done in (1, 2):
            relays.pass_on(progress(done, topic=topic))
    assert screen.shown == 2 * [(ONE, 1), (ONE, 2)]


async def test_what_nobody_was_there_to_see_holds_up_nothing() -> None:
    roster = Roster()
    relays = Relays(60_000, roster)
    relays.pass_on(progress(1))
    screen = Screen(roster, ANN)
    relays.pass_on(progress(2))
    assert screen.shown == [(ONE, 2)]


async def test_so_many_topics_at_once_and_one_more_is_dropped() -> None:
    roster = Roster()
    relays, screen = Relays(60_000, roster, topics_max=2), Screen(roster, ANN)
    for number in range(3):
        relays.pass_on(progress(1, task=f"{number:032}"))
    assert [task for task, _ in screen.shown] == [f"{number:032}" for number in range(2)]
