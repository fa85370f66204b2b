"""Whose word is taken for where a connection comes from: proxies that the operator has named, and nobody else's."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from vault_server.gateway.addresses import plain_address


class Proxies:
    """`trusted` are addresses and networks, checked by the settings."""

    def __init__(self, trusted: Sequence[str]) -> None:
        self._networks = [ipaddress.ip_network(network, strict=False) for network in trusted]

    def trusts(self, address: str) -> bool:
        """Whether this is one of the named proxies."""
        if not self._networks:
            return False
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)

    def origin(self, proxy: str, forwarded_for: Iterable[str]) -> str:
        """The last address in X-Forwarded-For that no named proxy has: what stands before it, anybody may have written.

        `proxy` itself where the header is absent or says no address there.
        """
        origin = proxy
        entries = [entry for header in forwarded_for for entry in header.split(",")]
        for entry in reversed(entries):
            address = _address(entry.strip())
            if address is None:
                break
            origin = address
            if not self.trusts(origin):
                break
        return origin


def _address(entry: str) -> str | None:
    """The address of one entry; some proxies write its port, too."""
    if entry.startswith("["):
        entry = entry[1:].partition("]")[0]
    elif entry.count(":") == 1:
        entry = entry.partition(":")[0]
    address = plain_address(entry)
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return None
    return address
