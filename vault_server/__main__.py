"""The command line: `vault-server serve`."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, cast

import typer
import uvloop
from pydantic import ValidationError

from protocol.errors import MessageError
from vault_server import keys, logs
from vault_server.app import App, WriterLost, serve
from vault_server.core.location import PostgresUrl
from vault_server.exchange.cipher import WrongMasterKey
from vault_server.gateway.listener import CannotListen
from vault_server.gateway.ports import why_not
from vault_server.operator import commands
from vault_server.settings import Settings
from vault_server.storage.database import StorageError
from vault_server.storage.opening import is_used
from vault_server.web.server import CannotServeHttp

SWITCH_SECONDS = 0.001
"""The interpreter hands its lock over after this: a reader's thread must not wait 5 ms for a busy event loop."""

GARBAGE_THRESHOLD = 20_000
"""Messages make many short-lived objects and hardly a cycle: look for cycles less often than every 700 objects."""

cli = typer.Typer(
    name="vault-server",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Carries time-lock puzzles to solvers nobody needs to trust, and says whether the answer is right.\n\n"
    "Start with nothing:  vault-server serve\n\n"
    "Every setting can also be given as VAULT_<NAME> in the environment; `vault-server settings` lists them.",
)


@cli.callback(invoke_without_command=True)
def options(
    ctx: typer.Context,
    show_version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """Options of the program itself."""
    if show_version:
        typer.echo(f"vault-server {version('vault-server')}")
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())
        raise typer.Exit(2)


@cli.command("serve")
def serve_command(
    database: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="SQLite file, made when absent; or a postgresql:// URL.  [vault.db]"),
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.  [127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 picks a free one.  [8765]")] = None,
    public_name: Annotated[
        list[str] | None, typer.Option(help="HOST:PORT by which peers dial this server; may be repeated.")
    ] = None,
    http_host: Annotated[str | None, typer.Option(help="Address of the HTTP port.  [127.0.0.1]")] = None,
    http_port: Annotated[
        int | None, typer.Option(help="Port of the hive's pages and REST, and of /metrics; 0 picks a free one.  [8766]")
    ] = None,
    http: Annotated[bool | None, typer.Option("--http/--no-http", help="Whether there is an HTTP port at all.")] = None,
    log_format: Annotated[str, typer.Option(help="auto, json or pretty.")] = "auto",
) -> None:
    """Serve /client, /solver, /subnet and /hive, and the hive's pages, until SIGTERM or ctrl-C; then drain.

    The first start makes the database and, beside it, the server's identity and its master key (both readable by you
    alone). Keep the master key: without it what the database holds cannot be read.
    """
    if log_format not in ("auto", "json", "pretty"):
        _fail(f"--log-format {log_format!r} is unknown: choose auto, json or pretty", code=2)
    given: dict[str, Any] = {"database": database, "host": host, "port": port}
    given |= {"http_host": http_host, "http_port": http_port, "http_enabled": http}
    given = {name: value for name, value in given.items() if value is not None}
    if public_name:
        given["public_names"] = tuple(public_name)
    try:
        settings = Settings(**given)
    except ValidationError as error:
        _fail(_explain(error), code=2)
    begin_to_log = partial(logs.configure, cast("logs.LogFormat", log_format), settings.node)
    try:
        _check_ports(settings)
        # The database file decides whether a master key may be made, so keys come before the database is opened.
        used = is_used(settings.database) if isinstance(settings.database, PostgresUrl) else None
        master_keys, is_new_key = keys.load_master_keys(settings.files, settings.master_key, is_used=used)
        identity, is_new_identity = keys.load_identity(settings.files, is_used=used)
        app = App(settings, identity, master_keys)
        gc.set_threshold(GARBAGE_THRESHOLD)
        app.fork(begin_to_log)
    except (keys.KeyFileError, StorageError, CannotListen, CannotServeHttp) as error:
        _fail(str(error))
    made = [keys.master_key_path(settings.files)] * is_new_key
    made += [keys.identity_path(settings.files)] * is_new_identity
    begin_to_log()  # its thread must not be there before the fork
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.freeze()  # what is loaded now stays; the collector need not look at it again
    try:
        uvloop.run(_run(app, made))
    except (StorageError, CannotListen, CannotServeHttp, MessageError, WriterLost) as error:
        _fail(str(error))
    except WrongMasterKey as error:
        _fail(f"{error}: {settings.database} was written with another master key; bring that key back")


@cli.command("settings")
def settings_command() -> None:
    """List every setting with its default, as it is written in the environment."""
    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=True)
        shown = "" if default is None or default == () else default
        typer.echo(f"VAULT_{name.upper()}={shown}\n    {field.description}")


commands.add_to(cli)


async def _run(app: App, made: list[Path]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve(app, stop, lambda: _introduce(app, made))


def _check_ports(settings: Settings) -> None:
    """Before a database and keys are made for a server that cannot start. Raises CannotListen, CannotServeHttp."""
    if (error := why_not(settings.host, settings.port)) is not None:
        raise CannotListen.at(settings.host, settings.port, error)
    if settings.http_enabled and (error := why_not(settings.http_host, settings.http_port)) is not None:
        raise CannotServeHttp.at(settings.http_host, settings.http_port, error)


def _introduce(app: App, made: list[Path]) -> None:
    """Three lines for whoever started it; on standard error, so that the log stays a log."""
    address = f"{app.settings.host}:{app.listener.port}"
    pages = f"   The hive's pages: {app.web.url}   Metrics: {app.web.url}/metrics" if app.web.port else ""
    files = ", ".join(str(path) for path in made)
    typer.echo(f"Database {app.settings.database}" + (f"; made {files} (keep them)" if made else ""), err=True)
    typer.echo(f"Clients and solvers connect to ws://{address} and pin the key {app.identity.hotkey}", err=True)
    typer.echo(f"Try: vault-solver run --server ws://{address}{pages}   Stop: ctrl-C", err=True)


def _explain(error: ValidationError) -> str:
    return "; ".join(
        f"setting {'.'.join(str(part) for part in problem['loc']) or 'combination'}: {problem['msg']}"
        for problem in error.errors(include_input=False, include_url=False)
    )


def _fail(message: str, code: int = 1) -> Any:
    typer.echo(f"vault-server: {message}", err=True)
    raise typer.Exit(code)


def main() -> None:
    """Entry point of the console script."""
    cli(prog_name="vault-server")


if __name__ == "__main__":
    main()
