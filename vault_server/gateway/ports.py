"""Whether an address can be listened on, asked before anything is made that a failed start would leave behind."""

from __future__ import annotations

import errno
import socket
from contextlib import suppress


def why_not(host: str, port: int) -> OSError | None:
    """What keeps this process from binding to it; None when nothing does, as far as can be told now.

    Of a name with several addresses one that is not this machine's is no obstacle yet: the listener decides.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        return error
    tried = [_bind(family, address) for family, _, _, _, address in found]
    failed = [reason for reason in tried if reason is not None]
    for reason in failed:
        if reason.errno in (errno.EADDRINUSE, errno.EACCES) or len(failed) == len(found):
            return reason
    return None


def _bind(family: int, address: object) -> OSError | None:
    """Without listening: a client that tries just now is better refused than met and left."""
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the listener's: TIME_WAIT is no obstacle
            if family == socket.AF_INET6:
                with suppress(OSError):
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind(address)  # type: ignore[arg-type]
    except OSError as error:
        return error
    return None
