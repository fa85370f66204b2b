"""The SDK against real servers and solvers: answers arrive, whatever becomes of the connection meanwhile."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path

import pytest

from protocol.identity import Identity
from protocol.proof import proof_bytes
from protocol.puzzle import Puzzle, Ticket, commit, make_locked
from protocol.vault import PuzzleAnswered
from tests.conftest import StartSolver
from tests.dialling import dial
from tests.processes import Server
from tests.vault_client.conftest import Relay
from vault_client import (
    ConnectionEnded,
    ConnectionEvent,
    NotAdmitted,
    Progress,
    Refused,
    ServerNotTrusted,
    ServerUnreachable,
    Task,
    TaskCancelledError,
    Vault,
    connect,
)

LONG = 4_000_000
"""Squarings modulo 512 bits: half a second or more for a solver."""
NEVER = 10**12
"""A day or more."""


@pytest.fixture(scope="module")
def long_puzzle() -> tuple[Puzzle, int, Ticket]:
    return make_locked(LONG, 512)


async def submit(vault: Vault, puzzle: Puzzle, *, commitment: bytes | None = None, key: str | None = None) -> Task:
    return await vault.submit(
        t=puzzle.squarings, baseg=puzzle.base, product=puzzle.modulus, commitment=commitment, idempotency_key=key
    )


async def no_push_left(server: Server, identity: Identity) -> None:
    """Soon nothing is pushed to a new connection of this key: everything has been acknowledged."""
    async with asyncio.timeout(30):
        while True:
            async with await dial(server.url, identity=identity) as raw:
                if await raw.silence() == []:
                    return


async def test_progress_is_told_while_a_puzzle_is_solved(
    solved: Server, long_puzzle: tuple[Puzzle, int, Ticket]
) -> None:
    heard: list[Progress] = []
    async with connect(solved.url, identity=Identity.generate(), on_progress=heard.append) as vault:
        task = await vault.submit(t=NEVER, baseg=3, product=long_puzzle[0].modulus)
        async with asyncio.timeout(30):
            news = await anext(aiter(task.progress()))
        await vault.cancel(task.id)
    assert news.task == task.id
    assert 0 < news.done < news.total == NEVER
    assert news in heard


async def test_a_puzzle_is_answered_and_its_progress_ends(solved: Server) -> None:
    puzzle, y, _ = make_locked(3 * LONG, 512)
    heard: list[Progress] = []
    async with connect(solved.url, identity=Identity.generate(), on_progress=heard.append) as vault:
        task = await submit(vault, puzzle)
        assert task.accepted is not None
        assert task.accepted.assigned == 2
        seen = [news async for news in task.progress()]
        answer = await task.answer()
    assert (answer.y, answer.judged_by, answer.is_checked) == (y, "proof", True)
    assert answer.proof is not None
    assert len(answer.proof) == proof_bytes(puzzle.squarings, puzzle.modulus)
    assert all(news.task == task.id and 0 <= news.done <= news.total == 3 * LONG for news in seen)
    assert set(seen) <= set(heard)


async def test_many_at_once_are_each_answered_by_their_own(solved: Server, made: tuple[Puzzle, int, Ticket]) -> None:
    modulus = made[0].modulus
    async with connect(solved.url, identity=Identity.generate()) as vault:
        tasks = await asyncio.gather(*(vault.submit(t=t, baseg=3, product=modulus) for t in range(1, 41)))
        answers = await asyncio.gather(*(task.answer() for task in tasks))
    assert [answer.y for answer in answers] == [pow(3, 2**t, modulus) for t in range(1, 41)]


async def test_the_same_key_never_makes_two_tasks(solved: Server, made: tuple[Puzzle, int, Ticket]) -> None:
    identity = Identity.generate()
    async with connect(solved.url, identity=identity) as vault:
        first = await submit(vault, made[0], key="one")
        again = await submit(vault, made[0], key="one")
        assert again is first
        y = (await first.answer()).y
        with pytest.raises(Refused) as caught:
            await vault.submit(t=41, baseg=made[0].base, product=made[0].modulus, idempotency_key="one")
    assert caught.value.code == "IDEMPOTENCY_CONFLICT"
    assert not caught.value.retryable
    assert caught.value.suggestion
    async with connect(solved.url, identity=identity) as vault:
        # Its push was acknowledged long ago: only asking brings the answer again.
        later = await submit(vault, made[0], key="one")
        assert later.id == first.id
        assert (await asyncio.wait_for(later.answer(), 5)).y == y == made[1]


async def test_a_commitment_decides_alone(solved: Server) -> None:
    puzzle, y, _ = make_locked(5_000, 512)
    async with connect(solved.url, identity=Identity.generate()) as vault:
        task = await submit(vault, puzzle, commitment=commit(y, puzzle.modulus))
        answer = await task.answer()
    assert (answer.y, answer.judged_by, answer.is_checked) == (y, "commitment", True)


async def test_without_a_proof_two_that_agree_are_believed_and_that_is_said(solved: Server) -> None:
    puzzle, y, _ = make_locked(5_000, 512)
    async with connect(solved.url, identity=Identity.generate()) as vault:
        task = await vault.submit(t=puzzle.squarings, baseg=puzzle.base, product=puzzle.modulus, proof="none")
        answer = await task.answer()
    assert (answer.y, answer.judged_by, answer.is_checked) == (y, "agreed", False)


async def test_a_refusal_is_typed_and_the_connection_goes_on(solved: Server, made: tuple[Puzzle, int, Ticket]) -> None:
    async with connect(solved.url, identity=Identity.generate()) as vault:
        for t, g, n, code in [
            (0, 3, made[0].modulus, "SQUARINGS_OUT_OF_RANGE"),
            (5, 3, made[0].modulus - 1, "PRODUCT_EVEN"),
            (5, 1, made[0].modulus, "BASE_OUT_OF_RANGE"),
            (5, -3, made[0].modulus, "BAD_FIELD"),
            (5, 3, 2**9_000, "BAD_FIELD"),
            (2**60, 3, made[0].modulus, "BAD_FIELD"),
        ]:
            with pytest.raises(Refused) as caught:
                await vault.submit(t=t, baseg=g, product=n)
            assert (caught.value.code, caught.value.retryable) == (code, False)
            assert caught.value.message
            assert caught.value.suggestion
        with pytest.raises(Refused) as caught:
            await vault.status("00" * 16)
        assert caught.value.code == "TASK_NOT_FOUND"
        with pytest.raises(Refused, match=r"[Tt]ask"):
            await vault.task("00" * 16).answer()
        assert (await (await submit(vault, made[0])).answer()).y == made[1]


async def test_a_cancelled_task_ends_and_cancelling_twice_does_no_harm(solved: Server) -> None:
    puzzle, _, _ = make_locked(NEVER, 512)
    async with connect(solved.url, identity=Identity.generate()) as vault:
        task = await submit(vault, puzzle)
        waiting = asyncio.create_task(task.answer())
        await asyncio.sleep(0)
        await vault.cancel(task.id)
        with pytest.raises(TaskCancelledError, match=task.id):
            await waiting
        await vault.cancel(task.id)
        assert (await vault.status(task.id)).status == "cancelled"
        with pytest.raises(TaskCancelledError):
            await vault.task(task.id).answer()


async def test_an_answered_task_cannot_be_cancelled(solved: Server, made: tuple[Puzzle, int, Ticket]) -> None:
    async with connect(solved.url, identity=Identity.generate()) as vault:
        task = await submit(vault, made[0])
        await task.answer()
        with pytest.raises(Refused) as caught:
            await vault.cancel(task.id)
        assert caught.value.code == "TASK_ENDED"
        state = await vault.status(task.id)
        assert state.status == "answered"
        assert state.answer is not None
        assert (state.answer.y, state.answer.is_checked) == (made[1], True)


async def test_a_server_killed_during_the_wait_is_found_again(
    server: Server, start_solver: StartSolver, long_puzzle: tuple[Puzzle, int, Ticket]
) -> None:
    await asyncio.gather(start_solver(server), start_solver(server))
    events: list[ConnectionEvent] = []
    lost = asyncio.Event()

    def changed(event: ConnectionEvent) -> None:
        events.append(event)
        if not event.connected:
            lost.set()

    async with connect(server.url, identity=Identity.generate(), on_connection=changed) as vault:
        task = await submit(vault, long_puzzle[0])
        waiting = asyncio.create_task(task.answer())
        await server.kill()
        # A request that is made while nobody is there waits for the connection to come back.
        asking = asyncio.create_task(vault.status(task.id))
        await lost.wait()
        await server.restart()
        assert (await asyncio.wait_for(asking, 20)).task == task.id
        assert (await asyncio.wait_for(waiting, 20)).y == long_puzzle[1]
    assert [event.connected for event in events] == [True, False, True]
    assert events[1].detail


async def test_a_submission_whose_reply_is_lost_is_sent_again_and_makes_one_task(
    relay: Relay, solved: Server, made: tuple[Puzzle, int, Ticket]
) -> None:
    identity = Identity.generate()
    async with connect(relay.url, identity=identity) as vault:
        relay.deaf = True
        submitting = asyncio.create_task(submit(vault, made[0]))
        submitted = await solved.event("task.submitted", client=identity.fingerprint)
        await solved.event("task.answered", task=submitted["task"])
        assert not submitting.done()
        relay.cut()
        task = await asyncio.wait_for(submitting, 30)
        assert (await asyncio.wait_for(task.answer(), 5)).y == made[1]
        assert len(solved.find("task.submitted", client=identity.fingerprint)) == 1


async def test_cancelling_whose_reply_is_lost_succeeds_all_the_same(relay: Relay, solved: Server) -> None:
    puzzle, _, _ = make_locked(NEVER, 512)
    async with connect(relay.url, identity=Identity.generate()) as vault:
        task = await submit(vault, puzzle)
        relay.deaf = True
        cancelling = asyncio.create_task(vault.cancel(task.id))
        await solved.event("task.cancelled", task=task.id)
        relay.cut()
        await asyncio.wait_for(cancelling, 30)
        with pytest.raises(TaskCancelledError):
            await task.answer()


async def test_an_answer_pushed_while_the_client_was_away_arrives_once(
    relay: Relay, solved: Server, long_puzzle: tuple[Puzzle, int, Ticket]
) -> None:
    identity = Identity.generate()
    async with connect(relay.url, identity=identity) as vault:
        task = await submit(vault, long_puzzle[0])
        relay.deaf = True
        await solved.event("task.answered", task=task.id)
        relay.cut()
        assert (await asyncio.wait_for(task.answer(), 5)).y == long_puzzle[1]
        await no_push_left(solved, identity)


async def test_a_push_is_not_acknowledged_before_somebody_waits(
    solved: Server, made: tuple[Puzzle, int, Ticket]
) -> None:
    identity = Identity.generate()
    async with connect(solved.url, identity=identity) as vault:
        task = await submit(vault, made[0])
        await solved.event("task.answered", task=task.id)
        await asyncio.sleep(0.1)
    async with await dial(solved.url, identity=identity) as raw:
        pushed, seq = await raw.receive(PuzzleAnswered)
        assert (pushed.task, seq is not None) == (task.id, True)
    # Another process of the same key leaves a push of a task that it does not know to whoever does.
    async with connect(solved.url, identity=identity) as vault:
        await asyncio.sleep(0.1)
    async with await dial(solved.url, identity=identity) as raw:
        await raw.receive(PuzzleAnswered)
    # Found again by its id, it is answered, and its push acknowledged when that comes.
    async with connect(solved.url, identity=identity) as vault:
        assert (await vault.task(task.id).answer()).y == made[1]
        await no_push_left(solved, identity)


async def test_asking_for_the_status_of_an_answered_task_ends_its_push(
    solved: Server, made: tuple[Puzzle, int, Ticket]
) -> None:
    identity = Identity.generate()
    async with connect(solved.url, identity=identity) as vault:
        task = await submit(vault, made[0])
        await solved.event("task.answered", task=task.id)
        await asyncio.sleep(0.1)
        answer = (await vault.status(task.id)).answer
        assert answer is not None
        assert answer.y == made[1]
        await no_push_left(solved, identity)


async def test_who_still_waits_when_the_connection_is_closed_is_told(solved: Server) -> None:
    puzzle, _, _ = make_locked(NEVER, 512)
    identity = Identity.generate()
    async with connect(solved.url, identity=identity) as vault:
        task = await submit(vault, puzzle)
        waiting = asyncio.create_task(task.answer())
        await asyncio.sleep(0)
    with pytest.raises(ConnectionEnded):
        await waiting
    with pytest.raises(ConnectionEnded):
        await vault.status(task.id)
    async with connect(solved.url, identity=identity) as again:
        await again.cancel(task.id)


async def test_a_server_that_is_not_there_is_an_error_in_bounded_time() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # not listening: refused
        url = f"ws://127.0.0.1:{taken.getsockname()[1]}"
        started = time.monotonic()
        with pytest.raises(ServerUnreachable, match="nothing listens there"):
            async with connect(url, connect_seconds_max=0.5):
                pass
    assert 0.3 < time.monotonic() - started < 10


async def test_a_server_that_says_nothing_is_an_error_in_bounded_time() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(ServerUnreachable, match="in time"):
            async with connect(f"ws://127.0.0.1:{silent.getsockname()[1]}", connect_seconds_max=0.3):
                pass


@pytest.mark.parametrize("url", ["http://h", "ws://h:1/client", "ws://", "ws://h:99999"])
async def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ServerUnreachable, match=r"server address|more than a host"):
        async with connect(url):
            pass


async def test_a_server_that_stays_away_ends_the_wait_when_a_bound_is_set(server: Server) -> None:
    puzzle, _, _ = make_locked(NEVER, 512)
    async with connect(server.url, reconnect_seconds_max=0.5) as vault:
        task = await submit(vault, puzzle)
        waiting = asyncio.create_task(task.answer())
        await server.kill()
        with pytest.raises(ServerUnreachable):
            await asyncio.wait_for(waiting, 30)
        with pytest.raises(ServerUnreachable):
            await vault.status(task.id)


async def test_another_key_than_the_given_one_is_refused_before_anything_is_said(solved: Server) -> None:
    with pytest.raises(ServerNotTrusted, match="as was asked"):
        async with connect(solved.url, server_key="ab" * 32):
            pass
    async with connect(solved.url, server_key=solved.server_key):
        pass


async def test_a_server_that_changes_its_key_ends_the_wait_and_does_not_loop(server: Server, tmp_path: Path) -> None:
    known = tmp_path / "known"
    puzzle, _, _ = make_locked(NEVER, 512)
    async with connect(server.url, known_servers=known) as vault:
        task = await submit(vault, puzzle)
        assert known.read_text() == server.pin + "\n"
        waiting = asyncio.create_task(task.answer())
        await server.kill()
        (tmp_path / "server.db.identity").write_bytes(Identity.generate().to_pem())
        await server.restart()
        with pytest.raises(ServerNotTrusted, match="pinned"):
            await asyncio.wait_for(waiting, 10)
    with pytest.raises(ServerNotTrusted, match="pinned"):
        async with connect(server.url, known_servers=known):
            pass


async def test_what_is_no_vault_server_is_refused() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    listener = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    with pytest.raises(ServerNotTrusted, match=r"no vault server.*404"):
        async with connect(f"ws://127.0.0.1:{port}"):
            pass
    listener.close()


async def test_a_server_that_does_not_take_this_name_is_a_clear_refusal(solved: Server) -> None:
    network = Relay(0, solved.port)
    listener = await asyncio.start_server(network.relay, "127.0.0.1", 0)
    network.port = listener.sockets[0].getsockname()[1]
    with pytest.raises(NotAdmitted, match="public_names") as caught:
        async with connect(network.url):
            pass
    assert caught.value.code == "WRONG_AUTHORITY"
    listener.close()
    network.cut()
    await asyncio.sleep(0.05)


async def test_a_callback_that_fails_does_not_leave_anybody_waiting(server: Server) -> None:
    puzzle, _, _ = make_locked(NEVER, 512)

    def broken(event: ConnectionEvent) -> None:
        if not event.connected:
            raise RuntimeError("a defect of the caller's")

    async with connect(server.url, on_connection=broken) as vault:
        task = await submit(vault, puzzle)
        waiting = asyncio.create_task(task.answer())
        await server.kill()
        with pytest.raises(Exception, match="RuntimeError"):
            await asyncio.wait_for(waiting, 30)
