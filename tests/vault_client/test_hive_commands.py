"""`vault-client hive …`: every command against a real server, as people and as scripts use it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.hive_market import Market, Poster, key_file, market_of
from tests.processes import Server, environment
from tests.vault_client.conftest import Command
from vault_client.__main__ import app
from vault_client.cli.hive_lines import safe, table


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all of them."""
    server = Server(tmp_path_factory.mktemp("hive"), {"hive_requests_max": 100_000})
    try:
        asyncio.run(server.start())
        yield server
    finally:
        asyncio.run(server.finish())


@pytest.fixture
async def market(shared: Server) -> AsyncIterator[Market]:
    async with market_of(shared) as market:
        yield market


class Shell:
    """Calls commands as the holder of one key."""

    def __init__(self, server: Server, folder: Path, key: str, name: str) -> None:
        self.options = ["--server", server.url, "--key-file", str(key_file(folder, key, f"{name}.key"))]

    async def __call__(self, *words: object, code: int = 0, stdin: str = "") -> str:
        """What it prints; with a `code` of 1 what it complains of."""
        arguments = ["hive", *map(str, words), *self.options]
        called = await asyncio.to_thread(lambda: CliRunner().invoke(app, arguments, input=stdin))
        assert called.exit_code == code, f"{words}: {called.stdout}\n{called.stderr}"
        return called.stderr if code else called.stdout

    async def json(self, *words: object) -> Any:
        """The object that it prints."""
        return json.loads(await self(*words, "--json"))


@pytest.fixture
async def shells(market: Market, tmp_path: Path, command: Command) -> tuple[Shell, Shell]:
    """An agent that posts, and one that works; each of another person."""
    made = []
    for name in ("buyer", "worker"):
        person: Poster = await market.person()
        _, key = await person.agent(name)
        made.append(Shell(market.server, tmp_path, key, name))
    return made[0], made[1]


async def test_the_whole_way_by_hand(shells: tuple[Shell, Shell], tmp_path: Path) -> None:
    buyer, worker = shells
    (tmp_path / "wanted.txt").write_text("Put twelve numbers in order, and show them.\n")
    posted = await buyer.json(
        "post", "--title", "Handmade order", "--description", "@wanted.txt", "--budget", 200, "--category", "Writing",
        "--deadline", "2d", "--max-revisions", 1, "--requirements", "Twelve of them.",
    )  # fmt: skip
    task = posted["id"]
    assert posted["category"]["slug"] == "writing"
    listed = await worker("browse", "--category", "writing", "--min-budget", 200)
    assert "Handmade order" in listed
    assert listed.splitlines()[0].split()[:2] == ["TASK", "STATUS"]
    assert "writing   in " in listed
    [found] = [json.loads(line) for line in (await worker("search", "handmade", "order", "--json")).splitlines()]
    assert found["id"] == task
    shown = await worker("show", task)
    assert "Put twelve numbers in order" in shown
    assert "Twelve of them." in shown
    claimed = await worker.json("claim", task, "--credits", 150, "--message", "By noon.")
    assert "By noon." in await buyer("claims", task)
    assert "pending" in await worker("my-claims", "--status", "pending")
    assert f"agent {claimed['agent_id']} (worker)'s" in await buyer("accept-claim", task, claimed["id"])
    assert "in_progress" in await worker("start", task)
    (tmp_path / "work.txt").write_text("2 1\n")
    assert "revision 1" in await worker("deliver", task, tmp_path / "work.txt")
    assert "Changes to revision 1" in await buyer("revise", task, "--notes", "In order!")
    assert "In order!" in await worker("deliverables", task)
    assert "revision 2" in await worker("deliver", task, "-", stdin="1 2\n")
    accepted = await buyer("accept", task)
    assert "180 credits paid, 20 are the fee" in accepted
    assert "5 of 5" in await buyer("review", task, "--rating", 5, "--speed", 4, "--comment", "Good.")
    assert "Good." in await worker("reviews")
    assert "completed" in await worker("my-tasks")
    assert "Handmade order" in await buyer("my-tasks", "--as", "poster", "--status", "completed")
    credits = await worker("credits")
    assert credits.splitlines()[0] == "280 credits"
    assert "+180" in credits
    assert "1 task completed" in await worker("me")
    assert "rated 5.00" in await buyer("agent", claimed["agent_id"])


async def test_what_comes_to_nothing(shells: tuple[Shell, Shell]) -> None:
    buyer, worker = shells

    async def claimed(*more: object) -> tuple[int, int]:
        words = ("--title", "Short lived", "--description", "This comes to nothing.", "--budget", 10, *more)
        task = (await buyer.json("post", *words))["id"]
        return task, (await worker.json("claim", task))["id"]

    task, claim = await claimed()
    assert "rejected" in await buyer("reject-claim", task, claim)
    assert "cancelled" in await buyer("cancel", task)
    task, claim = await claimed()
    await buyer("accept-claim", task, claim)
    assert "is open" in await buyer("rollback", task)
    task, claim = await claimed("--max-revisions", 0)
    await buyer("accept-claim", task, claim)
    assert "withdrawn" in await worker("withdraw", task, claim)
    claim = (await worker.json("claim", task))["id"]
    await buyer("accept-claim", task, claim)
    assert "`vault-client hive rollback`" in await buyer("reclaim", task, code=1)
    await worker("deliver", task, "-", stdin="no")
    assert "MAX_REVISIONS" in await buyer("revise", task, "--notes", "More.", "--json", code=1)
    assert "disputed" in await buyer("reject", task, "--reason", "No is no work.")
    task, claim = await claimed()
    await buyer("accept-claim", task, claim)
    await worker("deliver", task, "-", stdin="no")
    assert "disputed" in await buyer("dispute", task, "--reason", "No is no work.")
    assert "disputed" in await buyer("accept", task, code=1)


async def test_profile_and_webhooks(shells: tuple[Shell, Shell]) -> None:
    _, worker = shells
    changed = await worker("update", "--capability", "sorting", "--category", "coding", "--hourly-rate", 5)
    assert "can sorting" in changed
    assert "asks 5 credits" in changed
    assert "works in coding\n" in await worker("me")
    assert "an hour" not in await worker("update", "--hourly-rate", "none")
    assert len((await worker("categories")).splitlines()) == 7
    made = await worker.json("webhooks", "add", "https://hooks.example.org/x", "--event", "claim.accepted")
    number = made["webhook"]["id"]
    listed = await worker("webhooks", "list")
    assert "claim.accepted" in listed
    assert made["secret"] not in listed
    assert "never shown again" in await worker("webhooks", "rotate", number)
    assert "deleted" in await worker("webhooks", "delete", number)
    refused = json.loads(await worker("webhooks", "delete", number, "--json", code=1))
    assert refused["code"] == "WEBHOOK_NOT_FOUND"
    assert refused["suggestion"]


async def test_watching(market: Market, tmp_path: Path) -> None:
    ann, bob = await market.person(), await market.person()
    agent, key = await bob.agent(category_ids=[3])
    words = [sys.executable, "-m", "vault_client", "hive", "watch", "--json", "--server", market.server.url]
    watching = await asyncio.create_subprocess_exec(
        *words, env=environment() | {"VAULT_HIVE_KEY": key}, cwd=tmp_path,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert watching.stderr is not None
        assert watching.stdout is not None
        assert f"agent {agent}".encode() in await asyncio.wait_for(watching.stderr.readline(), 30)
        task = await ann.post(category_id=3)
        told = json.loads(await asyncio.wait_for(watching.stdout.readline(), 30))
        assert (told["event"], told["task_id"]) == ("task.new_match", task)
        watching.send_signal(2)
        assert await asyncio.wait_for(watching.wait(), 30) == 130
    finally:
        if watching.returncode is None:
            watching.kill()
        await watching.communicate()


async def test_more_than_fits_is_said(market: Market, shells: tuple[Shell, Shell]) -> None:
    ann = await market.person()
    for number in range(3):
        await ann.post(title=f"Number {number} of many", category_id=5)
    _, worker = shells
    assert len((await worker("browse", "--category", "design", "--limit", 2)).splitlines()) == 1 + 2
    assert len((await worker("browse", "--category", "5", "--limit", 2, "--json")).splitlines()) == 2
    assert "There is no category" in await worker("browse", "--category", "nonsense", code=1)


# what others wrote


def test_what_others_wrote_steers_no_terminal() -> None:
    assert safe("a\x1b[2Jb\u202ec\td\n") == "a\\u001b[2Jb\\u202ec\td\n"
    assert list(table(("A", "B"), [("1", "x\ny\x07"), ("100", "z")])) == ["A    B", "1    x y\\u0007", "100  z"]


async def test_a_deliverable_may_hold_control_characters_and_steers_nothing(shells: tuple[Shell, Shell]) -> None:
    buyer, worker = shells
    words = ("--title", "Control me", "--description", "Something with control characters.", "--budget", 10)
    task = (await buyer.json("post", *words))["id"]
    claim = (await worker.json("claim", task))["id"]
    await buyer("accept-claim", task, claim)
    await worker("deliver", task, "-", stdin="a\x1b[2Jb")
    assert "\x1b" not in await buyer("deliverables", task)
    assert (await buyer.json("deliverables", task))["content"] == "a\x1b[2Jb"


# without a server


def test_the_key_is_asked_for_and_guarded(command: Command, tmp_path: Path) -> None:
    told = command("hive", "me")
    assert (told.exit_code, "--key-file" in told.stderr) == (1, True)
    open_to_all = key_file(tmp_path, "th_agent_" + "0" * 64)
    open_to_all.chmod(0o644)
    told = command("hive", "me", "--key-file", open_to_all)
    assert (told.exit_code, "chmod 600" in told.stderr) == (1, True)
    open_to_all.chmod(0o600)
    told = command("hive", "me", "--key-file", open_to_all, "--server", "ws://192.0.2.1", "--json")
    assert (told.exit_code, "wss://192.0.2.1" in json.loads(told.stderr)["suggestion"]) == (1, True)
    for words in ("--key", "--api-key"):
        assert command("hive", "me", words, "th_agent_" + "0" * 64).exit_code == 2


@pytest.mark.parametrize(
    "words",
    [
        ("show", "0"),
        ("browse", "--status", "lost"),
        ("browse", "--sort", "best"),
        ("claim", "1", "--credits", "0"),
        ("review", "1", "--rating", "6"),
        ("my-tasks", "--as", "king"),
        ("work", "--exec", "no-such-program-anywhere"),
        ("work", "--exec", "true", "--bid", "101%"),
        ("work", "--exec", "true", "--bid", "0"),
        ("work", "--exec", "true", "--match", "("),
        ("work", "--exec", "true", "--timeout", "soon"),
        ("work", "--exec", "true", "--max-open", "0"),
        ("post", "--title", "A title", "--description", "x", "--budget", "10", "--deadline", "soon"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_told(command: Command, tmp_path: Path, words: tuple[str, ...]) -> None:
    key = key_file(tmp_path, "th_agent_" + "0" * 64)
    assert command("hive", *words, "--key-file", key).exit_code == 2


COMMANDS = [
    ("browse",), ("search",), ("show",), ("deliverables",), ("categories",), ("me",), ("update",), ("agent",),
    ("reviews",), ("credits",), ("watch",), ("claim",), ("withdraw",), ("start",), ("deliver",), ("my-tasks",),
    ("my-claims",), ("post",), ("claims",), ("accept-claim",), ("reject-claim",), ("accept",), ("revise",), ("reject",),
    ("dispute",), ("cancel",), ("rollback",), ("reclaim",), ("review",), ("work",), ("webhooks", "list"),
    ("webhooks", "add"), ("webhooks", "rotate"), ("webhooks", "delete"),
]  # fmt: skip


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_explains_each_command(command: Command, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = command("hive", *words, "--help")
    assert shown.exit_code == 0
    assert " ".join(words) in shown.stdout
    assert "--key-file" in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 80
