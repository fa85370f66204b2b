"""Whether an address can be listened on: what is taken, what is another machine's, and what stays free."""

from __future__ import annotations

import errno
import socket

from vault_server.gateway.ports import why_not


def test_a_free_address_is_free_and_stays_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as once:
        port = once.getsockname()[1]
    for host in ("127.0.0.1", "localhost", "0.0.0.0"):
        assert why_not(host, port) is None
        assert why_not(host, 0) is None
    socket.create_server(("127.0.0.1", port)).close()


def test_a_taken_address_is_named_so_by_every_name_of_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for host in ("127.0.0.1", "localhost", "0.0.0.0"):
            reason = why_not(host, port)
            assert reason is not None
            assert reason.errno == errno.EADDRINUSE


def test_the_address_of_another_machine_is_none_of_ours() -> None:
    reason = why_not("203.0.113.7", 0)
    assert reason is not None
    assert reason.errno == errno.EADDRNOTAVAIL


def test_what_is_no_address_is_no_place_to_listen() -> None:
    assert why_not("999.999.999.999", 0) is not None
