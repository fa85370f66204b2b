"""The hive with real processes: a person posts a task on the pages; another's agent bids for it, wins it, delivers with
a program of its own, is asked for changes, delivers again and is paid. Signed webhooks tell of it.

Everything lives in one temporary folder and in processes of its own; both are gone when this ends, however it ends.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import subprocess
from pathlib import Path

from standardwebhooks import Webhook, WebhookVerificationError

from scripts.browser import Browser, Refused
from scripts.demo import PROGRAMS, DemoFailed, run, say
from tests.hive_market import key_file
from tests.hive_workers import Worker
from tests.processes import LoggingProcess, Server, environment
from vault_client import connect_hive

AS_SHIPPED: dict[str, object] = {"max_requests_per_window": 20, "max_requests_per_window_client": 100}
"""What the tests' servers set otherwise, as anybody's server has it."""
ALLOWED: dict[str, object] = {"hive_webhook_allow_private": True}
"""So that a webhook may lead to this machine."""
PROGRAM = r"""
task=$(cat)
case $task in
  *'"revision_number": 1,'*) echo 'the sky scatters blue light';;
  *) echo 'The sky scatters blue light, six times more than red. (Rayleigh, 1871)';;
esac
"""
TOLD = ("claim.accepted", "deliverable.revision_requested", "deliverable.accepted", "review.created")
STEP_SECONDS_MAX = 15.0
RESEARCH = "3"
"""A category: its agents are told of new tasks at once."""


def main() -> None:
    """Run the demo. Exits with 0, 1 (something failed: the logs' ends are shown) or 130 (interrupted)."""
    argparse.ArgumentParser(
        prog="scripts/demo hive", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    run(demonstrate)


async def demonstrate(folder: Path, started: list[LoggingProcess]) -> None:
    """Every step, in order."""
    server = Server(folder, AS_SHIPPED | ALLOWED)
    started.append(server)
    await server.start()
    pages = f"http://127.0.0.1:{server.http_port}"
    say("server", f"{server.url}, a fresh database; pages at {pages}")
    async with Browser(pages) as ann, Browser(pages) as bob, Receiver() as receiver:
        try:
            await play(folder, started, server, ann, bob, receiver)
        except Refused as refused:
            raise DemoFailed(str(refused)) from None
    for process in reversed(started):
        await process.finish()
    await check(server)


async def play(
    folder: Path, started: list[LoggingProcess], server: Server, ann: Browser, bob: Browser, receiver: Receiver
) -> None:
    """The way of a task."""
    for browser, name in ((ann, "Ann"), (bob, "Bob")):
        await register(browser, name)
    say("people", "Ann and Bob register on the pages; each starts with 500 credits")
    key = await agent_of(bob)
    say("agent", f"Bob registers an agent; its key is shown once: {key[:14]}…")
    shell = Shell(server, folder, key)
    added = await shell.json("webhooks", "add", receiver.url, *(word for name in TOLD for word in ("--event", name)))
    receiver.trust(added["secret"])
    say("webhook", f"four kinds of events go to {receiver.url}, signed")
    worker = Worker(server, folder, "worker", key, PROGRAM, ["--min-budget", "100", "--message", "I know why."])
    started.append(worker)
    await worker.start()
    say("worker", "vault-client hive work --exec ./worker.sh --min-budget 100")

    task = await post(ann)
    say("post", f"Ann posts task {task}: 200 credits for why the sky is blue")
    bid = await worker.event("bid", task_id=task)
    say("bid", f"the agent bids {bid['text'].split(':')[0]}")
    await ann.press(f"/tasks/{task}", "accept-claim-")
    say("accept", f"Ann accepts; {await receiver.heard('claim.accepted')}")
    await worker.event("delivered", task_id=task)
    say("deliver", f"“{await delivered(server, key, task)}”")
    await ann.press(f"/tasks/{task}", "revision-", revision_notes="How much more than red? Name who found it.")
    say("revise", f"Ann asks how much, and who found it; {await receiver.heard('deliverable.revision_requested')}")
    await worker.event("delivered", task_id=task, count=2)
    say("deliver", f"“{await delivered(server, key, task)}”")
    await ann.press(f"/tasks/{task}", "accept-work-")
    say(
        "paid",
        f"Ann accepts the work: 180 credits for Bob, 20 are the fee; {await receiver.heard('deliverable.accepted')}",
    )
    await ann.press(f"/tasks/{task}", "review-form", rating="5", comment="Blue indeed.")
    say("review", f"five of five; {await receiver.heard('review.created')}")
    print("\nBob's ledger, as his agent sees it (vault-client hive credits):")
    print(await shell("credits"))


async def register(browser: Browser, name: str) -> None:
    """Somebody makes an account, and is logged in with it."""
    email = f"{name.lower()}@example.org"
    await browser.press("/register", "register", name=name, email=email, password=secrets.token_urlsafe(16))


async def agent_of(browser: Browser) -> str:
    """Register an agent; its key."""
    page = await browser.press(
        "/dashboard/agents", "register-agent", name="Skywatcher", description="Knows the sky.", category_ids=RESEARCH
    )
    return page.text_of("api-key")


async def post(browser: Browser) -> int:
    """Post a task; its number."""
    page = await browser.press(
        "/dashboard/tasks/new",
        "post-task",
        title="Why is the sky blue?",
        description="One sentence that a child understands, and that is true.",
        budget_credits="200",
        category_id=RESEARCH,
    )
    return int(page.path.rpartition("/")[2])


async def delivered(server: Server, key: str, task: int) -> str:
    """What was handed in last."""
    async with connect_hive(server.url, key=key) as hive:
        return (await hive.deliverables(task))[-1].content


class Shell:
    """`vault-client hive …` with the agent's key."""

    def __init__(self, server: Server, folder: Path, key: str) -> None:
        self._options = ["--server", server.url, "--key-file", str(key_file(folder, key, "shell.key"))]

    async def __call__(self, *words: object) -> str:
        """What it prints. Raises DemoFailed."""
        called = [str(word) for word in (PROGRAMS / "vault-client", "hive", *words, *self._options)]
        process = await asyncio.create_subprocess_exec(
            *called, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        printed, complained = await process.communicate()
        if process.returncode != 0:
            raise DemoFailed(f"vault-client hive {words[0]}: {complained.decode(errors='replace')}")
        return printed.decode().rstrip()

    async def json(self, *words: object) -> dict[str, str]:
        """The object that it prints."""
        read = json.loads(await self(*words, "--json"))
        assert isinstance(read, dict)
        return read


class Receiver:
    """A web server that takes webhooks, and checks their signatures with the library that receivers use."""

    def __init__(self) -> None:
        self.url = ""
        self._trusted: Webhook | None = None
        self._events: dict[str, str] = {}
        self._news = asyncio.Condition()

    def trust(self, secret: str) -> None:
        """What events are signed with."""
        self._trusted = Webhook(secret)

    async def heard(self, kind: str) -> str:
        """Wait for an event; how it came. Raises TimeoutError."""
        async with asyncio.timeout(STEP_SECONDS_MAX), self._news:
            await self._news.wait_for(lambda: kind in self._events)
        return f"the webhook tells {kind}, {self._events[kind]}"

    async def __aenter__(self) -> Receiver:
        self._server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/events"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[1:-2]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        status = "204 No Content"
        try:
            assert self._trusted is not None, "events come after the secret"
            self._trusted.verify(body, headers)
        except WebhookVerificationError:
            status = "401 Unauthorized"
        else:
            async with self._news:
                self._events[json.loads(body)["type"]] = "signature verified"
                self._news.notify_all()
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()


async def check(server: Server) -> None:
    """Every invariant of the database."""
    words = [str(PROGRAMS / "vault-server"), "check", "--database", str(server.database)]
    checked = await asyncio.create_subprocess_exec(*words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    printed, _ = await checked.communicate()
    if checked.returncode != 0:
        raise DemoFailed(f"vault-server check found something:\n{printed.decode()}")
    print()
    say("check", printed.decode().strip().splitlines()[-1])


if __name__ == "__main__":
    main()
