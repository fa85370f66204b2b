"""Where a server is: URLs, authorities, and the text form of a known-servers file. Opens no file and no socket."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from protocol.errors import ProtocolError

DEFAULT_PORT = 8765


class BadAddress(ProtocolError):
    """A server address that cannot be dialled, or a known-hosts file that cannot be read."""


class PinMismatch(ProtocolError):
    """The server at this authority shows another key than the one that is pinned."""


def canonical_authority(host: str, port: int) -> str:
    """host:port in the one spelling that is signed: lower case, IPv6 in brackets and shortest form."""
    bare = host.strip("[]").lower()
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return f"{bare}:{port}"
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


@dataclass(frozen=True, slots=True)
class Address:
    """A server to dial: `secure` is wss."""

    host: str
    port: int
    secure: bool

    @property
    def authority(self) -> str:
        """host:port as it is signed."""
        return canonical_authority(self.host, self.port)

    def url(self, path: str) -> str:
        """The WebSocket URL of one endpoint."""
        return f"{'wss' if self.secure else 'ws'}://{self.authority}{path}"


def parse_address(text: str) -> Address:
    """Read `ws://host:port`, `wss://host` or `host:port`. Raises BadAddress."""
    named = _host_of(text)
    if not text.isprintable() or " " in text:  # urlsplit drops some of these silently; a pin's line is cut at them
        raise BadAddress(f"{named} is no server address: a host name has no spaces or control characters")
    try:
        split = urlsplit(text if "://" in text else f"ws://{text}")
        port = split.port
    except ValueError:  # its text may repeat what stands before the host
        raise BadAddress(f"{named} is no server address: its host or its port is not one") from None
    if split.scheme not in ("ws", "wss") or not split.hostname:
        raise BadAddress(f"{named} is no server address; write ws://HOST:PORT or wss://HOST:PORT")
    if split.path not in ("", "/") or split.query or split.fragment or split.username is not None:
        raise BadAddress(f"{named} has more than a host and a port; the endpoint's path is chosen for you")
    secure = split.scheme == "wss"
    return Address(split.hostname, port if port is not None else (443 if secure else DEFAULT_PORT), secure)


def _host_of(text: str) -> str:
    """What a refusal may repeat of an address: nothing behind the host, and nothing at all where a password may be."""
    scheme, mark, rest = text.rpartition("://")
    if "@" in text or "://" in scheme:
        return "this address"
    return repr(scheme + mark + re.split(r"[/\\?#]", rest)[0])


class KnownServers:
    """Server keys by authority: trust on first use, refuse a change (design §5).

    The text form has one line each: authority, space, 64 hex digits. Lines that start with # are comments.
    """

    def __init__(self, pins: dict[str, str] | None = None) -> None:
        self._pins = dict(pins or {})

    @classmethod
    def parse(cls, text: str) -> KnownServers:
        """Read the text form. Raises BadAddress naming the line."""
        pins: dict[str, str] = {}
        for number, line in enumerate(text.splitlines(), 1):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            if len(words) != 2 or len(words[1]) != 64 or set(words[1]) - set("0123456789abcdef"):
                raise BadAddress(f"line {number} of the known servers is not `HOST:PORT KEY`")
            pins[words[0]] = words[1]
        return cls(pins)

    def check(self, authority: str, server_key: bytes) -> bool:
        """True when the key is the pinned one, False when the authority is new. Raises PinMismatch."""
        pinned = self._pins.get(authority)
        if pinned is None:
            return False
        if pinned != server_key.hex():
            raise PinMismatch(
                f"the server at {authority} shows key {server_key.hex()[:16]}…, but {pinned[:16]}… is pinned for it. "
                "Either somebody is in between, or the server has a new key: ask its operator, "
                "then remove the line from the known-servers file"
            )
        return True

    @staticmethod
    def line(authority: str, server_key: bytes) -> str:
        """The line that pins a key, without its line break."""
        return f"{authority} {server_key.hex()}"
