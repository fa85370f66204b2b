"""The subnet over real sockets: the whole way, races, restarts, limits, and a miner who has only read the document."""

from __future__ import annotations

import ast
import asyncio
import sqlite3
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from protocol import subnet as wire
from protocol.errors import Close, Code, MessageError
from protocol.identity import Identity, fingerprint_of
from protocol.vault import StandingChanged
from tests.acceptance.conversation import look_at, refused_message
from tests.conftest import StartServer
from tests.dialling import Dialled, dial
from tests.processes import LoggingProcess, Server

REFERENCE, ANSWER = '"the reference"', '"the answer"'


async def join(
    server: Server, identity: Identity | None = None, *, mining: bool = False, judging: bool = False
) -> Dialled:
    """A participant who is there for this."""
    one = await dial(server.url, wire.SUBNET_PATH, identity)
    await one.ask(wire.Register(mining=mining, judging=judging), wire.Registered)
    return one


def creating(**fields: Any) -> wire.CreateTask:
    return wire.CreateTask(
        **{
            "task_type": "talk",
            "task_metadata": '{"prompt":"say something"}',
            "validator_completion": REFERENCE,
            **fields,
        }
    )


def rows(server: Server, select: str) -> list[tuple[Any, ...]]:
    """What is in the database's file."""
    with closing(sqlite3.connect(f"file:{server.database}?mode=ro", uri=True)) as connection:
        return connection.execute(select).fetchall()


def label_of(asked: wire.VoteRequested, text: str) -> str:
    return "a" if asked.a == text else "b"


async def vote(voter: Dialled, text: str) -> wire.VoteTaken:
    """Vote for the completion with this text, when asked."""
    asked, _ = await voter.receive(wire.VoteRequested)
    return await voter.ask(wire.Vote(task_id=asked.task_id, chosen=label_of(asked, text)), wire.VoteTaken)


async def test_the_whole_way(server: Server) -> None:
    validator, miner = await join(server), await join(server, mining=True)
    voters = [await join(server, judging=True) for _ in range(3)]
    created = await validator.ask(creating(), wire.TaskCreated)
    assigned, seq = await miner.receive(wire.TaskAssigned)
    assert seq is not None
    assert (assigned.task_id, assigned.task_metadata) == (created.task_id, '{"prompt":"say something"}')
    submitting = wire.SubmitCompletion(task_id=assigned.task_id, completion=ANSWER)
    await miner.ask(submitting, wire.CompletionTaken)
    assert (await validator.take(wire.CompletionSubmitted)).task_id == created.task_id
    for voter, text in zip(voters, (REFERENCE, REFERENCE, ANSWER), strict=True):
        assert (await vote(voter, text)).weight == 0.5
    for one in (validator, miner, *voters):
        scored = await one.take(wire.TaskScored)
        assert sorted(line.chosen for line in scored.votes) == ["miner", "validator", "validator"]
    moved = await miner.take(StandingChanged)
    assert (moved.standing, moved.score_change, moved.task_id) == ("participant", 0.333333, created.task_id)
    whole = await voters[0].ask(wire.GetTask(task_id=created.task_id), wire.TaskShown)
    assert (whole.validator_completion, whole.miner_completion) == (REFERENCE, ANSWER)
    for one in (validator, miner, *voters):
        await one.close()


async def test_two_contributors_in_the_same_instant(server: Server) -> None:
    validator, miner = await join(server), await join(server, mining=True)
    helpers = [await dial(server.url, wire.SUBNET_PATH) for _ in range(2)]
    keys = [(await helper.ask(wire.Register(), wire.Registered)).hotkey for helper in helpers]
    mine = (await miner.ask(wire.GetParticipant(), wire.Participant)).hotkey
    for key in keys:
        await miner.ask(wire.AddContributor(contributor_hotkey=key), wire.ContributorAdded)
    for _ in range(20):
        created = await validator.ask(creating(assigned_miner_hotkey=mine), wire.TaskCreated)
        orders = [wire.SubmitCompletion(task_id=created.task_id, completion=f'"{n}"') for n in range(2)]
        outcomes = await asyncio.gather(
            *(helper.ask(order, wire.CompletionTaken) for helper, order in zip(helpers, orders, strict=True)),
            return_exceptions=True,
        )
        taken = [outcome for outcome in outcomes if isinstance(outcome, wire.CompletionTaken)]
        refusals = [outcome for outcome in outcomes if isinstance(outcome, MessageError)]
        assert (len(taken), [refusal.code for refusal in refusals]) == (1, [Code.DUPLICATE_COMPLETION])
        winner = keys[outcomes.index(taken[0])]
        found = rows(
            server, f"SELECT hotkey FROM completions WHERE task_id = {created.task_id} AND completion <> '{REFERENCE}'"
        )
        assert found == [(winner,)]
    for one in (validator, miner, *helpers):
        await one.close()


async def test_what_waits_comes_again_after_a_restart(start_server: StartServer) -> None:
    server = await start_server()
    me, him = Identity.generate(), Identity.generate()
    validator, miner, voter = await join(server), await join(server, me, mining=True), await join(server, him)
    created = await validator.ask(creating(), wire.TaskCreated)
    first, seq = await miner.receive(wire.TaskAssigned)
    assert seq is not None
    await miner.acknowledge(seq)
    await server.restart()
    again = await join(server, me, mining=True)
    assert (await again.receive(wire.TaskAssigned))[0] == first, "an ack does not end it: answering does"
    voter = await join(server, him, judging=True)
    await again.ask(wire.SubmitCompletion(task_id=created.task_id, completion=ANSWER), wire.CompletionTaken)
    asked, _ = await voter.receive(wire.VoteRequested)
    voter.drop()
    voter = await join(server, him, judging=True)
    same, _ = await voter.receive(wire.VoteRequested)
    assert (same.a, same.b) == (asked.a, asked.b)
    assert (await vote_again(voter, same)).task_id == created.task_id
    assert (await again.take(wire.TaskScored)).task_id == created.task_id
    later = await dial(server.url, wire.SUBNET_PATH, me)
    assert [e.message for e in await later.silence() if isinstance(e.message, wire.TaskAssigned)] == []
    for one in (again, voter, later):
        await one.close()


async def vote_again(voter: Dialled, asked: wire.VoteRequested) -> wire.VoteTaken:
    return await voter.ask(wire.Vote(task_id=asked.task_id, chosen="a"), wire.VoteTaken)


async def test_who_has_gone_is_given_nothing(server: Server) -> None:
    validator, miner = await join(server), await join(server, mining=True)
    await validator.ask(creating(), wire.TaskCreated)
    miner.drop()
    here = "SELECT count(*) FROM subnet_presence WHERE is_online = 1 AND mining = 1"
    async with asyncio.timeout(10):
        while rows(server, here) != [(0,)]:  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.02)
    error = await refused_message(validator, creating(), Code.NO_MINER_AVAILABLE)
    assert error.retry_after_ms == 5000
    await validator.close()


async def test_a_task_expires_by_itself(start_server: StartServer) -> None:
    server = await start_server(subnet_fair_ms=0)
    validator, miner = await join(server), await join(server, mining=True)
    created = await validator.ask(creating(expire_at=int(time.time() * 1000) + 2000), wire.TaskCreated)
    assert (await validator.take(wire.TaskExpired)).task_id == created.task_id
    assert (await miner.take(wire.TaskExpired)).task_id == created.task_id
    assert (await miner.take(StandingChanged)).score_change == -1
    late = wire.SubmitCompletion(task_id=created.task_id, completion=ANSWER)
    await refused_message(miner, late, Code.TASK_EXPIRED)
    for one in (validator, miner):
        await one.close()


@pytest.mark.parametrize(("more", "fits"), [(0, True), (1, False)], ids=["at the limit", "one more"])
async def test_the_largest_completion_and_metadata(server: Server, more: int, fits: bool) -> None:
    validator, miner = await join(server), await join(server, mining=True)
    largest = f'"{"x" * (wire.COMPLETION_BYTES_MAX - 2 + more)}"'
    metadata = f'{{"prompt":"{"x" * (wire.METADATA_BYTES_MAX - 13 + more)}"}}'
    if not fits:
        await refused_message(validator, creating(validator_completion=largest), Code.BAD_FIELD)
        await refused_message(validator, creating(task_metadata=metadata), Code.BAD_FIELD)
    else:
        created = await validator.ask(creating(validator_completion=largest, task_metadata=metadata), wire.TaskCreated)
        assigned, _ = await miner.receive(wire.TaskAssigned)
        assert assigned.task_metadata is None
        await miner.ask(wire.SubmitCompletion(task_id=created.task_id, completion=largest), wire.CompletionTaken)
        shown = await validator.ask(wire.GetTask(task_id=created.task_id), wire.TaskShown)
        assert (shown.task_metadata, shown.validator_completion, shown.miner_completion) == (metadata, largest, largest)
    for one in (validator, miner):
        await one.close()


async def test_larger_frames_are_for_this_path_alone(start_server: StartServer) -> None:
    server = await start_server(frame_bytes_max=4096, subnet_frame_bytes_max=8192)
    here, there = await dial(server.url, wire.SUBNET_PATH), await dial(server.url)
    assert (here.welcome.limits["frame_bytes_max"], there.welcome.limits["frame_bytes_max"]) == (8192, 4096)
    await here.ask(wire.Register(mining=True), wire.Registered)
    other = await join(server)
    await other.ask(creating(validator_completion=f'"{"x" * 7000}"'), wire.TaskCreated)
    number, frame = other.peer.request(creating(validator_completion=f'"{"x" * 8200}"'))
    await other.socket.send(frame)
    error = await other.error()
    look_at(error, Code.TOO_LARGE)
    assert number > 0
    for one in (here, there, other):
        await one.close()


async def test_each_message_has_its_endpoint(server: Server) -> None:
    client = await dial(server.url)
    await refused_message(client, wire.Register(), Code.WRONG_ENDPOINT)
    await client.close()


async def test_the_rate_limit_holds_here_and_what_a_push_asks_for_is_free(start_server: StartServer) -> None:
    server = await start_server(max_requests_per_window_client=6, rate_limit_window=60)
    validator, miner = await join(server), await join(server, mining=True)
    for _ in range(4):
        await validator.ask(creating(), wire.TaskCreated)
    for _ in range(5):
        await miner.ask(wire.GetParticipant(), wire.Participant)
    assigned = [(await miner.receive(wire.TaskAssigned))[0] for _ in range(4)]
    for task in assigned:
        await miner.ask(wire.SubmitCompletion(task_id=task.task_id, completion=ANSWER), wire.CompletionTaken)
    error = await refused_message(miner, wire.GetParticipant(), Code.RATE_LIMITED)
    assert error.retry_after_ms is not None
    for one in (validator, miner):
        await one.close()


async def test_repeated_violations_cost_reputation_here(start_server: StartServer) -> None:
    server = await start_server(max_requests_per_window_client=2, rate_limit_window=60, ban_duration=1)
    me = Identity.generate()
    for number in (1, 2):
        one = await join(server, me)
        await one.ask(wire.GetParticipant(), wire.Participant)
        await refused_message(one, wire.GetParticipant(), Code.RATE_LIMITED)
        await one.send(wire.GetParticipant())
        assert await one.closed() == Close.BANNED
        await server.event("key.banned", count=number)
        if number == 1:
            await asyncio.sleep(1.5)
    found = rows(server, "SELECT standing, score_change, reason FROM score_history")
    assert found == [("participant", -1.0, "repeated_violations")]


class Stranger(LoggingProcess):
    """`python stranger_miner.py URL KEYFILE SERVER_KEY`, with no word of ours on its path."""

    def __init__(self, server: Server, folder: Path, name: str) -> None:
        super().__init__(name, folder)
        self.server = server
        self.key_path = folder / f"{name}.raw-key"

    @property
    def hotkey(self) -> str:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(self.key_path.read_bytes()).public_key().public_bytes_raw().hex()

    def command(self) -> Sequence[str | Path]:
        source = Path(__file__).with_name("stranger_miner.py")
        return ["-P", source, self.server.url, self.key_path, self.server.server_key]


async def test_strangers_answer_and_judge(server: Server, processes: list[LoggingProcess], tmp_path: Path) -> None:
    strangers = [Stranger(server, tmp_path, f"stranger-{number}") for number in (1, 2)]
    for one in strangers:
        processes.append(one)
        one.launch()
        await one.event("heard", type="registered")
    miner, voter = strangers
    validator = await join(server)
    order = creating(task_metadata='{"prompt":"say something long"}', assigned_miner_hotkey=miner.hotkey)
    created = await validator.ask(order, wire.TaskCreated)
    await miner.event("completion_taken", task=created.task_id)
    await voter.event("vote_taken", task=created.task_id)
    scored = await validator.take(wire.TaskScored)
    assert [(line.voter_hotkey, line.chosen) for line in scored.votes] == [(voter.hotkey, "miner")]
    await miner.event("standing_changed", change=1.0)
    whole = await validator.ask(wire.GetTask(task_id=created.task_id), wire.TaskShown)
    assert whole.miner_completion == '"SAY SOMETHING LONG"'
    assert fingerprint_of(bytes.fromhex(miner.hotkey)) in str(server.find("subnet.completion_submitted"))
    await validator.close()


def test_the_stranger_imports_nothing_of_ours() -> None:
    source = Path(__file__).with_name("stranger_miner.py")
    allowed = {"stranger_solver", "tests", "websockets"} | sys.stdlib_module_names  # tests: for types
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            assert {name.name.partition(".")[0] for name in node.names} <= allowed
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").partition(".")[0] in allowed
