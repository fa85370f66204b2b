"""A new master key while serving: values sealed anew in small steps, readable at any moment and after any crash."""

from __future__ import annotations

import asyncio
import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocol.errors import Code
from tests.vault_server.conftest import NewDatabase
from tests.vault_server.exchange.rotations import REQUEST, Node
from tests.vault_server.storage.rows import committed, sql
from vault_server.core.operation import Endpoint, Refusal
from vault_server.exchange import deadlines, rekeying
from vault_server.exchange.cipher import WrongMasterKey
from vault_server.exchange.rekeying import RotateMasterKey
from vault_server.keys import master_key_path
from vault_server.storage.database import Database

TASKS = 8


class StartNode(Protocol):
    """`await start_node(tasks=8)`: a server with that many tasks; 0 leaves the files as they are."""

    def __call__(self, tasks: int = TASKS, *, given: str | None = None, rows_per_batch: int = 3) -> Awaitable[Node]:
        """Start it."""


@pytest.fixture
async def start_node(tmp_path: Path, dialect: str, new_database: NewDatabase) -> AsyncIterator[StartNode]:
    """A factory of servers on the same files and rows, one after the other."""
    started: list[Node] = []
    folder = tmp_path / "node"
    folder.mkdir()

    async def start(tasks: int = TASKS, *, given: str | None = None, rows_per_batch: int = 3) -> Node:
        for node in started:
            await node.kill()
        database = None if dialect == "sqlite" else new_database()
        started.append(Node(folder, database, given=given, rows_per_batch=rows_per_batch))
        node = await started[-1].start()
        if tasks:
            await node.fill(tasks)
        return node

    yield start
    for node in started:
        await node.kill()


# from one key to the next


async def test_everything_is_sealed_anew_and_the_old_key_is_gone(start_node: StartNode) -> None:
    node = await start_node()
    old = node.key_text().strip()
    before = await node.state()
    assert (before.version, before.older, before.phase) == (1, [], "idle")
    assert await node.versions() == {1}

    begun = await node.rotate()
    assert (begun.version, begun.older, begun.phase) == (2, [1], "reencrypting")
    assert await node.finish() > 2 * TASKS / 3
    assert await node.versions() == {2}
    assert await node.in_use() == [2]
    assert old not in node.key_text()
    assert node.store.read().keys() == {2}
    assert (await node.state()).phase == "idle"
    assert [name for name, _ in node.log] == ["master_key.rotated", "master_key.retired"]
    assert node.logged("master_key.rotated") == [{"version": 2, "older": [1]}]
    assert node.logged("master_key.retired") == [{"version": 2, "retired": [1]}]

    again = await start_node(0)
    assert await again.versions() == {2}
    assert not await again.is_due()


async def test_keys_are_random_and_follow_each_other(start_node: StartNode) -> None:
    node = await start_node(1)
    seen = {node.key_text().split()[-1]}
    for version in (2, 3, 4):
        assert (await node.rotate()).version == version
        await node.finish()
        assert await node.versions() == {version}
        seen.add(node.key_text().split(":")[-1].strip())
    assert len(seen) == 4


async def test_a_database_without_a_task_gets_a_new_key_too(start_node: StartNode) -> None:
    node = await start_node(0)
    await node.rotate()
    await node.finish()
    assert (await node.in_use(), list(node.store.read())) == ([2], [2])


async def test_a_repeated_request_is_recognised_after_any_rotation(start_node: StartNode) -> None:
    node = await start_node(1)
    before = node.cipher.fingerprint(REQUEST)
    for _ in range(2):
        await node.rotate()
        assert node.cipher.fingerprint(REQUEST) == before
        await node.finish()
        node = await start_node(0)
        assert node.cipher.fingerprint(REQUEST) == before


async def test_nothing_is_sealed_with_a_key_before_its_row_is_on_disk(start_node: StartNode) -> None:
    node = await start_node(1)
    await node.rotate_undone()
    assert node.cipher.version == 1
    assert await node.in_use() == [1]
    await node.rotate()
    assert node.cipher.version == 1, "not in the transaction that writes the row"
    await node.step()
    assert node.cipher.version == 2


async def test_a_key_that_could_not_be_taken_into_use_is_the_next_one(start_node: StartNode) -> None:
    node = await start_node(1)
    for _ in range(3):
        await node.rotate_undone()
    kept = node.store.read()
    assert kept.keys() == {1, 2}, "the file does not fill up with keys"
    await node.rotate()
    await node.finish()
    assert node.store.read() == {2: kept[2]}


def test_only_the_operator_rotates(tmp_path: Path) -> None:
    callers = {operation.order: operation.callers for operation in Node(tmp_path).system.operations}
    assert callers.pop(RotateMasterKey) == {Endpoint.OPERATOR}
    assert set(callers.values()) == {frozenset({Endpoint.SERVER})}


# a kill at any point


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)  # it copies the file at each point
async def test_after_a_kill_at_any_point_the_server_reads_everything_and_carries_on(
    start_node: StartNode, tmp_path: Path
) -> None:
    node = await start_node(5)
    request = node.cipher.fingerprint(REQUEST)
    killed = 0

    async def kill_here(*, versions: set[int]) -> None:
        """Not this server but one on a copy of its files: it starts, reads everything, and comes to the end."""
        nonlocal killed
        killed += 1
        survivor = await node.start_copy(tmp_path / f"killed-{killed}")
        try:
            assert await survivor.versions() <= versions
            assert survivor.cipher.fingerprint(REQUEST) == request
            await survivor.finish()
            assert await survivor.versions() == {max(versions)}
            assert [max(versions)] == list(survivor.store.read()) == await survivor.in_use()
            assert not survivor.folder.joinpath("vault.db.master-key.next").exists()
        finally:
            await survivor.kill()

    await kill_here(versions={1})
    await node.rotate_undone()  # the key is in the file, its row is not on disk
    await kill_here(versions={1, 2})
    await node.rotate()
    await kill_here(versions={1, 2})
    steps = 0
    while await node.is_due():
        await node.step(undone=True)  # whatever it did outside the database is done, its rows are not
        await kill_here(versions={1, 2})
        await node.step()
        await kill_here(versions={1, 2})
        steps += 1
    assert steps > 8
    assert await node.versions() == {2}
    assert not (await node.state()).older


actions = st.lists(
    st.one_of(
        st.tuples(st.just("insert"), st.integers(0, 9)),
        st.tuples(st.just("answer"), st.integers(0, 9)),
        st.tuples(st.just("rotate"), st.just(0)),
        st.tuples(st.just("step"), st.integers(1, 4)),
        st.tuples(st.just("step undone"), st.just(0)),
        st.tuples(st.just("rotate undone"), st.just(0)),
        st.tuples(st.just("kill"), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chosen=actions)
def test_whatever_happens_in_between_everything_can_be_read(
    dialect: str, empty_database: NewDatabase, new_database: NewDatabase, chosen: list[tuple[str, int]]
) -> None:
    with tempfile.TemporaryDirectory(prefix="vault-rotation-") as folder:
        empty_database()

        def same() -> Database | None:
            return None if dialect == "sqlite" else new_database()

        asyncio.run(play(Path(folder), chosen, same))


async def play(folder: Path, chosen: list[tuple[str, int]], same: Callable[[], Database | None]) -> None:
    nodes = [await Node(folder, same(), rows_per_batch=2).start()]
    try:
        request = nodes[0].cipher.fingerprint(REQUEST)
        await nodes[0].fill(3)
        answered, open_tasks = 2, [f"{1:032x}"]
        for action, number in [*chosen, ("kill", 0), ("finish", 0)]:
            node = nodes[-1]
            if action == "insert":
                open_tasks.append(secrets.token_hex(16))
                await node.insert(open_tasks[-1])
            elif action == "answer" and open_tasks:
                await node.answer(open_tasks.pop(number % len(open_tasks)))
                answered += 1
            elif action == "kill":
                await node.kill()
                nodes.append(await Node(folder, same(), rows_per_batch=2).start())
            else:
                await drive(node, action, number)
            await nodes[-1].versions()
            assert nodes[-1].cipher.fingerprint(REQUEST) == request
        newest = max(nodes[-1].store.read())
        assert await nodes[-1].versions() == {newest}
        assert await nodes[-1].in_use() == list(nodes[-1].store.read()) == [newest]
        assert len(await nodes[-1].values()) == 2 * (answered + len(open_tasks)) + 2 * answered
    finally:
        for node in nodes:
            await node.kill()


async def drive(node: Node, action: str, number: int) -> None:
    is_idle = (await node.state()).phase == "idle"
    if action == "rotate" and is_idle:
        await node.rotate()
    elif action == "rotate undone" and is_idle:
        await node.rotate_undone()
    elif action == "step":
        for _ in range(number):
            await node.step()
    elif action == "step undone":
        await node.step(undone=True)
    elif action == "finish":
        await node.finish()


# bounded steps


@pytest.mark.parametrize(("tasks", "steps"), [(0, 0), (1, 1), (3, 1), (4, 2), (6, 2), (7, 3)])
async def test_a_step_looks_at_no_more_rows_than_it_may(start_node: StartNode, tasks: int, steps: int) -> None:
    node = await start_node(tasks, rows_per_batch=3)
    await node.rotate()
    resealed = [0]
    while await node.step():
        values = await node.values()
        resealed.append(
            len({key for key, (version, right) in values.items() if version == 2 and key[1] != "answer"}) // 2
        )
    changes = [after - before for before, after in pairwise(resealed) if after != before]
    assert max(changes, default=0) <= 3
    assert len(changes) == steps


async def test_the_writer_rests_between_two_steps(start_node: StartNode) -> None:
    node = await start_node(4)
    await node.rotate()
    assert await node.step()
    [row] = await node.rows("SELECT due FROM deadlines WHERE name = 'reencrypt'")
    assert row["due"] == node.now_ms + rekeying.PAUSE_MS


# one at a time


async def test_a_second_rotation_is_refused_with_how_far_the_first_is(start_node: StartNode) -> None:
    node = await start_node()
    await node.rotate()
    for _ in range(3):
        await node.step()
    with pytest.raises(Refusal) as caught:
        await node.rotate()
    assert caught.value.code is Code.UNAVAILABLE
    assert "to version 2" in caught.value.message
    assert f"of {2 * TASKS} rows" in caught.value.message
    assert caught.value.retry_after_ms is not None
    assert node.store.read().keys() == {1, 2}
    await node.finish()
    assert (await node.rotate()).version == 3


async def test_the_operator_sees_how_far_it_is(start_node: StartNode) -> None:
    node = await start_node()
    await node.rotate()
    [report] = node.system.reports
    seen = []
    while await node.step():
        shown = await node.database.read(lambda reader: report.read(reader, "", node.now_ms))
        seen.append((shown["phase"], shown["done"], shown["total"]))
    assert {phase for phase, _, _ in seen} == {"reencrypting", "checking", "retiring", "idle"}
    for phase in ("reencrypting", "checking"):
        done = [rows for name, rows, total in seen if name == phase and total]
        assert done == sorted(done)
        assert done[-1] == 2 * TASKS
    assert report.name == "keys"
    assert shown == {"version": 2, "older": [], "phase": "idle", "done": 0, "total": 0}


async def test_a_database_that_was_never_served_has_no_key(tmp_path: Path) -> None:
    node = Node(tmp_path)
    await node.database.start()
    try:
        assert (await node.state()).version == 0
    finally:
        await node.kill()


# what does not open


async def test_a_value_that_does_not_open_is_named_and_keeps_its_key(start_node: StartNode) -> None:
    node = await start_node()
    [good] = await node.rows("SELECT fingerprint, parameter_t FROM tasks ORDER BY db_key LIMIT 1 OFFSET 2")
    broken = good["parameter_t"][:-1] + bytes([good["parameter_t"][-1] ^ 1])
    change = sql("UPDATE tasks SET parameter_t = :value WHERE fingerprint = :task")
    await committed(node.database, lambda tx: tx.run(change, value=broken, task=good["fingerprint"]))
    await node.rotate()
    await node.finish()
    values = await node.values()
    assert values.pop(("tasks", "parameter_t", good["fingerprint"])) == (1, False)
    assert set(values.values()) == {(2, True)}
    assert node.store.read().keys() == {1, 2}, "whoever repairs the row needs its key"
    [kept] = node.logged("master_key.kept")
    assert (kept["kept"], kept["values"]) == ([1], 1)
    assert kept["first"] == f"tasks.parameter_t of {good['fingerprint']}"
    assert not node.logged("master_key.retired")

    assert (await node.rotate()).older == [2, 1], "it stands in the way of no other rotation"
    await node.finish()
    assert node.store.read().keys() == {1, 3}

    await committed(node.database, lambda tx: tx.run(change, value=good["parameter_t"], task=good["fingerprint"]))
    node = await start_node(0)
    await node.finish()
    assert await node.versions() == {3}, "once it is repaired, the next start sees to it"
    assert node.store.read().keys() == {3}


# the key file


async def test_a_file_that_cannot_be_written_refuses_the_rotation(start_node: StartNode) -> None:
    node = await start_node(2)
    path = master_key_path(node.folder / "vault.db")
    blocker = path.with_name(path.name + ".next")
    blocker.mkdir()
    before = node.key_text()
    with pytest.raises(Refusal) as caught:
        await node.rotate()
    assert caught.value.code is Code.UNAVAILABLE
    assert str(path) in caught.value.message
    assert before.strip() not in str(caught.value)
    assert (await node.in_use(), node.key_text()) == ([1], before)
    assert not await node.is_due()
    blocker.rmdir()
    assert (await node.rotate()).version == 2


async def test_a_file_that_cannot_be_written_at_the_end_is_tried_again(start_node: StartNode) -> None:
    node = await start_node(2)
    await node.rotate()
    while (await node.state()).phase != "retiring":
        await node.step()
    path = master_key_path(node.folder / "vault.db")
    blocker = path.with_name(path.name + ".next")
    blocker.mkdir()
    await node.step()
    [line] = node.logged("master_key.postponed")
    assert str(path) in line["reason"]
    assert not await node.is_due(), "not at once"
    node.now_ms += rekeying.RETRY_MS
    blocker.rmdir()
    assert await node.step()
    assert node.store.read().keys() == {2}
    assert node.logged("master_key.retired")


async def test_a_key_that_nothing_needs_is_dropped_from_the_file_at_the_start(start_node: StartNode) -> None:
    node = await start_node(2)
    old = node.key_text()
    await node.rotate()
    await node.finish()
    path = master_key_path(node.folder / "vault.db")
    path.write_text(old + node.key_text())
    node = await start_node(0)
    assert node.cipher.versions == [2, 1]
    await node.finish()
    assert node.store.read().keys() == {2}
    assert node.logged("master_key.retired") == [{"version": 2, "retired": [1]}]


async def test_a_key_file_of_another_time_is_refused_by_version(start_node: StartNode) -> None:
    node = await start_node(2)
    old = node.key_text()
    await node.rotate()
    await node.step()
    new = node.key_text()
    path = master_key_path(node.folder / "vault.db")
    path.write_text(old)
    with pytest.raises(WrongMasterKey, match=r"version 2 of the master key is not among those given \(1\)"):
        await start_node(0)
    path.write_text(new.splitlines()[1])
    with pytest.raises(WrongMasterKey, match=r"version 1 of the master key is not among those given \(2\)"):
        await start_node(0)
    path.write_text(new)
    node = await start_node(0)
    await node.finish()
    assert await node.versions() == {2}


# keys from the environment

OLD, NEW = "ab" * 32, "cd" * 32


async def test_the_server_cannot_rotate_what_it_is_given_and_says_how_to(start_node: StartNode) -> None:
    node = await start_node(2, given=OLD)
    with pytest.raises(Refusal) as caught:
        await node.rotate()
    assert "VAULT_MASTER_KEY" in caught.value.message
    assert "VAULT_MASTER_KEY=2:<new key>,1:<key of now>" in caught.value.suggestion
    assert OLD not in str(caught.value)
    assert await node.in_use() == [1]


async def test_a_newer_key_from_the_environment_is_taken_into_use_at_the_start(start_node: StartNode) -> None:
    await start_node(given=OLD)
    node = await start_node(0, given=f"2:{NEW},1:{OLD}")
    assert node.logged("master_key.rotated") == [{"version": 2, "older": [1]}]
    assert await node.versions() == {1}
    await node.insert("e" * 32)
    assert await node.versions() == {1, 2}

    with pytest.raises(WrongMasterKey, match=r"version 1 .* not among those given \(2\)"):
        await start_node(0, given=f"2:{NEW}")
    node = await start_node(0, given=f"2:{NEW},1:{OLD}")
    await node.finish()
    assert await node.versions() == {2}
    assert node.logged("master_key.retired") == [{"version": 2, "retired": [1]}]

    node = await start_node(0, given=f"2:{NEW},1:{OLD}")
    await node.finish()
    assert node.logged("master_key.retired") == [{"version": 2, "retired": [1]}], "said at each start until it is so"
    node = await start_node(0, given=f"2:{NEW}")
    assert not await node.is_due()
    assert await node.versions() == {2}
    for given_now in (OLD, NEW, f"1:{NEW}"):
        with pytest.raises(WrongMasterKey, match=r"version 2 of the master key is not among those given \(1\)"):
            await start_node(0, given=given_now)
    with pytest.raises(WrongMasterKey, match="does not open"):
        await start_node(0, given=f"2:{OLD}")


async def test_a_still_newer_key_takes_over_a_rotation_that_is_under_way(start_node: StartNode) -> None:
    await start_node(given=OLD)
    node = await start_node(0, given=f"2:{NEW},1:{OLD}")
    for _ in range(4):
        await node.step()
    newest = secrets.token_hex(32)
    node = await start_node(0, given=f"3:{newest},2:{NEW},1:{OLD}")
    assert await node.versions() == {1, 2}
    await node.finish()
    assert await node.versions() == {3}
    assert node.logged("master_key.retired") == [{"version": 3, "retired": [2, 1]}]


async def test_no_key_reaches_the_log_or_the_rows_of_meta(start_node: StartNode) -> None:
    node = await start_node(2)
    texts = [node.key_text()]
    await node.rotate()
    texts.append(node.key_text())
    while await node.step():
        texts += [row["value"] for row in await node.rows("SELECT value FROM meta WHERE name = 'rotation'")]
    keys = {word for word in texts[0].split() + texts[1].replace(":", " ").split() if len(word) == 64}
    assert len(keys) == 2
    seen = repr(node.log) + "".join(texts[2:])
    assert not any(key in seen for key in keys)
    assert node.cipher.hash_key.hex() not in seen


async def test_other_tables_after_an_upgrade_begin_the_pass_again(start_node: StartNode) -> None:
    node = await start_node()
    await node.rotate()
    for _ in range(4):
        await node.step()
    await committed(
        node.database,
        lambda tx: tx.run(
            sql("UPDATE meta SET value = replace(value, 'task_assignments', 'gone') WHERE name = 'rotation'")
        ),
    )
    node = await start_node(0)
    await node.finish()
    assert await node.versions() == {2}
    assert node.store.read().keys() == {2}


async def test_a_deadline_without_a_rotation_does_nothing(start_node: StartNode) -> None:
    node = await start_node(1)
    await committed(node.database, lambda tx: deadlines.put(tx, rekeying.REENCRYPT, "", 0))
    assert await node.finish() == 1
    assert await node.versions() == {1}
    assert os.listdir(node.folder).count("vault.db.master-key") == 1
