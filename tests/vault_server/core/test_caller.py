"""How a caller is named where limits, pushes and idempotency are counted."""

from __future__ import annotations

from vault_server.core.operation import SERVER, Caller, Endpoint


def test_a_key_is_named_by_its_fingerprint_and_an_account_by_itself() -> None:
    assert Caller("f" * 32, "a" * 64, Endpoint.CLIENT, "192.0.2.1").subject == "key:" + "f" * 32
    assert Caller("", "", Endpoint.HIVE, "192.0.2.1", "agent:7").subject == "agent:7"
    assert Caller("", "", Endpoint.HIVE, "192.0.2.1", "user:7").subject == "user:7"
    assert SERVER.subject == "key:"
