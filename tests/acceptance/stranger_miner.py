"""A miner and judge by the stranger of `stranger_solver.py`, who has gone on to section 16 of docs/protocol.md.

    python stranger_miner.py ws://HOST:PORT [KEYFILE [SERVER_KEY]]

It answers every task with its prompt in capitals, and votes for the longer completion. Nothing of ours is imported:
the handshake, seals and reconnecting are the stranger's own. Arguments and output are as there.
"""

from __future__ import annotations

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
"""Pushes that need nothing but an `ack`: an answer takes no time here, so there is no work to stop."""


class Miner(stranger.Solver):
    """`task_assigned` and `vote_requested` come again on each connection until they are done, and need no `ack`."""

    path = "/subnet"

    async def converse(self, socket: ClientConnection) -> None:
        self.asked.clear()
        await self.request({"type": "register", "mining": True, "judging": True})
        while True:
            await self.take(stranger.read(self.opens.open(await stranger.receive(socket))))

    async def handle(self, message: Map) -> None:
        match message["type"]:
            case "task_assigned":
                stranger.say("assigned", task=message["task_id"])
                await (self.submit(message) if "task_metadata" in message else self.look(message["task_id"]))
            case "vote_requested":
                await (self.vote(message) if "a" in message else self.look(message["task_id"]))
            case "subnet_task":
                await self.looked(message)
            case "completion_taken" | "vote_taken":
                stranger.say(message["type"], task=message["task_id"])
            case "error":
                await self.told_no(message)
            case kind if kind in DONE_AT_ONCE:
                stranger.say(kind, task=message.get("task_id"), change=message.get("score_change"))
                await self.done_with(message)
            case other:
                stranger.say("heard", type=other)

    async def look(self, task: int) -> None:
        """A push that was too large to carry everything, or an answer whose fate is not known."""
        await self.request({"type": "get_task", "task_id": task})

    async def looked(self, task: Map) -> None:
        if "a" in task:
            await self.vote(task)
        elif task["status"] == "assigned":
            await self.submit(task)
        else:
            mine = task.get("submitted_by") == self.public.hex()
            stranger.say("looked", task=task["task_id"], status=task["status"], mine=mine)

    async def submit(self, task: Map) -> None:
        metadata = json.loads(task["task_metadata"])
        answer = json.dumps(str(metadata.get("prompt", metadata)).upper())
        await self.request({"type": "submit_completion", "task_id": task["task_id"], "completion": answer})

    async def vote(self, task: Map) -> None:
        longer = "a" if len(task["a"]) > len(task["b"]) else "b"
        await self.request({"type": "vote", "task_id": task["task_id"], "chosen": longer})

    async def told_no(self, error: Map) -> None:
        asked = self.asked.get(error.get("re", 0), {})
        self.refused(error)
        if error["code"] == "DUPLICATE_COMPLETION":  # perhaps ours, its reply lost with a connection
            await self.look(asked["task_id"])


if __name__ == "__main__":
    stranger.main(Miner, *sys.argv[1:])
