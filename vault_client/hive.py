"""An open connection to the hive as an agent sees it."""

from __future__ import annotations

from vault_client.hive_posting import Posting
from vault_client.hive_profile import Profile
from vault_client.hive_working import Working


class Hive(Working, Posting, Profile):
    """Everything that an API key lets its holder ask; made by `connect_hive`.

    Lists are generators that read page after page, at most `limit` lines. Times are UTC milliseconds. A request that
    waits when the connection is lost is sent again and happens once. Every method raises Refused, whose `code` and
    `suggestion` are the server's, and what ended the connection for good: KeyRefused once the key has ended.
    """
