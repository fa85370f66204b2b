"""One POST to a stranger's URL: to an address that was checked, within a time that holds for all of it.

Nothing is followed, kept or taken from the environment: no redirects, proxies, cookies, credentials, open connections.
"""

from __future__ import annotations

import functools
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from typing import Any

import httpcore

from vault_server.systems.hive.public_addresses import IPAddress, parse

ANSWER_BYTES_MAX = 4096
"""What is read of an answer's body before the connection is closed; its status alone counts."""
ADDRESSES_MAX = 4
"""Of one name's addresses so many are tried, each for its share of the time."""

Address = tuple[int, Any]
"""Family and address as sockets take them."""
Resolve = Callable[[str, int], Sequence[Address]]
"""The addresses of a name, with the port in them. Raises OSError, UnicodeError."""


class Undelivered(Exception):
    """There is no answer; the reason is for the operator's log, not for whoever named the URL."""


def resolve(host: str, port: int) -> Sequence[Address]:
    """What this machine's resolver says."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys((int(family), address) for family, _, _, _, address in found))


@functools.cache
def system_trust() -> ssl.SSLContext:
    """The certificate authorities that this machine trusts (SSL_CERT_FILE, SSL_CERT_DIR); made once, it takes long."""
    return ssl.create_default_context()


class Outgoing:
    """Sends POSTs, from any thread. `may_connect` says to which addresses; `schemes` are those a URL may have."""

    def __init__(
        self,
        seconds: float,
        may_connect: Callable[[IPAddress], bool],
        schemes: frozenset[str] = frozenset({"https"}),
        *,
        resolve: Resolve = resolve,
        trust: Callable[[], ssl.SSLContext] = system_trust,
    ) -> None:
        self._seconds = seconds
        self._may_connect = may_connect
        self._schemes = schemes
        self._resolve = resolve
        self._trust = trust
        self._agent = f"vault-server/{version('vault-server')}"

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """The status of the answer. Raises Undelivered."""
        until = _Until(self._seconds)
        try:
            target = httpcore.URL(url)
            scheme = target.scheme.decode()
        except ValueError:
            raise Undelivered("the URL is none") from None
        if scheme not in self._schemes or not target.host:
            raise Undelivered("refused: the URL is not an https URL")
        connection = httpcore.HTTPConnection(
            target.origin,
            ssl_context=self._trust() if scheme == "https" else None,
            network_backend=_Guarded(until, self._may_connect, self._resolve),
        )
        try:
            return self._exchange(connection, target, {**headers, "User-Agent": self._agent}, body)
        except ssl.SSLCertVerificationError as error:
            raise Undelivered(f"its certificate does not hold: {error.verify_message}") from None
        except (ssl.SSLError, OSError, UnicodeError) as error:
            raise Undelivered(f"cannot connect: {getattr(error, 'strerror', None) or type(error).__name__}") from None
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise Undelivered(f"no HTTP answer: {type(error).__name__}") from None
        finally:
            connection.close()

    def _exchange(
        self, connection: httpcore.HTTPConnection, target: httpcore.URL, headers: Mapping[str, str], body: bytes
    ) -> int:
        named = [("Host", _authority(target)), *headers.items()]
        with connection.stream("POST", target, headers=named, content=body) as answer:
            status = int(answer.status)
            with suppress(Undelivered, OSError, httpcore.NetworkError, httpcore.ProtocolError):
                read = 0
                for part in answer.iter_stream():
                    read += len(part)
                    if read >= ANSWER_BYTES_MAX:
                        break
            return status


def _authority(target: httpcore.URL) -> str:
    host = target.host.decode()
    host = f"[{host}]" if ":" in host else host
    return host if target.port is None else f"{host}:{target.port}"


class _Until:
    """The end of the time for all that one POST takes."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds; more than 0. Raises Undelivered."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise self.passed()
        return left

    def passed(self) -> Undelivered:
        return Undelivered(f"no answer within {self._seconds:g} s")


class _Guarded(httpcore.NetworkBackend):
    """Connects to what it has checked: a name is looked up once, here, and never again by whoever connects."""

    def __init__(self, until: _Until, may_connect: Callable[[IPAddress], bool], resolve: Resolve) -> None:
        self._until = until
        self._may_connect = may_connect
        self._resolve = resolve

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        found = self._look_up(host, port)
        checked = [address for address in found if self._may_connect(parse(address[1][0]))][:ADDRESSES_MAX]
        if not checked:
            raise Undelivered(f"refused: {found[0][1][0]} is no public address" if found else "the name has no address")
        failure: OSError = OSError()
        for position, (family, address) in enumerate(checked):
            try:
                return _Stream(self._connect(family, address, len(checked) - position), self._until)
            except OSError as error:
                failure = error
        self._until.left()
        raise failure

    def _connect(self, family: int, address: Any, tries_left: int) -> socket.socket:
        opened = socket.socket(family, socket.SOCK_STREAM)
        try:
            opened.settimeout(self._until.left() / tries_left)
            opened.connect(address)
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            opened.close()
            raise
        return opened

    def _look_up(self, host: str, port: int) -> Sequence[Address]:
        """In a thread that is left behind when it takes too long: the system's resolver cannot be interrupted."""
        answers: queue.SimpleQueue[Sequence[Address] | Exception] = queue.SimpleQueue()

        def ask() -> None:
            try:
                answers.put(self._resolve(host, port))
            except Exception as error:
                answers.put(error)

        threading.Thread(target=ask, name="resolve", daemon=True).start()
        try:
            answer = answers.get(timeout=self._until.left())
        except queue.Empty:
            raise self._until.passed() from None
        if isinstance(answer, Exception):
            raise Undelivered("the name cannot be resolved") from answer
        return answer


class _Stream(httpcore.NetworkStream):
    """A connected socket whose every wait ends in time."""

    def __init__(self, connected: socket.socket, until: _Until) -> None:
        self._socket = connected
        self._until = until

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            self._socket.settimeout(self._until.left())
            return self._socket.recv(max_bytes)
        except TimeoutError:
            raise self._until.passed() from None
        except OSError as error:
            raise httpcore.ReadError from error

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        try:
            self._socket.settimeout(self._until.left())
            self._socket.sendall(buffer)
        except TimeoutError:
            raise self._until.passed() from None
        except OSError as error:  # it may have answered all the same: then that is read
            raise httpcore.WriteError from error

    def close(self) -> None:
        self._socket.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        try:
            self._socket.settimeout(self._until.left())
            return _Stream(ssl_context.wrap_socket(self._socket, server_hostname=server_hostname), self._until)
        except BaseException as error:
            self._socket.close()
            if isinstance(error, TimeoutError):
                raise self._until.passed() from None
            raise

    def get_extra_info(self, info: str) -> Any:
        return self._socket if info == "ssl_object" and isinstance(self._socket, ssl.SSLSocket) else None
