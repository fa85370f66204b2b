"""The operator's end of the control socket (gateway/control.py): one request at a time, or the log's lines."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from vault_server.gateway.control_path import addressable
from vault_server.operator.failures import CannotLook, Refused, ServerGone

ANSWER_SECONDS = 60.0
"""A server that is stopped (SIGSTOP) or stuck is not waited for longer."""


class ControlClient:
    """Made by `connect`; closes with its context. Raises ServerGone when the server hangs up."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._lines = connected.makefile("rb")

    @classmethod
    def connect(cls, path: Path) -> ControlClient | None:
        """The server that listens at `path`; None when there is none. Raises CannotLook."""
        connecting = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connecting.settimeout(ANSWER_SECONDS)
        try:
            with addressable(path) as address:
                connecting.connect(address)
        except (FileNotFoundError, ConnectionRefusedError):
            connecting.close()
            return None
        except PermissionError:
            connecting.close()
            raise CannotLook(f"you may not open {path}; run this as the user who runs the server") from None
        except OSError as error:
            connecting.close()
            raise CannotLook(f"cannot reach the server at {path}: {error}; try again") from None
        return cls(connecting)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._lines.close()
        self._socket.close()

    def ask(self, name: str, about: str = "") -> Any:
        """The answer to a question; None when there is nothing by that name. Raises Refused."""
        return self._call({"ask": name, "about": about})

    def order(self, name: str, **fields: Any) -> Any:
        """Have an order carried out; its reply. Raises Refused."""
        return self._call({"order": name, "fields": fields})

    def tail(self, earlier: int) -> Iterator[bytes]:
        """Up to `earlier` log lines there are, then each as it comes, until the server stops."""
        self._call({"tail": earlier})
        self._socket.settimeout(None)
        with suppress(ConnectionError):
            yield from self._lines

    def _call(self, request: dict[str, Any]) -> Any:
        try:
            self._socket.sendall(orjson.dumps(request) + b"\n")
            line = self._lines.readline()
        except TimeoutError:
            raise CannotLook(f"the server has not answered in {ANSWER_SECONDS:.0f} s; look at its process") from None
        except ConnectionError:
            line = b""
        if not line.endswith(b"\n"):
            raise ServerGone("the server has hung up; see its log, and try again")
        reply = orjson.loads(line)
        if "error" in reply:
            error = reply["error"]
            raise Refused(f"{error['message']} {error['suggestion']}")
        return reply["ok"]
