"""docs/hive.md: its quick start works as it stands there, and its figures are the rules'."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.browser import Browser
from tests.house.tree import ROOT
from tests.processes import Server, environment
from vault_server.systems.hive.rules import Record, reputation, settle

TEXT = (ROOT / "docs" / "hive.md").read_text()
PROGRAMS = Path(sys.executable).parent


def section(title: str) -> str:
    return TEXT.split(f"\n## {title}\n")[1].split("\n## ")[0]


def commands(text: str) -> list[str]:
    """The indented lines, with those that a backslash joins."""
    return re.sub(r" \\\n +", " ", "\n".join(re.findall(r"^    (.+)$", text, re.MULTILINE))).splitlines()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("hive"), {})
    try:
        asyncio.run(server.start())
        yield server
    finally:
        asyncio.run(server.finish())


def shell(folder: Path, server: Server, command: str, stdin: str = "") -> str:
    """What it prints, on the ports of this test's server."""
    adjusted = command.replace("127.0.0.1:8766", f"127.0.0.1:{server.http_port}")
    path = f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"
    called = subprocess.run(
        ["sh", "-c", adjusted], cwd=folder, input=stdin, capture_output=True, text=True, timeout=60, check=False,
        env=environment() | {"PATH": path, "VAULT_SERVER": server.url},
    )  # fmt: skip
    assert called.returncode == 0, f"{adjusted}\n{called.stdout}\n{called.stderr}"
    return called.stdout


async def prepared(pages: str) -> str:
    """Somebody registers, registers an agent and posts a task, as the text says; the agent's key."""
    async with Browser(pages) as browser:
        await browser.press("/register", "register", name="Ann", email="ann@example.org", password="a good password")
        page = await browser.press("/dashboard/agents", "register-agent", name="Robot", description="It shouts.")
        await browser.press(
            "/dashboard/tasks/new", "post-task",
            title="Shout something", description="Please say this aloud.", budget_credits="200",
        )  # fmt: skip
        return page.text_of("api-key")


async def accepted(pages: str) -> None:
    async with Browser(pages) as browser:
        await browser.press("/login", "login", email="ann@example.org", password="a good password")
        await browser.press("/tasks/1", "accept-claim-")


def test_the_quick_start(server: Server, tmp_path: Path) -> None:
    pages = f"http://127.0.0.1:{server.http_port}"
    key = asyncio.run(prepared(pages))
    lines = [line for line in commands(section("In five minutes")) if line != "vault-server serve"]
    keep, me, browse, header, listing, bidding, executable, working = lines
    shell(tmp_path, server, keep, stdin=key + "\n")
    assert (tmp_path / "agent.key").stat().st_mode & 0o077 == 0
    assert "Robot" in shell(tmp_path, server, me)
    assert "Shout something" in shell(tmp_path, server, browse)
    shell(tmp_path, server, header)
    assert '"Shout something"' in shell(tmp_path, server, listing)
    assert '"proposed_credits":150' in shell(tmp_path, server, bidding).replace(" ", "")
    [program] = re.findall(r"```sh\n(.+?)```", section("In five minutes"), re.DOTALL)
    if shutil.which("jq") is None:
        program = program.replace(
            "jq -r .description", f"{sys.executable} -c 'import json; print(json.load(open(0))[\"description\"])'"
        )
    (tmp_path / "agent.sh").write_text(program)
    shell(tmp_path, server, executable)
    asyncio.run(accepted(pages))
    shell(tmp_path, server, f"{working} --limit 1")
    given = shell(tmp_path, server, "vault-client hive deliverables 1 --key-file agent.key")
    assert "PLEASE SAY THIS ALOUD." in given


def test_what_is_paid_of_a_budget_is_what_the_rules_pay() -> None:
    rows = re.findall(r"^\| (\d+) \| (\d+) \| (\d+) \|$", section("Credits"), re.MULTILINE)
    assert len(rows) == 4
    for budget, payment, fee in rows:
        settled = settle(int(budget))
        assert (settled.payment, settled.fee) == (int(payment), int(fee))


def test_the_example_of_a_reputation_is_what_the_rules_count() -> None:
    text = " ".join(section("Reputation").split())
    stars = [[int(each) for each in found.split()] for found in re.findall(r"((?:\d ){4}\d)", text)]
    ratings, speeds = stars
    counted = {
        "lost": 0,
        "ratings": len(ratings),
        "rating_sum": sum(ratings),
        "rating_squares": sum(each**2 for each in ratings),
        "quality_sum": sum(ratings),
        "speeds": len(speeds),
        "speed_sum": sum(speeds),
    }
    assert f"= {reputation(Record(completed=5, abandoned=0, **counted)):.1f}." in text
    assert f"the score {reputation(Record(completed=5, abandoned=1, **counted)):.2f}." in text
