"""Orders in, replies out: checks off the loop, refusals, defects, a disk that cannot be written, and the end."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from protocol.envelope import Message
from protocol.errors import Code, MessageError
from tests.vault_server.dispatch.conftest import (
    ANN,
    OPERATIONS,
    CheckFirst,
    Effects,
    Refuse,
    Stumble,
    WriteNote,
    allow_writing,
    eventually,
    forbid_writing,
    reply,
)
from tests.vault_server.people import client
from tests.vault_server.storage.rows import numbers
from vault_server.clock import Clock
from vault_server.core.operation import Caller, LogEvent
from vault_server.dispatch.dispatcher import Dispatcher
from vault_server.dispatch.router import Router
from vault_server.settings import Settings
from vault_server.storage.database import Database

Log = list[MutableMapping[str, Any]]


async def refused(dispatcher: Dispatcher, order: object) -> MessageError:
    with pytest.raises(MessageError) as caught:
        await dispatcher.call(ANN, order)
    return caught.value


async def test_a_reply_comes_when_it_is_on_disk(dispatcher: Dispatcher, notes: Database) -> None:
    assert await dispatcher.call(ANN, WriteNote(1)) == reply(1)
    assert await numbers(notes) == [1]


async def test_a_burst_larger_than_a_batch_is_answered_in_order(
    dispatcher: Dispatcher, notes: Database, effects: Effects
) -> None:
    answered: list[Message | None] = []
    for number in range(10):
        dispatcher.submit(ANN, WriteNote(number), lambda message, _refusal: answered.append(message))
    await dispatcher.call(ANN, WriteNote(10))
    assert answered == [reply(number) for number in range(10)]
    assert await numbers(notes) == list(range(11))
    assert effects == [LogEvent("note.written", {"number": number}) for number in range(11)]


async def test_a_refusal_is_told_and_leaves_nothing(dispatcher: Dispatcher, notes: Database, effects: Effects) -> None:
    results = await asyncio.gather(
        *(dispatcher.call(ANN, order) for order in (WriteNote(1), Refuse(), WriteNote(2))), return_exceptions=True
    )
    assert results[0] == reply(1)
    assert isinstance(results[1], MessageError)
    assert results[1].code is Code.TASK_ENDED
    assert results[2] == reply(2)
    assert await numbers(notes) == [1, 2]
    assert [effect.fields["number"] for effect in effects if isinstance(effect, LogEvent)] == [1, 2]


async def test_a_defect_is_logged_and_told_without_its_text(dispatcher: Dispatcher, notes: Database, log: Log) -> None:
    refusal = await refused(dispatcher, Stumble())
    assert refusal.code is Code.INTERNAL
    assert "secret" not in str(refusal)
    assert [(line["event"], line["order"]) for line in log] == [("operation.failed", "Stumble")]
    assert await dispatcher.call(ANN, WriteNote(1)) == reply(1)
    assert await numbers(notes) == [1]


async def test_storage_that_fails_is_told_and_logged_and_tried_again_by_the_next(
    dispatcher: Dispatcher, notes: Database, log: Log, effects: Effects
) -> None:
    await forbid_writing(notes)
    refusal = await refused(dispatcher, WriteNote(1))
    assert refusal.code is Code.UNAVAILABLE
    assert refusal.retry_after_ms is not None
    assert [line["event"] for line in log if line["event"] != "hints.interrupted"] == ["storage.failed"]
    assert effects == []
    await allow_writing(notes)
    assert await dispatcher.call(ANN, WriteNote(1)) == reply(1)
    assert await numbers(notes) == [1]


@pytest.mark.parametrize(("claimed", "expected"), [(True, [1]), (False, [])])
async def test_a_guard_decides_in_the_same_transaction(
    dispatcher: Dispatcher, notes: Database, claimed: bool, expected: list[int]
) -> None:
    assert await dispatcher.call(ANN, WriteNote(1), lambda _tx: claimed) == (reply(1) if claimed else None)
    assert await numbers(notes) == expected


async def test_a_receiver_that_fails_does_not_stop_the_others(dispatcher: Dispatcher, log: Log) -> None:
    def fail(_message: Message | None, _refusal: MessageError | None) -> None:
        raise LookupError("gone")

    dispatcher.submit(ANN, WriteNote(1), fail)
    assert await dispatcher.call(ANN, WriteNote(2)) == reply(2)
    assert [line["event"] for line in log] == ["reply.failed"]


async def test_who_pushes_is_told_in_the_same_turn_before_the_replies(settings: Settings, notes: Database) -> None:
    told: list[str] = []

    def concluding() -> None:
        told.append("concluding")
        asyncio.get_running_loop().call_soon(told.append, "next turn")

    dispatcher = Dispatcher(
        settings,
        Clock(),
        notes,
        Router(OPERATIONS),
        lambda _effects: told.append("effects"),
        concluding,
    )
    await dispatcher.start()
    dispatcher.submit(ANN, WriteNote(1), lambda _reply, _refusal: told.append("reply"))
    await dispatcher.stop()
    await asyncio.sleep(0)
    assert told == ["concluding", "reply", "effects", "next turn"]


async def test_a_caller_that_has_stopped_waiting_is_no_trouble(dispatcher: Dispatcher, notes: Database) -> None:
    calling = asyncio.create_task(dispatcher.call(ANN, WriteNote(1)))
    await asyncio.sleep(0)
    calling.cancel()
    assert await dispatcher.call(ANN, WriteNote(2)) == reply(2)
    assert await numbers(notes) == [1, 2]


# checks


async def test_a_check_runs_in_a_thread_of_its_own_and_others_do_not_wait(
    dispatcher: Dispatcher, notes: Database
) -> None:
    slow = CheckFirst(1)
    checking = asyncio.create_task(dispatcher.call(ANN, slow))
    assert await dispatcher.call(ANN, WriteNote(2)) == reply(2)
    assert not checking.done()
    slow.may_pass.set()
    assert await checking == reply(1)
    assert slow.thread[0].startswith("check")
    assert await numbers(notes) == [1, 2]


async def test_what_needs_no_check_is_not_checked(dispatcher: Dispatcher) -> None:
    quick = CheckFirst(0)
    assert await dispatcher.call(ANN, quick) == reply(0)
    assert quick.thread == []


async def test_a_check_that_refuses_comes_before_the_transaction(dispatcher: Dispatcher, notes: Database) -> None:
    order = CheckFirst(13)
    order.may_pass.set()
    assert (await refused(dispatcher, order)).code is Code.BASE_OUT_OF_RANGE
    assert await numbers(notes) == []


async def test_checks_that_wait_at_the_limit_and_one_more(dispatcher: Dispatcher, settings: Settings) -> None:
    orders = [CheckFirst(number + 1) for number in range(settings.checks_waiting_max)]
    calling = [asyncio.create_task(dispatcher.call(ANN, order)) for order in orders]
    await eventually(lambda: all(order.thread for order in orders[: settings.check_threads]))
    refusal = await refused(dispatcher, CheckFirst(9))
    assert refusal.code is Code.UNAVAILABLE
    assert refusal.retry_after_ms is not None
    for order in orders:
        order.may_pass.set()
    assert await asyncio.gather(*calling) == [reply(order.number) for order in orders]
    last = CheckFirst(9)
    last.may_pass.set()
    assert await dispatcher.call(ANN, last) == reply(9)


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)  # several writers keep no order between keys
async def test_keys_take_turns_and_one_key_has_a_limit_of_its_own(notes: Database, effects: Effects) -> None:
    settings = Settings(check_threads=1, checks_waiting_per_key_max=3)
    dispatcher = Dispatcher(settings, Clock(), notes, Router(OPERATIONS), effects.carry_out)
    await dispatcher.start()
    first = CheckFirst(1)
    checked: list[int] = []

    async def call(caller: Caller, order: CheckFirst) -> None:
        assert await dispatcher.call(caller, order) == reply(order.number)
        checked.append(order.number)

    many, one = [CheckFirst(number) for number in (2, 3, 4)], CheckFirst(5)
    calling = [asyncio.create_task(call(ANN, order)) for order in (first, *many)]
    calling.append(asyncio.create_task(call(client("bob"), one)))
    await eventually(lambda: first.thread)
    refusal = await refused(dispatcher, CheckFirst(6))
    assert refusal.code is Code.UNAVAILABLE
    for order in (*many, one, first):
        order.may_pass.set()
    await asyncio.gather(*calling)
    await dispatcher.stop()
    assert checked.index(5) < checked.index(3)


# the end


async def test_stop_waits_for_running_checks_alone_and_refuses_the_others(notes: Database, effects: Effects) -> None:
    settings = Settings(check_threads=1)
    dispatcher = Dispatcher(settings, Clock(), notes, Router(OPERATIONS), effects.carry_out)
    await dispatcher.start()
    orders = [CheckFirst(number) for number in (1, 2, 3)]
    calling = [asyncio.create_task(dispatcher.call(ANN, order)) for order in orders]
    await eventually(lambda: orders[0].thread)
    stopping = asyncio.create_task(dispatcher.stop())
    await asyncio.sleep(0)
    assert (await refused(dispatcher, CheckFirst(4))).code is Code.DRAINING
    orders[0].may_pass.set()
    await stopping
    results = await asyncio.gather(*calling, return_exceptions=True)
    assert results[0] == reply(1)
    assert [result.code for result in results[1:] if isinstance(result, MessageError)] == [Code.DRAINING] * 2
    assert not orders[1].thread
    assert await numbers(notes) == [1]


async def test_stop_carries_out_what_has_arrived(dispatcher: Dispatcher, notes: Database) -> None:
    checked = CheckFirst(99)
    calling = [asyncio.create_task(dispatcher.call(ANN, order)) for order in (*map(WriteNote, range(7)), checked)]
    await asyncio.sleep(0)
    stopping = asyncio.create_task(dispatcher.stop())
    await asyncio.sleep(0.02)
    assert not stopping.done()
    checked.may_pass.set()
    await stopping
    assert all(call.done() for call in calling)
    assert await numbers(notes) == [*range(7), 99]
    await dispatcher.stop()
