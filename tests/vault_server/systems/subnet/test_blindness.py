"""A voter who tries everything to tell the validator's completion from the miner's, and learns nothing."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from protocol import subnet as wire
from protocol.codec import Codec
from protocol.envelope import Envelope
from protocol.errors import MessageError
from tests.vault_server.people import participant
from tests.vault_server.systems.subnet.harness import (
    ANN,
    ANSWER,
    BOB,
    HAL,
    METADATA,
    MIA,
    REFERENCE,
    VAL,
    WINDOW_MS,
    Subnet,
)
from vault_server.core.operation import Caller

FOUND_OUT = {
    "validator_hotkey", "assigned_miner_hotkey", "submitted_by", "validator_completion", "miner_completion",
    "validator_completion_id", "chosen_completion_id", "created_at", "submitted_at", "expire_at", "task_metadata",
    "hotkey", "contributor_hotkey",
}  # fmt: skip
"""What would give it away, or help to."""

TEXT = Codec(binary=False, reads={}, strict=False, frame_bytes_max=1 << 20)


def told(message: Any) -> dict[str, Any]:
    """What a message says: its fields that are there."""
    return {
        field.name: value
        for field in dataclasses.fields(message)
        if (value := getattr(message, field.name)) is not None
    }


async def everything(subnet: Subnet, voter: Caller, task: int) -> list[Any]:
    """Every reply and refusal that this voter can get about the task, and every push that waits for him."""
    orders = [
        wire.GetTask(task_id=task),
        *(wire.ListTasks(role=role, status="submitted") for role in wire.LIST_ROLES),
        *(wire.ListTasks(role=role, limit=1) for role in wire.LIST_ROLES),
        wire.ListVotes(task_id=task),
        wire.SubmitCompletion(task_id=task, completion=REFERENCE),
        wire.SubmitCompletion(task_id=task, completion=ANSWER),
        wire.CancelTask(task_id=task),
        *(wire.Vote(task_id=task, chosen=label, against=label) for label in "ab"),
        wire.AskScoreHistory(),
    ]
    got: list[Any] = []
    for order in orders:
        try:
            got.append(await subnet.give(voter, order))
        except MessageError as refusal:
            got.append((refusal.code, refusal.message, refusal.suggestion, refusal.retry_after_ms))
    return [*got, *await subnet.pushes(voter)]


def written(said: Any) -> str:
    """As it goes over the wire."""
    return repr(said) if isinstance(said, tuple) else TEXT.encode(Envelope(said)).decode()


def without_numbers(text: str) -> str:
    """Two tasks have different ids and times, and nothing else."""
    return re.sub(r"\d+", "#", text)


async def test_nothing_a_voter_is_told_names_an_author_or_a_time(subnet: Subnet) -> None:
    await subnet.register(VAL, MIA, ANN, BOB)
    task = await subnet.submitted()
    for said in await everything(subnet, ANN, task):
        if isinstance(said, tuple):
            assert not any(who.hotkey in str(said) for who in (VAL, MIA))
            continue
        fields = told(said)
        if isinstance(said, wire.ScoreChanges):
            assert fields["hotkey"] == ANN.hotkey
            continue
        assert not FOUND_OUT & fields.keys()
        for line in fields.get("tasks", ()):
            assert told(line).keys() == {"task_id", "task_type", "status", "voting_closes_at", "voted"}
    [asked] = [push for push in await subnet.pushes(ANN) if isinstance(push, wire.VoteRequested)]
    assert told(asked).keys() == {"task_id", "task_type", "voting_closes_at", "prompt", "a", "b"}
    shown = told(await subnet.shown(task, ANN))
    assert shown.keys() == {"task_id", "task_type", "status", "voting_closes_at", "prompt", "a", "b"}


async def test_a_voter_sees_the_same_whoever_wrote_which(subnet: Subnet) -> None:
    """Of two texts the validator writes one and the miner the other, or the other way round. All that a voter is told
    of either task depends on the labels alone, and both authors come under both labels."""
    await subnet.register(VAL, MIA, ANN, BOB)
    seen: dict[tuple[str, str], list[str]] = {}
    for number in range(16):
        reference, answer = (REFERENCE, ANSWER) if number % 2 else (ANSWER, REFERENCE)
        task = await subnet.create(validator_completion=reference)
        await subnet.submit(task, MIA, answer)
        shown = await subnet.shown(task, ANN)
        assert {shown.a, shown.b} == {REFERENCE, ANSWER}
        said = [without_numbers(written(each)) for each in await everything(subnet, ANN, task)]
        author_of_a = "validator" if shown.a == reference else "miner"
        assert seen.setdefault((str(shown.a), author_of_a), said) == said
        for who in (ANN, BOB):
            await subnet.vote(task, who, "miner")
        await subnet.wait(WINDOW_MS)
        await subnet.acknowledge(ANN, BOB, VAL, MIA)
        subnet.now_ms += 1
    assert len(seen) == 4, "both texts by both authors have stood under label a"
    for text in (REFERENCE, ANSWER):
        assert seen[text, "validator"] == seen[text, "miner"]


async def test_the_labels_of_voters_and_tasks_are_independent(subnet: Subnet) -> None:
    """Over many voters and tasks the reference is `a` about as often as `b`, in no pattern that one could follow."""
    labels = [
        [subnet.parts.reference_label(task, participant(f"voter {number}").hotkey) for number in range(40)]
        for task in range(1, 41)
    ]
    flat = [label for row in labels for label in row]
    assert 640 < flat.count("a") < 960
    assert len({tuple(row) for row in labels}) == 40
    assert len({tuple(column) for column in zip(*labels, strict=True)}) == 40


async def test_the_order_is_the_same_each_time_and_after_a_restart(subnet: Subnet) -> None:
    await subnet.register(VAL, MIA, ANN, BOB)
    task = await subnet.submitted()
    seen = [(shown.a, shown.b) for shown in [await subnet.shown(task, ANN) for _ in range(5)]]
    [asked] = await subnet.pushes(ANN)
    assert isinstance(asked, wire.VoteRequested)
    await subnet.restart()
    seen += [(asked.a, asked.b)]
    seen += [(shown.a, shown.b) for shown in [await subnet.shown(task, ANN)]]
    assert len(set(seen)) == 1


async def test_how_a_text_was_written_says_nothing(subnet: Subnet) -> None:
    """Both come in the one canonical form: the door has seen to it before the operations see them."""
    await subnet.register(VAL, MIA, ANN)
    field = wire.COMPLETION
    reference = field.parse("validator_completion", ' {"b": 1,\n "a": "x"}', True)
    answer = field.parse("completion", '{"a":"y","b":2}', True)
    task = await subnet.create(validator_completion=reference)
    await subnet.submit(task, MIA, answer)
    shown = await subnet.shown(task, ANN)
    assert {shown.a, shown.b} == {'{"a":"x","b":1}', '{"a":"y","b":2}'}


async def test_a_trap_does_not_show(subnet: Subnet) -> None:
    await subnet.register(VAL, MIA, ANN, BOB)
    await subnet.link()
    metadata = '{"negative_completion":"validator","prompt":"say something"}'
    task = await subnet.create(task_metadata=metadata)
    for who in (MIA, HAL):
        assert (await subnet.shown(task, who)).task_metadata == METADATA
        [assigned] = [push for push in await subnet.pushes(who) if isinstance(push, wire.TaskAssigned)]
        assert assigned.task_metadata == METADATA
    await subnet.submit(task)
    for said in await everything(subnet, ANN, task):
        assert "negative" not in written(said)
    await subnet.vote(task, ANN, "validator")
    await subnet.vote(task, BOB, "miner")
    await subnet.wait(WINDOW_MS)
    assert (await subnet.shown(task, BOB)).task_metadata == metadata, "afterwards everybody may know"
    assert await subnet.history(ANN) == [(-0.4, "discriminator_chose_negative")]
    assert await subnet.history(BOB) == await subnet.history(MIA) == []


async def test_a_trap_without_a_prompt_does_not_show_either(subnet: Subnet) -> None:
    await subnet.register(VAL, MIA, ANN)
    task = await subnet.submitted(task_metadata='{"negative_completion":"miner","topic":"tea"}')
    assert (await subnet.shown(task, ANN)).prompt == '{"topic":"tea"}'


async def test_the_reply_to_a_vote_is_the_same_for_either_side(subnet: Subnet) -> None:
    await subnet.register(VAL, MIA, ANN, BOB)
    task = await subnet.submitted()
    replies = [await subnet.vote(task, ANN, side) for side in ("validator", "miner")]
    assert {(reply.task_id, reply.weight, reply.voting_closes_at) for reply in replies} == {
        (task, 0.5, replies[0].voting_closes_at)
    }
    shown = await subnet.shown(task, ANN)
    assert shown.voted == replies[1].chosen


async def test_other_votes_do_not_show_before_the_end(subnet: Subnet) -> None:
    await subnet.register(VAL, MIA, ANN, BOB)
    task = await subnet.submitted()
    before = [written(said) for said in await everything(subnet, ANN, task)]
    await subnet.vote(task, BOB, "miner")
    assert [written(said) for said in await everything(subnet, ANN, task)] == before
    for who in (VAL, MIA):
        assert "vote" not in written(await subnet.shown(task, who)).replace("voting_closes_at", "")


async def test_large_completions_are_fetched(subnet: Subnet) -> None:
    await subnet.register(VAL, MIA, ANN)
    large = f'"{"x" * wire.INLINE_BYTES_MAX}"'
    task = await subnet.create(task_metadata=f'{{"prompt":{large}}}')
    [assigned] = await subnet.pushes(MIA)
    assert isinstance(assigned, wire.TaskAssigned)
    assert assigned.task_metadata is None
    assert (await subnet.shown(task, MIA)).task_metadata == f'{{"prompt":{large}}}'
    await subnet.submit(task)
    [asked] = [push for push in await subnet.pushes(ANN) if isinstance(push, wire.VoteRequested)]
    assert told(asked).keys() == {"task_id", "task_type", "voting_closes_at"}
    assert (await subnet.shown(task, ANN)).prompt == large


async def test_exactly_as_much_as_a_push_carries(subnet: Subnet) -> None:
    await subnet.register(VAL, MIA, ANN)
    prompt = '"say something"'
    left = wire.INLINE_BYTES_MAX - len(prompt) - len(ANSWER) - 2
    for more, fits in ((0, True), (1, False)):
        task = await subnet.submitted(validator_completion=f'"{"x" * (left + more)}"')
        [asked] = [
            push for push in await subnet.pushes(ANN) if isinstance(push, wire.VoteRequested) and push.task_id == task
        ]
        assert (asked.a is not None) is fits
