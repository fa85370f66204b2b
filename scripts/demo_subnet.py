"""The subnet with real processes: a validator asks, miners and a contributor answer with programs of their own, five
voters judge blindly with theirs, one question is a trap, one is never answered; then every score is told and checked.

Everything lives in one temporary folder and in processes of its own; both are gone when this ends, however it ends.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import TypeVar

from protocol import subnet as wire
from protocol.envelope import Message
from protocol.identity import Identity
from protocol.json_text import read
from tests.processes import LoggingProcess, ProcessFailed, Server
from vault_client import Subnet, connect_subnet

PROGRAMS = Path(sys.executable).parent
INTERRUPTED = 130
SETTINGS: dict[str, object] = {"subnet_fair_ms": 0}
"""So that a miner is blamed although the demo waits two seconds only; everything else is as shipped."""
EXPIRES_SECONDS = 2
EVENT_SECONDS_MAX = 30.0

SHOUT = 'read question; case $question in *impossible*) exit 1;; *) echo "$question? Because!" | tr a-z A-Z;; esac'
EXPLAIN = (
    'read question; case $question in *impossible*) exit 1;; *) echo "You ask $question; here is much to say.";; esac'
)
LONGER = 'if [ $(wc -c <"$VAULT_A") -gt $(wc -c <"$VAULT_B") ]; then echo a; else echo b; fi'
SHORTER = 'if [ $(wc -c <"$VAULT_A") -gt $(wc -c <"$VAULT_B") ]; then echo b; else echo a; fi'


M = TypeVar("M", bound=Message)


class DemoFailed(Exception):
    """A step that did not do what the demo is there to show."""


class Worker(LoggingProcess):
    """`vault-client subnet mine` or `judge` with a key and a program of its own."""

    def __init__(self, server: Server, folder: Path, name: str, doing: str, program: str) -> None:
        super().__init__(name, folder)
        self.server = server
        self.doing = doing
        self.identity = Identity.generate()
        self.key = folder / f"{name}.key"
        self.program = folder / f"{name}.sh"
        self.program.write_text(f"#!/bin/sh\n{program}\n")
        self.program.chmod(0o755)
        self.key.touch(mode=0o600)
        self.key.write_bytes(self.identity.to_pem())

    def command(self) -> Sequence[str | Path]:
        """The same for each of them."""
        known = self.folder / "known-servers"
        connect: list[str | Path] = ["--server", self.server.url, "--key", self.key, "--known-servers", known]
        return ["-m", "vault_client", "subnet", self.doing, "--exec", self.program, "--json", *connect]

    async def start(self) -> None:
        """Until the server counts on it."""
        self.launch()
        await self.server.event("subnet.registered", participant=self.identity.fingerprint, seconds=EVENT_SECONDS_MAX)

    async def finish(self) -> None:
        """As ctrl-C would end it."""
        if self.running:
            self._process.send_signal(signal.SIGINT)  # type: ignore[union-attr]
            await self.wait()
        self.end_group()


def main() -> None:
    """Run the demo. Exits with 0, 1 (something failed: the logs' ends are shown) or 130 (interrupted)."""
    argparse.ArgumentParser(
        prog="scripts/demo subnet", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    started: list[LoggingProcess] = []
    try:
        with tempfile.TemporaryDirectory(prefix="vault-demo-") as folder:
            try:
                asyncio.run(interruptible(demonstrate(Path(folder), started)))
            except (ProcessFailed, DemoFailed, TimeoutError) as failed:
                sys.exit("\n".join([f"\nThe demo failed: {failed}", *(process.tail() for process in started)]))
            finally:
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                    signal.signal(number, signal.SIG_IGN)
                for process in started:
                    process.end_group()
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("\nInterrupted; everything that was started is gone.", file=sys.stderr)
        sys.exit(INTERRUPTED)


async def interruptible(demo: Coroutine[None, None, None]) -> None:
    """Run it so that SIGTERM and a closed terminal end it as ctrl-C does."""
    task = asyncio.create_task(demo)
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    await task


async def demonstrate(folder: Path, started: list[LoggingProcess]) -> None:
    """Every step, in order."""
    server = Server(folder, SETTINGS)
    started.append(server)
    await server.start()
    (folder / "known-servers").write_text(server.pin + "\n")
    say("server", f"{server.url}, a fresh database")
    miners = [Worker(server, folder, f"miner-{number}", "mine", SHOUT) for number in (1, 2)]
    helper = Worker(server, folder, "helper", "mine", EXPLAIN)
    judges = [Worker(server, folder, f"judge-{n}", "judge", LONGER if n <= 3 else SHORTER) for n in range(1, 6)]
    workers = [*miners, helper, *judges]
    started += workers
    await asyncio.gather(*(worker.start() for worker in workers))
    say("workers", "two miners, one who helps the second, five judges: three like long answers, two short ones")
    names = {worker.identity.hotkey: worker.name for worker in workers}
    async with AsyncExitStack() as stack:
        validator = await stack.enter_async_context(connect_subnet(server.url, server_key=server.server_key))
        names[validator.hotkey] = "validator"
        await play(validator, server, miners, helper, names)
        await told(validator, names)
    for worker in reversed(workers):
        await worker.finish()
    await server.finish()
    check(server)


async def play(
    validator: Subnet, server: Server, miners: Sequence[Worker], helper: Worker, names: dict[str, str]
) -> None:
    """Four questions."""
    known = server.pin.split()[-1]
    one, two = miners
    await ask(validator, names, "why is the sky blue", "The air scatters blue light more than red.", one)
    async with connect_subnet(server.url, identity=two.identity, server_key=known) as second:
        linked = await second.add_contributor(helper.identity.hotkey)
    await two.finish()
    say("link", f"{names[linked.contributor_hotkey]} may answer for miner-2, who goes away")
    await ask(validator, names, "why is water wet", "It sticks.", two)
    nonsense = "Nonsense, " * 20
    await ask(validator, names, "why do cats purr", nonsense, one, trap="validator")
    say("task", f"the impossible is asked of miner-2, who has {EXPIRES_SECONDS} s")
    expire_at = int((time.time() + EXPIRES_SECONDS) * 1000)
    metadata = {"prompt": "the impossible"}
    await validator.create_task("demo", metadata, "a secret", expire_at=expire_at, miner=two.identity.hotkey)
    expired = await heard(validator, wire.TaskExpired)
    say("expired", f"task {expired.task_id}: nobody answered, and that costs miner-2")


async def ask(
    validator: Subnet, names: dict[str, str], prompt: str, own: str, miner: Worker, *, trap: str | None = None
) -> None:
    """One question, until it is scored."""
    metadata = {"prompt": prompt} | ({} if trap is None else {"negative_completion": trap})
    created = await validator.create_task("demo", metadata, own, miner=miner.identity.hotkey)
    say("task", f"{created.task_id}, for {miner.name}{' (a trap: the own answer is bad)' if trap else ''}: {prompt}?")
    scored = await heard(validator, wire.TaskScored)
    shown = await validator.task(created.task_id)
    print(f"            the validator's own:   {str(read(shown.validator_completion or '0'))[:60]}")
    print(
        f"            {names[shown.submitted_by or '']}'s answer:".ljust(35)
        + str(read(shown.miner_completion or "0"))[:60]
    )
    for vote in sorted(scored.votes, key=lambda vote: names[vote.voter_hotkey]):
        print(f"            {names[vote.voter_hotkey]} votes for the {vote.chosen}'s, weight {vote.weight:.4f}")
    for line in scored.scores:
        print(f"            {names[line.hotkey]:<8} {line.score_change:+.6f}  {line.reason[:60]}")


async def heard(validator: Subnet, kind: type[M]) -> M:
    """The next event of that kind."""
    async with asyncio.timeout(EVENT_SECONDS_MAX), aclosing(validator.events()) as events:
        async for event in events:
            if isinstance(event, kind):
                return event
    raise AssertionError("events end by raising")


async def told(validator: Subnet, names: dict[str, str]) -> None:
    """Everybody's score history, and that 50 and its changes are the score."""
    print("\nEvery score, and how it came about:")
    for hotkey, name in sorted(names.items(), key=lambda item: item[1]):
        seen = await validator.participant(hotkey) if name != "validator" else await validator.participant()
        changes = [line async for line in validator.score_history(hotkey)][::-1]
        total = 50 + sum(line.score_change for line in changes)
        if abs(total - seen.reputation_score) > 5e-7:
            raise DemoFailed(f"{name} has {seen.reputation_score}, its history says {total}")
        history = "".join(f" {line.score_change:+.6f}" for line in changes)
        print(f"  {name:<10} {seen.reputation_score:10.6f} = 50{history}   ({', '.join(seen.roles) or 'no role'})")


def check(server: Server) -> None:
    """Every invariant of the database."""
    words = [PROGRAMS / "vault-server", "check", "--database", server.database]
    checked = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False)
    if checked.returncode != 0:
        raise DemoFailed(f"vault-server check found something:\n{checked.stdout}{checked.stderr}")
    say("check", checked.stdout.strip().splitlines()[-1])


def say(step: str, text: str) -> None:
    """One step's line."""
    print(f"{step:<10}  {text}", flush=True)


if __name__ == "__main__":
    main()
