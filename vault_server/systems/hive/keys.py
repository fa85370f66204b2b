"""API keys and sessions: made from randomness, told once, kept as hashes; and whom they let in.

Every request looks its key up: what is revoked has ended at once.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence

from protocol.errors import MessageError
from protocol.hive import KEY_PREFIX, KEY_PREFIX_LENGTH
from vault_server.core.accounts import Held
from vault_server.core.operation import Caller, Endpoint, Reader, Refusal, Row
from vault_server.systems.hive import access
from vault_server.systems.hive.records import q

SECRET_BYTES = 32

_KEY = re.compile(KEY_PREFIX + "[0-9a-f]{64}")
_AGENT = "agent:"
_TOKEN = re.compile("[0-9a-f]{64}")


def make_key(random_bytes: Callable[[int], bytes]) -> str:
    """A new API key: `th_agent_` and 64 hex digits."""
    return KEY_PREFIX + random_bytes(SECRET_BYTES).hex()


def make_token(random_bytes: Callable[[int], bytes]) -> str:
    """A new session's name."""
    return random_bytes(SECRET_BYTES).hex()


def hash_of(secret: str) -> str:
    """What is kept: SHA-256, 64 hex digits. A key is random throughout, so that nothing slower is needed."""
    return hashlib.sha256(secret.encode()).hexdigest()


def prefix_of(key: str) -> str:
    """The part of an API key that is kept and shown."""
    return key[:KEY_PREFIX_LENGTH]


def agent_caller(reader: Reader, key: str, address: str) -> Caller:
    """Who sends this API key. Raises Refusal(UNAUTHORIZED, FORBIDDEN)."""
    row = reader.one(q.agent_of_key, key_hash=hash_of(key)) if _KEY.fullmatch(key) else None
    if row is None:
        raise access.unauthorized()
    access.check_active(row)
    return Caller("", "", Endpoint.HIVE, address, f"agent:{row['id']}")


def user_caller(reader: Reader, token: str, address: str, now_ms: int) -> Caller:
    """Whose session this is. Raises Refusal(UNAUTHORIZED)."""
    row = reader.one(q.session, token_hash=hash_of(token), now=now_ms) if _TOKEN.fullmatch(token) else None
    if row is None:
        raise access.unauthorized()
    return Caller("", "", Endpoint.HIVE, address, f"user:{row['user_id']}")


def ended(reader: Reader, held: Sequence[Held], now_ms: int) -> Mapping[Held, MessageError]:
    """Those that let nobody in any more, whether they have ended for good or the agent is paused."""
    of_agents = {each: int(each.account.removeprefix(_AGENT)) for each in held if each.account.startswith(_AGENT)}
    agents = {row["id"]: row for row in reader.all(q.agents_held, ids=json.dumps([*of_agents.values()]))}
    hashes = json.dumps([each.secret_hash for each in held if each not in of_agents])
    sessions = {row["token_hash"] for row in reader.all(q.sessions_held, hashes=hashes, now=now_ms)}
    found: dict[Held, MessageError] = {}
    for each in held:
        agent = agents.get(of_agents[each]) if each in of_agents else None
        if each.secret_hash not in sessions and (agent is None or agent["api_key_hash"] != each.secret_hash):
            found[each] = access.unauthorized()
        elif agent is not None and (refusal := _inactive(agent)) is not None:
            found[each] = refusal
    return found


def _inactive(agent: Row) -> Refusal | None:
    try:
        access.check_active(agent)
    except Refusal as refusal:
        return refusal
    return None
