"""A complaint as its maker sees it: taken by the server, then ruled. Sends nothing itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from protocol.vault import ComplaintRuled

AwaitRuling = Callable[["Complaint"], Awaitable[ComplaintRuled]]


class Complaint:
    """What was said of `task`, and until when (`ruling_by`, ms) it will be ruled, where the server has said so.

    `id` is None when the reply was lost with its connection: the ruling comes all the same.
    """

    def __init__(self, task: str, kind: str, await_ruling: AwaitRuling) -> None:
        self.task = task
        self.kind = kind
        self.id: int | None = None
        self.ruling_by: int | None = None
        self._await_ruling = await_ruling
        self._ruled: ComplaintRuled | None = None

    async def ruling(self) -> ComplaintRuled:
        """Wait for the ruling (`upheld`, `rejected` or `undecided`, with its `reason`), for as long as it takes.

        Its push is acknowledged then. Raises what ended the connection for good.
        """
        if self._ruled is None:
            self._ruled = await self._await_ruling(self)
        return self._ruled
