"""The subnet's SDK and commands against a real server: every request, workers with real programs, and how they end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from contextlib import aclosing
from pathlib import Path
from typing import Any

import psutil
import pytest
from typer.testing import CliRunner

from protocol import subnet as wire
from protocol.errors import Code
from tests.conftest import StartServer
from tests.processes import Server
from tests.vault_client.conftest import Client, Command
from vault_client import Refused, Subnet, connect_subnet
from vault_client.__main__ import app
from vault_client.errors import VaultClientError
from vault_client.programs import OUTPUT_BYTES_MAX, ProgramFailed, run_program

PROMPT = {"prompt": "say something"}


async def following(subnet: Subnet, kind: type) -> Any:
    """The next event of that kind; those before it are taken."""
    async with asyncio.timeout(15), aclosing(subnet.events()) as events:
        async for event in events:
            if isinstance(event, kind):
                return event
    raise AssertionError("events end by raising")


# the SDK


async def test_the_whole_way(server: Server) -> None:
    async with (
        connect_subnet(server.url) as validator,
        connect_subnet(server.url) as miner,
        connect_subnet(server.url) as voter,
    ):
        assert (await miner.register(mining=True)).mining
        await voter.register(judging=True)
        created = await validator.create_task("talk", PROMPT, {"text": "the reference"})
        assert created.assigned_miner_hotkey == miner.hotkey
        assigned = await following(miner, wire.TaskAssigned)
        assert json.loads(assigned.task_metadata) == PROMPT
        await miner.submit(created.task_id, ["an", "answer"])
        asked = await following(voter, wire.VoteRequested)
        assert {asked.a, asked.b} == {'{"text":"the reference"}', '["an","answer"]'}
        chosen = "a" if asked.a == '["an","answer"]' else "b"
        assert (await voter.vote(created.task_id, chosen, against_other=True)).weight == 0.5
        scored = await following(validator, wire.TaskScored)
        assert [vote.chosen for vote in scored.votes] == ["miner"]
        assert [line.score_change async for line in miner.score_history()] == [1.0]
        assert [vote.voter_hotkey async for vote in miner.votes(created.task_id)] == [voter.hotkey]
        assert (await voter.task(created.task_id)).miner_completion == '["an","answer"]'
        for subnet, role in ((validator, "validator"), (miner, "miner"), (voter, "voter")):
            assert [line.task_id async for line in subnet.tasks(role)] == [created.task_id]
        assert (await validator.participant(miner.hotkey)).roles == ("generator",)


async def test_contributors_and_cancelling(server: Server) -> None:
    async with connect_subnet(server.url) as miner, connect_subnet(server.url) as helper:
        await miner.register(mining=True)
        await miner.add_contributor(helper.hotkey)
        assert (await helper.contributors()).miner_hotkey == miner.hotkey
        assert (await following(helper, wire.ContributorLinked)).miner_hotkey == miner.hotkey
        async with connect_subnet(server.url) as validator:
            task = (await validator.create_task("talk", PROMPT, 1, miner=miner.hotkey)).task_id
            assert (await following(helper, wire.TaskAssigned)).task_id == task
            await validator.cancel_task(task)
            assert (await following(helper, wire.TaskWithdrawn)).task_id == task
            with pytest.raises(Refused) as caught:
                await validator.cancel_task(task)
            assert caught.value.code == Code.INVALID_STATUS
        await helper.leave_miner()
        with pytest.raises(Refused) as caught:
            await miner.revoke_contributor(helper.hotkey)
        assert caught.value.code == Code.NOT_LINKED


async def test_what_does_not_fit_is_refused_before_it_is_sent(server: Server) -> None:
    async with connect_subnet(server.url) as subnet:
        for value in (float("nan"), object(), "x" * wire.COMPLETION_BYTES_MAX, None):
            with pytest.raises(Refused) as caught:
                await subnet.submit(1, value)
            assert caught.value.code == Code.BAD_FIELD
        with pytest.raises(Refused):
            await subnet.vote(1, "c")


async def test_a_restart_of_the_server_goes_unnoticed(start_server: StartServer) -> None:
    server = await start_server()
    async with connect_subnet(server.url) as miner, connect_subnet(server.url) as validator:
        await miner.register(mining=True)
        first = await validator.create_task("talk", PROMPT, 1)
        assert (await following(miner, wire.TaskAssigned)).task_id == first.task_id
        await server.restart()
        async with asyncio.timeout(20):
            while True:  # it has said again what it is there for
                with contextlib.suppress(Refused):
                    second = await validator.create_task("talk", PROMPT, 1)
                    break
                await asyncio.sleep(0.05)
        assert (await following(miner, wire.TaskAssigned)).task_id == second.task_id, "the first is known already"
        await miner.submit(first.task_id, "late, and still in time")


async def test_events_end_with_the_connection(server: Server) -> None:
    async with connect_subnet(server.url) as subnet:
        waiting = asyncio.create_task(following(subnet, wire.TaskAssigned))
        await asyncio.sleep(0)
    with pytest.raises(VaultClientError):
        await waiting


# programs


def script(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


async def run(program: str, given: bytes = b"", seconds: float = 10.0) -> str:
    return await run_program([program], given, seconds=seconds, environment={"VAULT_TASK_ID": "7"})


async def test_a_program_answers(tmp_path: Path) -> None:
    assert await run(script(tmp_path, "shout", "tr a-z A-Z; echo; echo $VAULT_TASK_ID"), b"hello") == "HELLO\n7"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("echo broken >&2; exit 3", "exit code 3. broken"),
        ("exit 1", "exit code 1. It said nothing."),
        (f"head -c {OUTPUT_BYTES_MAX + 1} /dev/zero | tr '\\0' x", f"printed more than {OUTPUT_BYTES_MAX} bytes"),
        ("printf '\\377'", "no UTF-8"),
    ],
    ids=["fails", "fails silently", "says too much", "says no text"],
)
async def test_a_program_that_does_not(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ProgramFailed) as caught:
        await run(script(tmp_path, "bad", text))
    assert words in str(caught.value)


async def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ProgramFailed, match="Cannot run"):
        await run(str(tmp_path / "nothing"))


async def test_a_program_is_ended_with_what_it_started(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    slow = script(tmp_path, "slow", f"sleep 60 & echo $! > {pid_file}; wait")
    with pytest.raises(ProgramFailed, match="took more than"):
        await run(slow, seconds=2)
    pid = int(pid_file.read_text())
    async with asyncio.timeout(30):
        while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_what_a_program_leaves_behind_is_ended_too(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    leaves = script(tmp_path, "leaves", f"sleep 60 >/dev/null 2>&1 & echo $! > {pid_file}; echo done")
    assert await run(leaves) == "done"
    pid = int(pid_file.read_text())
    async with asyncio.timeout(30):
        while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_an_endless_output_ends_the_program(tmp_path: Path) -> None:
    with pytest.raises(ProgramFailed, match="printed more than"):
        await run(script(tmp_path, "endless", "yes"))


async def test_a_program_finds_no_variable_that_was_taken_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "x")
    show = script(tmp_path, "show", 'echo "<$SECRET><$VAULT_TASK_ID>"')
    printed = await run_program([show], b"", seconds=10, environment={"VAULT_TASK_ID": "7"}, without=("SECRET",))
    assert printed == "<><7>"


# the commands


@pytest.fixture
def people(tmp_path: Path, server: Server) -> Any:
    """`people("miner")`: a vault-client of somebody's own, ended with the test."""
    made: list[Client] = []

    def person(name: str) -> Client:
        folder = tmp_path / name
        folder.mkdir()
        made.append(Client(folder, server))
        return made[-1]

    yield person
    for client in made:
        client.kill_all()


async def called(client: Client, *words: object, code: int = 0) -> str:
    """What a command prints, run in this process: starting one costs more than what it does."""
    arguments = ["subnet", *map(str, words), *client.options()]
    result = await asyncio.to_thread(CliRunner().invoke, app, arguments)
    assert result.exit_code == code, f"{result.output}\n{result.stderr}"
    return result.stdout if code == 0 else result.stderr


async def online(server: Server, client: Client, **fields: bool) -> None:
    await server.event("subnet.registered", participant=client.identity.fingerprint, **fields)


async def test_a_miner_and_judges_of_shell(server: Server, people: Any) -> None:
    validator, miner = people("validator"), people("miner")
    mining = miner.start("subnet", "mine", "--exec", "tr a-z A-Z", "--limit", "1")
    await online(server, miner, mining=True)
    judges = [people(f"judge-{number}") for number in (1, 2)]
    longer = '[ "$(wc -c <$VAULT_A)" -gt "$(wc -c <$VAULT_B)" ] && echo a || echo b'
    judging = [
        judge.start("subnet", "judge", "--exec", script(judge.folder, "choose.sh", longer), "--limit", "1", "--json")
        for judge in judges
    ]
    for judge in judges:
        await online(server, judge, judging=True)
    said = await called(validator, "create", "--type", "talk", "--prompt", "why is the sky blue", "--answer", "air")
    assert f"Task 1 is assigned to {miner.identity.hotkey}" in said
    out, errors = await miner.end(mining)
    assert "task 1: taken, talk" in out
    assert "task 1: submitted, judged for at most" in out
    assert "Mining as" in errors
    for judge, process in zip(judges, judging, strict=True):
        out, _ = await judge.end(process)
        events = [json.loads(line) for line in out.splitlines()]
        assert [event["event"] for event in events][:2] == ["taken", "voted"]
    shown = json.loads(await called(validator, "show", "1", "--json"))
    assert (shown["status"], shown["miner_completion"]) == ("scored", "WHY IS THE SKY BLUE")
    assert "+1.000000" in await called(miner, "scores")
    assert (await called(miner, "votes", "1")).count("for the miner") == 2
    assert "generator" in await called(validator, "who", miner.identity.hotkey)


async def test_every_other_command(server: Server, people: Any) -> None:
    validator, miner, helper, voter = (people(name) for name in ("validator", "miner", "helper", "voter"))
    for who in (miner, voter):
        assert "takes part, reputation 50" in await called(who, "register")
    assert "may answer your tasks" in await called(miner, "add-contributor", helper.identity.hotkey)
    assert "active" in await called(miner, "contributors")
    assert f"You help {miner.identity.hotkey}" in await called(helper, "contributors")
    asking = ("create", "--type", "talk", "--prompt", "hm", "--answer", "{}", "--as-json", "--for", "10m")
    for number in (1, 2):
        created = json.loads(await called(validator, *asking, "--miner", miner.identity.hotkey, "--json"))
        assert created["task_id"] == number
    assert "withdrawn" in await called(validator, "cancel", "1")
    listed = [json.loads(line) for line in (await called(helper, "list", "--as", "contributor", "--json")).splitlines()]
    assert [(line["task_id"], line["status"]) for line in listed] == [(2, "assigned"), (1, "cancelled")]
    answer = helper.folder / "answer.json"
    answer.write_text('{"text": "an answer"}\n')
    assert "being judged" in await called(helper, "submit", "2", f"@{answer}", "--as-json")
    assert "you have not voted" in await called(voter, "list", "--as", "voter")
    shown = json.loads(await called(voter, "show", "2", "--json"))
    assert sorted(map(str, (shown["a"], shown["b"]))) == sorted(map(str, ({}, {"text": "an answer"})))
    assert "weighs 0.5" in await called(voter, "vote", "2", "a")
    assert "Task 2 (talk) is scored." in await called(voter, "show", "2")
    assert "no longer help" in await called(helper, "leave-miner")
    assert "There is no task 1 of yours." in await called(helper, "show", "1", code=1)
    assert "Task 2 (talk) is scored." in await called(helper, "show", "2"), "he had a part in it"
    refused = await called(miner, "revoke-contributor", helper.identity.hotkey, "--json", code=1)
    assert json.loads(refused)["code"] == "NOT_LINKED"
    assert await called(helper, "scores") == ""


async def test_watching_and_leaving(server: Server, people: Any) -> None:
    validator, miner = people("validator"), people("miner")
    await called(miner, "register")
    watching = miner.start("subnet", "watch", "--json")
    await server.event("subnet.registered", participant=miner.identity.fingerprint, count=2)
    asking = ("create", "--type", "talk", "--prompt", "hm", "--answer", "x", "--miner", miner.identity.hotkey)
    await called(validator, *asking)
    line = await asyncio.to_thread(watching.stdout.readline)
    assert json.loads(line)["event"] == "task_assigned"
    watching.send_signal(2)
    await miner.end(watching, 130)


async def test_a_worker_goes_on_when_its_program_fails(server: Server, people: Any) -> None:
    validator, miner = people("validator"), people("miner")
    picky = script(miner.folder, "picky.sh", "grep -q good && echo fine")
    mining = miner.start("subnet", "mine", "--exec", picky, "--limit", "1")
    await online(server, miner, mining=True)
    for prompt in ("bad", "good"):
        await called(validator, "create", "--type", "talk", "--prompt", prompt, "--answer", "x")
    out, _ = await miner.end(mining)
    assert "task 1: failed" in out
    assert "exit code 1" in out
    assert "task 2: submitted" in out


def test_wrong_usage_is_told(command: Command) -> None:
    for words in (
        ("mine", "--exec", ""),
        ("mine", "--exec", "sh -c 'unclosed"),
        ("list", "--as", "king"),
        ("vote", "1", "c"),
        ("show", "0"),
        ("create", "--type", "talk", "--prompt", "p", "--answer", "{", "--as-json", "--server", "ws://127.0.0.1:9"),
        ("create", "--type", "talk", "--prompt", "p", "--answer", "x", "--for", "soon"),
        ("create", "--type", "talk", "--prompt", "p", "--answer", "x", "--trap", "both"),
    ):
        assert command("subnet", *words).exit_code == 2, words


def test_the_words_that_list_takes_are_named(command: Command) -> None:
    refused = command("subnet", "list")
    assert refused.exit_code == 2
    for role in wire.LIST_ROLES:
        assert role in refused.stderr


@pytest.mark.parametrize("name", ["mine", "judge"])
def test_a_program_that_cannot_run_is_refused_at_the_start(command: Command, tmp_path: Path, name: str) -> None:
    (tmp_path / "plain.sh").write_text("#!/bin/sh\n")
    for program in ("./nosuch", "./plain.sh", "no-such-program-anywhere x", "."):
        refused = command("subnet", name, "--exec", program)
        assert (refused.exit_code, "is not found, or is no program" in refused.stderr.replace("\n", " ")) == (2, True)


def test_a_missing_file_and_server_are_told(command: Command) -> None:
    told = command("subnet", "submit", "1", "@nothing.txt")
    assert (told.exit_code, "Cannot read nothing.txt" in told.stderr) == (1, True)
    begun = time.monotonic()
    told = command("subnet", "who", "--server", "ws://127.0.0.1:9")
    assert told.exit_code == 1
    assert "Cannot reach the server" in told.stderr
    assert time.monotonic() - begun < 30
    assert os.environ.get("VAULT_SERVER") is None


COMMANDS = [
    "create", "cancel", "list", "show", "submit", "vote", "votes", "register", "who", "scores", "add-contributor",
    "revoke-contributor", "leave-miner", "contributors", "watch", "mine", "judge",
]  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_help_explains_each_command(command: Command, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = command("subnet", name, "--help")
    assert shown.exit_code == 0
    assert f"vault-client subnet {name}" in shown.stdout.replace("root subnet", "vault-client subnet")
    assert "--server" in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 80
