"""People, agents, their keys and sessions."""

from __future__ import annotations

import re

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import VerifyMismatchError

from protocol import hive as wire
from protocol import hive_replies as reply
from protocol.errors import Code, MessageError
from protocol.hive_fields import CLEARED, Hidden
from tests.vault_server.systems.hive.conftest import MakeHive
from tests.vault_server.systems.hive.harness import PASSWORD_HASH, Hive, agent, number_of, user
from vault_server.core.accounts import Credentials
from vault_server.core.operation import OPERATOR, SERVER, Caller
from vault_server.systems.hive import accounts, keys
from vault_server.systems.hive.logins import Logins
from vault_server.systems.hive.orders import (
    AppointAdmin,
    CloseSession,
    OpenSession,
    RegisterUser,
    SessionOpened,
    StartHive,
)
from vault_server.systems.hive.passwords import Passwords, hash_of_nothing

KEY = re.compile(r"th_agent_[0-9a-f]{64}")


def registering(email: str = "ann@example.org", role: str = "both") -> RegisterUser:
    return RegisterUser(email, "Ann", role, PASSWORD_HASH)


async def test_a_new_user_has_his_bonus(hive: Hive) -> None:
    registered: reply.AccountShown = await hive.give(SERVER, registering())
    account = registered.account
    assert (account.email, account.name, account.role, account.credit_balance) == (
        "ann@example.org",
        "Ann",
        "both",
        500,
    )
    assert await hive.ledger(user(account.id)) == [("bonus", 500, 500)]


async def test_an_address_is_registered_once(hive: Hive) -> None:
    await hive.give(SERVER, registering())
    assert await hive.refused(SERVER, registering()) == Code.EMAIL_TAKEN
    assert await hive.refused(SERVER, registering("house@hive.invalid")) == Code.EMAIL_TAKEN


async def test_nobody_makes_himself_an_admin(hive: Hive) -> None:
    assert await hive.refused(SERVER, registering(role="admin")) == Code.VALIDATION_ERROR
    assert await hive.refused(SERVER, registering(role="king")) == Code.VALIDATION_ERROR


async def test_an_operator_appoints_admins(hive: Hive) -> None:
    await hive.give(SERVER, registering())
    appointed = await hive.give(OPERATOR, AppointAdmin(" Ann@example.org"))
    assert appointed.role_before == "both"
    shown: reply.AccountShown = await hive.give(user(appointed.user_id), wire.MyAccount())
    assert shown.account.role == "admin"
    for nobody in ("eve@example.org", "house@hive.invalid"):
        assert await hive.refused(OPERATOR, AppointAdmin(nobody)) == Code.USER_NOT_FOUND


async def test_starting_again_seeds_nothing_twice(hive: Hive) -> None:
    await hive.give(SERVER, StartHive())
    rows = await hive.rows("SELECT name, slug, sort_order FROM categories ORDER BY id")
    assert [row["name"] for row in rows] == [
        "Coding", "Writing", "Research", "Data Processing", "Design", "Translation", "General",
    ]  # fmt: skip
    assert [row["sort_order"] for row in rows] == [1, 2, 3, 4, 5, 6, 7]
    [house] = await hive.rows("SELECT id, role, password_hash, credit_balance FROM users")
    assert house == {"id": 1, "role": "admin", "password_hash": None, "credit_balance": 0}
    listed: reply.CategoryList = await hive.give(await hive.person(), wire.ListCategories())
    assert [category.slug for category in listed.categories][3] == "data-processing"


async def caller_of_key(hive: Hive, key: str) -> Caller:
    return await hive.database.read(lambda reader: keys.agent_caller(reader, key, "192.0.2.1"))


async def caller_of_token(hive: Hive, token: str) -> Caller:
    return await hive.database.read(lambda reader: keys.user_caller(reader, token, "192.0.2.1", hive.now_ms))


async def test_a_key_is_told_once_and_kept_as_its_hash(hive: Hive) -> None:
    ann = await hive.person()
    order = wire.RegisterAgent(name="robot", description="It does things.", capabilities=("go", "sort"))
    made: reply.AgentKey = await hive.give(ann, order)
    assert KEY.fullmatch(made.api_key)
    row = await hive.agent_row(agent(made.agent.id))
    assert row["api_key_hash"] == keys.hash_of(made.api_key)
    assert row["api_key_prefix"] == made.api_key[:14] == made.agent.api_key_prefix
    assert made.agent.capabilities == ("go", "sort")
    assert await caller_of_key(hive, made.api_key) == agent(made.agent.id)
    assert await hive.ledger(ann) == [("bonus", 500, 500), ("bonus", 100, 600)]
    for secret in (made.api_key, made.api_key[9:]):
        assert secret not in repr(hive.effects)
        assert secret not in repr(made)


async def test_a_rotated_key_and_a_revoked_one_end_at_once(hive: Hive) -> None:
    ann = await hive.person()
    made: reply.AgentKey = await hive.give(ann, wire.RegisterAgent(name="robot", description="It does things."))
    rotated: reply.AgentKey = await hive.give(ann, wire.RotateKey(agent_id=made.agent.id))
    assert rotated.api_key != made.api_key
    with pytest.raises(MessageError, match="UNAUTHORIZED"):
        await caller_of_key(hive, made.api_key)
    assert await caller_of_key(hive, rotated.api_key) == agent(made.agent.id)
    revoked: reply.OwnAgentShown = await hive.give(ann, wire.RevokeKey(agent_id=made.agent.id))
    assert revoked.agent.api_key_prefix is None
    with pytest.raises(MessageError, match="UNAUTHORIZED"):
        await caller_of_key(hive, rotated.api_key)
    await hive.give(ann, wire.RevokeKey(agent_id=made.agent.id))


@pytest.mark.parametrize(
    "key",
    [
        "",
        "th_agent_",
        "th_agent_" + "g" * 64,
        "th_agent_" + "A" * 64,
        "th_agent_" + "a" * 63,
        "x" * 73,
        "th_agent_" + "a" * 64,
    ],
)
async def test_what_is_no_key_lets_nobody_in(hive: Hive, key: str) -> None:
    with pytest.raises(MessageError, match="UNAUTHORIZED"):
        await caller_of_key(hive, key)


async def test_a_paused_agents_key_is_known_and_forbidden(hive: Hive) -> None:
    ann = await hive.person()
    made: reply.AgentKey = await hive.give(ann, wire.RegisterAgent(name="robot", description="It does things."))
    await hive.give(ann, wire.SetAgentStatus(agent_id=made.agent.id, status="paused"))
    with pytest.raises(MessageError, match="FORBIDDEN"):
        await caller_of_key(hive, made.api_key)


async def test_keys_are_for_persons_and_their_own_agents(hive: Hive) -> None:
    ann, eve = await hive.person("ann"), await hive.person("eve")
    robot = await hive.agent(ann)
    for order in (wire.RotateKey(agent_id=1), wire.RevokeKey(agent_id=1)):
        assert await hive.refused(eve, order) == Code.FORBIDDEN
        assert await hive.refused(robot, order) == Code.FORBIDDEN
    assert await hive.refused(ann, wire.RotateKey(agent_id=9)) == Code.AGENT_NOT_FOUND
    register = wire.RegisterAgent(name="robot", description="It does things.")
    for asked in (register, wire.MyAccount(), wire.ListMyAgents(), wire.SetAgentStatus(agent_id=1, status="paused")):
        assert await hive.refused(robot, asked) == Code.FORBIDDEN


async def test_a_suspension_is_an_admins_and_only_he_lifts_it(hive: Hive) -> None:
    ann, eve, judge = await hive.person("ann"), await hive.person("eve"), await hive.admin()
    await hive.agent(ann)

    def switch(status: str) -> wire.SetAgentStatus:
        return wire.SetAgentStatus(agent_id=1, status=status)

    assert await hive.refused(eve, switch("paused")) == Code.FORBIDDEN
    assert await hive.refused(ann, switch("suspended")) == Code.FORBIDDEN
    await hive.give(judge, switch("suspended"))
    for status in ("active", "paused"):
        assert await hive.refused(ann, switch(status)) == Code.FORBIDDEN
    shown: reply.AgentShown = await hive.give(judge, switch("active"))
    assert shown.agent.status == "active"


async def test_a_profile_changes_where_it_is_said_to(hive: Hive) -> None:
    ann = await hive.person()
    robot = await hive.agent(ann, hourly_rate_credits=5, category_ids=(1, 2))
    changed: reply.ProfileChanged = await hive.give(robot, wire.UpdateMe(name="Robby", category_ids=(3,)))
    assert (changed.agent.name, changed.agent.category_ids) == ("Robby", (3,))
    assert (changed.agent.description, changed.agent.hourly_rate_credits) == ("It does things.", 5)
    cleared: reply.ProfileChanged = await hive.give(robot, wire.UpdateMe(hourly_rate_credits=CLEARED, category_ids=()))
    assert (cleared.agent.hourly_rate_credits, cleared.agent.category_ids) == (None, ())
    assert await hive.rows("SELECT * FROM agent_categories") == []
    assert await hive.refused(robot, wire.UpdateMe(category_ids=(8,))) == Code.VALIDATION_ERROR
    me: reply.OwnAgentShown = await hive.give(robot, wire.AskMe())
    assert (me.agent.id, me.agent.name, me.agent.operator.name) == (number_of(robot), "Robby", "ann")


async def test_an_account_changes_where_it_is_said_to(hive: Hive) -> None:
    ann = await hive.person()
    order = wire.UpdateAccount(bio="I sort.", avatar_url="https://example.org/ann.png")
    changed: reply.AccountShown = await hive.give(ann, order)
    assert (changed.account.name, changed.account.bio) == ("ann", "I sort.")
    cleared: reply.AccountShown = await hive.give(ann, wire.UpdateAccount(name="Ann B.", bio=CLEARED))
    assert (cleared.account.name, cleared.account.bio) == ("Ann B.", None)
    assert cleared.account.avatar_url == "https://example.org/ann.png"


async def test_others_see_nothing_private_of_an_agent(hive: Hive) -> None:
    await hive.agent(await hive.person("ann"), webhook_url="https://example.org/hook")
    shown: reply.AgentShown = await hive.give(await hive.person("eve"), wire.GetAgent(agent_id=1))
    said = repr(shown)
    for private in ("example.org", "th_agent", "hook"):
        assert private not in said
    assert await hive.refused(await hive.person("bob"), wire.GetAgent(agent_id=2)) == Code.AGENT_NOT_FOUND


@pytest.mark.parametrize("limit", [1, 3])
async def test_as_many_agents_as_are_allowed(make_hive: MakeHive, limit: int) -> None:
    hive = await make_hive(hive_agents_max=limit)
    ann = await hive.person()
    for number in range(limit):
        await hive.agent(ann, f"robot {number}")
    order = wire.RegisterAgent(name="robot", description="It does things.")
    assert await hive.refused(ann, order) == Code.MAX_AGENTS
    await hive.agent(await hive.person("eve"))


async def test_a_session_lets_its_owner_in_until_it_ends(make_hive: MakeHive) -> None:
    hive = await make_hive(hive_session_ms=60_000)
    ann = await hive.person()
    opened: SessionOpened = await hive.give(SERVER, OpenSession(number_of(ann)))
    assert opened.expires_at == hive.now_ms + 60_000
    assert await caller_of_token(hive, opened.token) == ann
    assert opened.token not in repr(opened)
    hive.now_ms += 59_999
    assert await caller_of_token(hive, opened.token) == ann
    hive.now_ms += 1
    with pytest.raises(MessageError, match="UNAUTHORIZED"):
        await caller_of_token(hive, opened.token)


async def test_logging_out_ends_one_session(hive: Hive) -> None:
    ann = await hive.person()
    one: SessionOpened = await hive.give(SERVER, OpenSession(number_of(ann)))
    two: SessionOpened = await hive.give(SERVER, OpenSession(number_of(ann)))
    await hive.give(SERVER, CloseSession(one.token))
    await hive.give(SERVER, CloseSession(one.token))
    with pytest.raises(MessageError, match="UNAUTHORIZED"):
        await caller_of_token(hive, one.token)
    assert await caller_of_token(hive, two.token) == ann


async def test_credentials_of_nobody_look_like_those_of_who_cannot_log_in(hive: Hive) -> None:
    ann = await hive.person()

    async def found(email: str) -> Credentials:
        return await hive.database.read(lambda reader: accounts.credentials_of(reader, email))

    assert await found("ann@example.org") == Credentials(number_of(ann), PASSWORD_HASH)
    assert (await found("eve@example.org")).password_hash is None
    assert (await found("house@hive.invalid")).password_hash is None


def test_passwords() -> None:
    passwords = Passwords()
    right, wrong = Hidden("correct horse"), Hidden("correct house")
    kept = passwords.hash(right)
    assert kept.startswith("$argon2id$")
    assert kept != passwords.hash(right)
    assert passwords.fits(kept, right)
    assert not passwords.fits(kept, wrong)
    assert not passwords.fits(None, Hidden("nobody has this password"))
    assert not passwords.fits("no hash", right)


def test_comparing_with_nobodys_hash_costs_what_any_other_costs() -> None:
    hasher = PasswordHasher()
    nobodys = hash_of_nothing(hasher)
    assert extract_parameters(nobodys) == extract_parameters(hasher.hash("a password"))
    with pytest.raises(VerifyMismatchError):  # computed to the end, not refused as no hash
        hasher.verify(nobodys, "a password")
    assert nobodys != hash_of_nothing(hasher)


ANN, EVE, HERE, THERE = "ann@example.org", "eve@example.org", "192.0.2.1", "192.0.2.2"


def failing(logins: Logins, count: int, email: str, address: str, now_ms: int = 0) -> None:
    for _ in range(count):
        logins.check(email, address, now_ms)
        logins.failed(email, address, now_ms)


def wait_ms_of(logins: Logins, email: str, address: str, now_ms: int = 0) -> int:
    """0: he may try."""
    try:
        logins.check(email, address, now_ms)
    except MessageError as refusal:
        caught = refusal
    else:
        return 0
    assert caught.code == Code.RATE_LIMITED
    return caught.retry_after_ms or 0


def test_a_stranger_s_failures_lock_out_the_stranger() -> None:
    logins = Logins(failures_max=2, window_ms=1000)
    failing(logins, 1, ANN, HERE)
    failing(logins, 1, ANN, HERE, 500)  # at the limit
    assert wait_ms_of(logins, ANN, HERE, 999) == 1
    assert wait_ms_of(logins, ANN, THERE, 999) == 0
    assert wait_ms_of(logins, EVE, HERE, 999) == 0
    assert wait_ms_of(logins, ANN, HERE, 1000) == 0


def test_failures_of_an_e_mail_address_from_many_places() -> None:
    logins = Logins(failures_max=2, window_ms=1000)
    for number in range(10):
        failing(logins, 2, ANN, f"192.0.2.{number}")  # the twentieth is at the limit
    assert wait_ms_of(logins, ANN, "192.0.2.99", 1) == 999
    assert wait_ms_of(logins, EVE, "192.0.2.99", 1) == 0
    assert wait_ms_of(logins, ANN, "192.0.2.99", 1000) == 0


def test_failures_of_a_place_with_many_e_mail_addresses() -> None:
    logins = Logins(failures_max=2, window_ms=1000)
    for number in range(20):
        failing(logins, 1, f"{number}@example.org", HERE)
    assert wait_ms_of(logins, EVE, HERE, 1) == 999
    assert wait_ms_of(logins, EVE, THERE, 1) == 0


def test_a_success_forgets_what_failed_at_its_own_place() -> None:
    logins = Logins(failures_max=2, window_ms=1000)
    failing(logins, 1, ANN, HERE)
    failing(logins, 2, ANN, THERE)
    logins.succeeded(ANN, HERE)
    failing(logins, 2, ANN, HERE)
    assert wait_ms_of(logins, ANN, HERE) == 1000
    assert wait_ms_of(logins, ANN, THERE) == 1000
