"""A value that costs something to get: asked for by many, got by one, and good for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Remembered(Generic[T]):
    """`get` must not raise. What it gave serves for `seconds`, or `times` as long as getting it took, if longer."""

    def __init__(self, get: Callable[[], Awaitable[T]], seconds: float, times: float = 0.0) -> None:
        self._get = get
        self._seconds = seconds
        self._times = times
        self._value: T | None = None
        self._good_until = 0.0
        self._getting: asyncio.Task[T] | None = None

    async def value(self, patience: float) -> T:
        """The value, at most that old. Raises TimeoutError after `patience` seconds; the getting goes on."""
        if self._getting is None:
            if self._value is not None and asyncio.get_running_loop().time() < self._good_until:
                return self._value
            self._getting = asyncio.create_task(self._renew(), name="remembered")
        async with asyncio.timeout(patience):
            return await asyncio.shield(self._getting)

    async def stop(self) -> None:
        """Get nothing more."""
        if self._getting is not None:
            self._getting.cancel()
            await asyncio.gather(self._getting, return_exceptions=True)
            self._getting = None

    async def _renew(self) -> T:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            self._value = await self._get()
        finally:
            self._getting = None
        took = loop.time() - began
        self._good_until = loop.time() + max(self._seconds, self._times * took)
        return self._value
