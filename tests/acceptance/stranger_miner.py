"""A miner and judge by the stranger of `stranger_solver.py`, who has gone on to section 16 of docs/protocol.md.

    python stranger_miner.py ws://HOST:PORT [KEYFILE [SERVER_KEY]]

It answers every task with its prompt in capitals, and votes for the longer completion. Nothing of ours is imported.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from websockets.asyncio.client import ClientConnection

if TYPE_CHECKING:
    from tests.acceptance import stranger_solver as stranger
else:
    sys.path.insert(0, str(Path(__file__).parent))
    import stranger_solver as stranger

Map = dict[str, Any]

DONE_AT_ONCE = ("completion_submitted", "task_withdrawn", "task_scored", "task_expired", "standing_changed",
                "contributor_linked", "contributor_revoked")  # fmt: skip
"""Pushes that need nothing but an `ack`."""


class Miner(stranger.Solver):
    """One connection after the other; `task_assigned` and `vote_requested` come again on each until they are done."""

    async def converse(self, socket: ClientConnection) -> None:
        self.asked.clear()
        await self.request({"type": "register", "mining": True, "judging": True})
        while True:
            await self.take(stranger.read(self.opens.open(await stranger.receive(socket))))

    async def take(self, message: Map) -> None:
        match message["type"]:
            case "task_assigned":
                prompt = json.loads(message["task_metadata"])["prompt"]
                answer = json.dumps(str(prompt).upper())
                await self.request({"type": "submit_completion", "task_id": message["task_id"], "completion": answer})
            case "vote_requested":
                longer = "a" if len(message["a"]) > len(message["b"]) else "b"
                await self.request({"type": "vote", "task_id": message["task_id"], "chosen": longer})
            case "completion_taken" | "vote_taken":
                stranger.say(message["type"], task=message["task_id"])
            case "error":
                stranger.say("refused", code=message["code"])
            case kind if kind in DONE_AT_ONCE:
                stranger.say(kind, task=message.get("task_id"), change=message.get("score_change"))
                await self.done_with(message)
            case other:
                stranger.say("heard", type=other)


def main(url: str, key_file: str, server_key: str) -> None:
    stranger.PATH = "/subnet"
    try:
        asyncio.run(stranger.until_terminated(Miner(url, stranger.load_key(Path(key_file)), bytes.fromhex(server_key))))
    except stranger.Refused as why:
        sys.exit(f"stranger_miner: {why}")


if __name__ == "__main__":
    main(*sys.argv[1:])
