"""How often logging in may fail within a window: strictly for an e-mail address from one place, more loosely for the
e-mail address from everywhere, and for the place with whatever e-mail addresses.

So a stranger's failures lock out the stranger, and the owner only when they come from many places. In memory of one
node, touched by the event loop alone. A success forgets the failures of its e-mail address from its place.
"""

from __future__ import annotations

from protocol.errors import Code
from vault_server.core.operation import Refusal
from vault_server.exchange.windows import Windows

KEYS_MAX = 65_536
LOOSER = 10


class Logins:
    """At most `failures_max` failures of an e-mail address from one place, and LOOSER times as many of the e-mail
    address and of the place, in `window_ms`."""

    def __init__(self, failures_max: int, window_ms: int) -> None:
        self._of_pairs = Windows(failures_max, window_ms, KEYS_MAX)
        self._of_emails = Windows(LOOSER * failures_max, window_ms, KEYS_MAX)
        self._of_addresses = Windows(LOOSER * failures_max, window_ms, KEYS_MAX)

    def check(self, email: str, address: str, now_ms: int) -> None:
        """Before a password is compared. Raises Refusal(RATE_LIMITED)."""
        wait_ms = max(
            self._of_pairs.of(_pair(email, address), now_ms).wait_ms(now_ms),
            self._of_emails.of(email, now_ms).wait_ms(now_ms),
            self._of_addresses.of(address, now_ms).wait_ms(now_ms),
        )
        if wait_ms:
            raise Refusal(
                Code.RATE_LIMITED,
                "Too many logins have failed.",
                f"Wait {-(-wait_ms // 1000)} s before the next one.",
                retry_after_ms=wait_ms,
            )

    def failed(self, email: str, address: str, now_ms: int) -> None:
        """A password did not fit, or nobody is known by this address."""
        self._of_pairs.of(_pair(email, address), now_ms).add(now_ms)
        self._of_emails.of(email, now_ms).add(now_ms)
        self._of_addresses.of(address, now_ms).add(now_ms)

    def succeeded(self, email: str, address: str) -> None:
        """Its owner is back, at this place; what others get wrong elsewhere goes on counting."""
        self._of_pairs.forget(_pair(email, address))


def _pair(email: str, address: str) -> str:
    return f"{address} {email}"
