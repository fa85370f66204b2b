"""What app.py hands to the HTTP port: some routes, and what has to end with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from starlette.routing import BaseRoute


class Page(Protocol):
    """A part of the HTTP port. Health and metrics are pages, and so is what a system shows."""

    routes: Sequence[BaseRoute]

    async def stop(self) -> None:
        """End what goes on behind the routes; they are asked no more."""
