"""The way to a conversation: TCP, TLS, HTTP, and what each of them can answer instead. Knows no messages."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Callable, Mapping
from typing import Literal

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as dial_websocket
from websockets.exceptions import InvalidHandshake, InvalidStatus, NegotiationError
from websockets.typing import Subprotocol as SubprotocolName

from protocol.address import Address
from protocol.closing import retry_after
from protocol.peer import FRAME_BYTES_MAX, SEALED
from vault_client.errors import ServerNotTrusted, VaultClientError
from vault_client.losses import Broken

OPEN_SECONDS_MAX = 10.0
"""For opening the socket, and again for the handshake."""
CLOSE_SECONDS_MAX = 2.0


class _Straight(dial_websocket):
    """Goes nowhere else: what a request carries is for the server that was named."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Take a redirect for the answer that it is."""
        return exc


Refusal = Callable[[int, bytes], VaultClientError | None]
"""refusal(HTTP status, body): what an answer means that is no conversation; None is what it means to everybody."""


async def open_socket(
    address: Address,
    path: str,
    *,
    subprotocol: str = SEALED.name,
    headers: Mapping[str, str] | None = None,
    refusal: Refusal = lambda _status, _body: None,
    frame_bytes_max: int = 16 * FRAME_BYTES_MAX,
) -> ClientConnection:
    """Connect to a path as far as HTTP goes. Raises Broken, ServerNotTrusted, and what `refusal` makes of an answer.

    With `headers` no redirect is followed.
    """
    connect = dial_websocket if headers is None else _Straight
    try:
        return await connect(
            address.url(path),
            subprotocols=[SubprotocolName(subprotocol)],
            additional_headers=headers,
            compression=None,  # sealed frames do not compress, and beside a secret nothing should
            proxy=_proxy(address),
            open_timeout=OPEN_SECONDS_MAX,
            close_timeout=CLOSE_SECONDS_MAX,
            max_size=frame_bytes_max,
        )
    except InvalidStatus as error:
        status = error.response.status_code
        if (refused := refusal(status, bytes(error.response.body))) is not None:
            raise refused from None
        if status >= 500 or status == 429:
            wait = retry_after(error.response.headers.get("Retry-After"))
            raise Broken(f"the server answered with HTTP status {status}", wait) from None
        raise _no_vault(address, f"it answered with HTTP status {status}") from None
    except NegotiationError:
        raise _no_vault(address, f"it does not speak {subprotocol}") from None
    except TimeoutError:
        raise Broken("the server did not answer in time") from None
    except InvalidHandshake as error:
        raise Broken(f"what answers is no WebSocket server ({type(error).__name__})") from None
    except ssl.SSLCertVerificationError as error:
        raise ServerNotTrusted(
            f"The certificate of {address.authority} does not hold: {error.verify_message}.",
            "Check the address, and this machine's clock and certificates.",
        ) from None
    except OSError as error:
        raise Broken(_network_reason(error)) from None


def _proxy(address: Address) -> Literal[True] | None:
    """The environment's proxy, but never for this machine itself."""
    try:
        local = ipaddress.ip_address(address.host.strip("[]")).is_loopback
    except ValueError:
        local = address.host == "localhost"
    return None if local else True


def _no_vault(address: Address, what: str) -> ServerNotTrusted:
    return ServerNotTrusted(f"What answers at {address.authority} is no vault server: {what}.", "Check the address.")


def _network_reason(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError) or "Connect call failed" in str(error):
        return "nothing listens there"
    return (error.strerror or type(error).__name__).lower()
