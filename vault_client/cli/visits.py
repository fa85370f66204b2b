"""How an asynchronous command becomes one of the command line: shared options behind its own, and one way to end."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from vault_client.cli.console import ending

Command = Callable[..., Awaitable[None]]
Shared = Mapping[str, tuple[Any, Any]]
"""Name of a parameter: its annotation and its default. One of them is `as_json`."""


def with_shared_options(command: Command, shared: Shared, visit: Callable[..., Any]) -> Callable[..., None]:
    """Turn `async def command(visit, …)` into a command; `visit(as_json=…, …)` makes its first argument of the rest."""

    @functools.wraps(command)
    def run(**given: Any) -> None:
        options = {name: given.pop(name) for name in shared}
        with ending(as_json=options["as_json"], interrupted=None):
            asyncio.run(_as_coroutine(command(visit(**options), **given)))

    signature = inspect.signature(command, eval_str=True)
    own = list(signature.parameters.values())[1:]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in shared.items()
    ]
    parameters = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own] + added
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    del run.__wrapped__  # typer would look behind it
    return run


async def _as_coroutine(awaitable: Awaitable[None]) -> None:
    await awaitable
