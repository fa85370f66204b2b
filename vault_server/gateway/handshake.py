"""What a connection may open with: which paths, which subprotocols, under which names (design §5)."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence

from protocol.address import canonical_authority
from protocol.peer import SEALED, SUBPROTOCOLS
from vault_server.core.operation import Door
from vault_server.settings import Settings

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")


class FrontDoor:
    """The listener's rules for a handshake; `port` is the one that is bound."""

    def __init__(self, settings: Settings, doors: Sequence[Door], port: int, http_port: int = 0) -> None:
        self.doors: Mapping[str, Door] = {door.path: door for door in doors}
        self._plain_frames = settings.plain_frames
        self._is_tls = settings.tls_certificate is not None
        own = (f"http://{canonical_authority(host, http_port)}" for host in LOOPBACK_NAMES if http_port)
        self.origins = frozenset({*own, *(origin.lower() for origin in settings.hive_origins)})
        """Pages whose connections may come with a session: this server's own, and those the operator names."""
        # Unsealed peers from elsewhere sign the name alone: what they signed for their own machine must not count here.
        hosts = {settings.host, *LOOPBACK_NAMES}
        if settings.plain_frames == "always":
            hosts = {host for host in hosts if host not in LOOPBACK_NAMES and not is_loopback(host)}
        names = {canonical_authority(host, port) for host in hosts if not ipaddress_is_any(host)}
        names.update(_canonical(name) for name in settings.public_names)
        self.authorities = frozenset(names)

    def choose_subprotocol(self, offered: Sequence[str], address: str) -> str | None:
        """The first of the peer's offers that it may use here; None when there is none."""
        for name in offered:
            if name in SUBPROTOCOLS and (SUBPROTOCOLS[name].sealed or self._may_be_plain(address)):
                return name
        return None

    def may_be_unsealed(self, address: str) -> bool:
        """Whether what only TLS protects may travel: it does, or needs no protection."""
        return self._is_tls or self._may_be_plain(address)

    def _may_be_plain(self, address: str) -> bool:
        if self._plain_frames == "loopback":
            return is_loopback(address)
        return self._plain_frames == "always"


def _canonical(name: str) -> str:
    host, colon, port = name.rpartition(":")
    return canonical_authority(host, int(port)) if colon and port.isdigit() else name


def is_loopback(address: str) -> bool:
    """Whether an IP address is this machine's own."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def ipaddress_is_any(host: str) -> bool:
    """Whether a host to listen on means every address: then it is no name to dial."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return host == ""


NO_SUBPROTOCOL = (
    f"Offer the subprotocol {SEALED.name} in Sec-WebSocket-Protocol; unsealed ones are for loopback and TLS.\n"
)
