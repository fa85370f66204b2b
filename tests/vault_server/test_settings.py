"""Every setting at its bounds and one beyond, what does not go together, and the environment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from vault_server.settings import LIMITS, Settings

# setting: smallest, largest (None: no such bound)
BOUNDS: dict[str, tuple[int, int | None]] = {
    "port": (0, 65_535),
    "connections_max": (1, None),
    "connections_per_key_max": (1, None),
    "connections_per_address_max": (1, None),
    "handshakes_per_address_max": (1, None),
    "new_connections_per_address_max": (1, 1_000_000),
    "failed_hellos_per_address_max": (1, 1_000_000),
    "ipv6_prefix_bits": (1, 128),
    "handshake_ms_max": (50, None),
    "frame_bytes_max": (4096, 16 * 2**20),
    "queue_messages_max": (1, None),
    "buffer_bytes_max": (65_536, None),
    "bad_messages_max": (0, None),
    "push_window": (1, None),
    "progress_ms_min": (0, 3_600_000),
    "silence_ms_max": (1000, None),
    "drain_ms_max": (0, None),
    "node_lease_ms": (1000, 600_000),
    "database_connections_max": (5, 100),
    "http_port": (0, 65_535),
    "http_connections_max": (1, None),
    "http_request_ms_max": (50, None),
    "http_header_bytes_max": (1024, 2**20),
    "max_requests_per_window": (1, 1_000_000),
    "max_requests_per_window_client": (1, 1_000_000),
    "rate_limit_window": (1, 3600),
    "ban_duration": (1, 86_400),
    "operators_max": (1, None),
    "operator_line_bytes_max": (256, None),
    "tail_waiting_bytes_max": (4096, None),
    "batch_messages_max": (1, None),
    "check_threads": (1, 64),
    "checks_waiting_max": (1, None),
    "checks_waiting_per_key_max": (1, None),
    "judge_processes": (1, 64),
    "proofs_waiting_max": (1, None),
    "relay_interval_ms": (0, None),
    "relay_bytes_max": (0, 2**18),
    "modulus_bits_min": (64, 4096),  # modulus_bits_max
    "modulus_bits_max": (2048, 8192),  # from modulus_bits_min
    "squarings_max": (1, 2**53 - 1),
    "open_tasks_max": (1, None),
    "assignments_max": (2, None),
    "computed_squarings_max": (0, 65_536),
    "capacity_max": (1, 1024),
    "deadline_ms_unknown": (1, None),
    "deadline_ms_min": (1, 365 * 86_400_000),  # deadline_ms_max
    "deadline_ms_max": (60_000, None),  # from deadline_ms_min
    "complaint_ms": (0, None),
    "restart_grace_ms": (0, None),
    "complaint_response_ms": (0, None),
    "complaints_rejected_max": (1, None),
    "complaints_rejected_window_ms": (1, None),
    "idempotency_ms": (1000, None),
    "subnet_frame_bytes_max": (4096, 16 * 2**20),
    "subnet_expire_ms": (1, None),
    "subnet_expire_ms_max": (1, None),
    "subnet_fair_ms": (0, None),
    "subnet_vote_window_ms": (1, None),
    "subnet_votes_min": (1, None),
    "subnet_voters_max": (1, None),
    "subnet_asks_max": (1, None),
    "subnet_open_tasks_max": (1, None),
    "subnet_assignments_max": (1, None),
    "subnet_contributors_max": (1, 100),
    "http_connections_per_address_max": (1, None),
    "hive_requests_max": (1, 1_000_000),
    "hive_requests_window_ms": (1000, 3_600_000),
    "hive_body_bytes_max": (4096, 16 * 2**20),
    "hive_recheck_ms": (100, 3_600_000),
    "hive_auto_accept_hours": (0, 8760),
    "hive_agents_max": (1, None),
    "hive_open_tasks_max": (1, None),
    "hive_webhooks_max": (1, 100),
    "hive_webhook_threads": (1, 256),
    "hive_webhook_slow_threads": (1, 256),
    "hive_webhook_timeout_ms": (50, 60_000),
    "hive_matches_max": (0, None),
    "hive_login_failures_max": (1, 1000),
    "hive_entrances_max": (1, 100_000),
    "hive_login_window_ms": (1000, None),
    "hive_session_ms": (60_000, None),
    "hive_idempotency_ms": (1000, None),
    "hive_events_kept_ms": (1000, None),
}
LARGEST = [(name, largest) for name, (_, largest) in BOUNDS.items() if largest is not None]


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith("VAULT_"):
            monkeypatch.delenv(name)


def made(**values: object) -> Settings:
    return Settings(**values)  # type: ignore[arg-type]


def refusal(**values: object) -> str:
    with pytest.raises(ValidationError) as caught:
        made(**values)
    return str(caught.value)


def test_every_number_among_the_settings_has_its_bounds_here() -> None:
    numbers = {name for name, field in Settings.model_fields.items() if field.annotation is int}
    assert numbers == set(BOUNDS)


def test_every_setting_says_what_it_is() -> None:
    assert all(field.description for field in Settings.model_fields.values())


@pytest.mark.parametrize(("name", "smallest"), [(name, bounds[0]) for name, bounds in BOUNDS.items()])
def test_the_smallest_value_and_one_less(name: str, smallest: int) -> None:
    assert getattr(made(**{name: smallest}), name) == smallest
    assert name in refusal(**{name: smallest - 1})


@pytest.mark.parametrize(("name", "largest"), LARGEST)
def test_the_largest_value_and_one_more(name: str, largest: int) -> None:
    assert getattr(made(**{name: largest}), name) == largest
    assert name in refusal(**{name: largest + 1})


@pytest.mark.parametrize("name", BOUNDS)
@pytest.mark.parametrize("value", ["many", "1.5", None, [1]])
def test_a_number_is_a_number(name: str, value: object) -> None:
    assert name in refusal(**{name: value})


@pytest.mark.parametrize(("slack", "good"), [(1.0, True), (0.999, False), (1000.0, True), (1000.1, False)])
def test_slack_never_shortens_an_estimate(slack: float, good: bool) -> None:
    if good:
        assert made(deadline_slack=slack).deadline_slack == slack
    else:
        assert "deadline_slack" in refusal(deadline_slack=slack)


def test_slack_is_finite() -> None:
    for slack in ("inf", "nan"):
        assert "deadline_slack" in refusal(deadline_slack=slack)


@pytest.mark.parametrize("text", ["", "ab" * 31, "ab" * 33, "AB" * 32, "zz" * 32, "ab" * 32 + "\n", " " + "ab" * 32])
def test_a_master_key_has_64_small_hex_digits(text: str) -> None:
    for whole in (text, f"2:{text}", f"2:{'cd' * 32},1:{text}"):
        assert "master_key" in refusal(master_key=whole)


@pytest.mark.parametrize("version", ["0", "-1", "01", "100000", "", "a", " 1"])
def test_a_version_of_the_master_key_is_a_small_number(version: str) -> None:
    assert "master_key" in refusal(master_key=f"{version}:{'ab' * 32}")


def test_several_versions_of_the_master_key() -> None:
    for text in (f"1:{'ab' * 32}", f"2:{'ab' * 32},1:{'cd' * 32}", f"65535:{'ab' * 32}"):
        assert made(master_key=text).master_key == text
    assert "master_key" in refusal(master_key=f"2:{'ab' * 32}, 1:{'cd' * 32}")
    assert "master_key" in refusal(master_key=f"{'ab' * 32},1:{'cd' * 32}")


def test_a_master_key_is_not_shown() -> None:
    assert "ab" * 32 not in repr(made(master_key="ab" * 32))


@pytest.mark.parametrize("waits", [(), (0,), (5000, 30_000, 120_000), (86_400_000,)])
def test_the_waits_between_attempts_at_a_webhook(waits: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    assert made(hive_webhook_retry_ms=waits).hive_webhook_retry_ms == waits
    monkeypatch.setenv("VAULT_HIVE_WEBHOOK_RETRY_MS", ", ".join(map(str, waits)))
    assert made().hive_webhook_retry_ms == waits


@pytest.mark.parametrize("waits", [(-1,), (86_400_001,), "5000,soon", "5.5", None])
def test_waits_between_attempts_that_are_none(waits: object) -> None:
    assert "hive_webhook_retry_ms" in refusal(hive_webhook_retry_ms=waits)


# what goes together


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"modulus_bits_min": 2049, "modulus_bits_max": 2048}, "modulus_bits_min is above modulus_bits_max"),
        ({"tls_certificate": Path("c.pem")}, "tls_certificate and tls_key come together"),
        ({"tls_key": Path("k.pem")}, "tls_certificate and tls_key come together"),
        ({"plain_frames": "always"}, "needs public_names"),
        ({"deadline_ms_min": 1001, "deadline_ms_max": 1000}, "deadline_ms_min is above deadline_ms_max"),
        ({"database": Path()}, "'.' names no file"),
        ({"public_names": ("vault.example",)}, "'vault.example' is no HOST:PORT"),
        ({"public_names": ("a.example:1", "b.example:x")}, "'b.example:x' is no HOST:PORT"),
        ({"public_names": (":443",)}, "':443' is no HOST:PORT"),
    ],
)
def test_combinations_that_make_no_sense(values: dict[str, object], message: str) -> None:
    assert message in refusal(**values)


@pytest.mark.parametrize(
    "values",
    [
        {"modulus_bits_min": 2048, "modulus_bits_max": 2048},
        {"tls_certificate": Path("c.pem"), "tls_key": Path("k.pem")},
        {"plain_frames": "always", "public_names": ("vault.example:443",)},
        {"deadline_ms_min": 1, "deadline_ms_max": 1},
    ],
)
def test_combinations_at_the_edge(values: dict[str, object]) -> None:
    made(**values)


def test_an_unknown_setting_is_refused() -> None:
    assert "open_task_max" in refusal(open_task_max=3)


# the environment


def test_every_setting_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_OPEN_TASKS_MAX", "3")
    monkeypatch.setenv("VAULT_DATABASE", "other.db")
    monkeypatch.setenv("VAULT_MASTER_KEY", "ab" * 32)
    settings = made(database=Path("given.db"))
    assert (settings.open_tasks_max, settings.master_key) == (3, "ab" * 32)
    assert settings.database == Path("given.db")
    assert made().database == Path("other.db")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("vault.example:443", ("vault.example:443",)),
        ("a.example:1,b.example:2", ("a.example:1", "b.example:2")),
        (" a.example:1 , , b.example:2 ,", ("a.example:1", "b.example:2")),
        ("", ()),
    ],
)
def test_public_names_are_a_list_with_commas(
    monkeypatch: pytest.MonkeyPatch, text: str, names: tuple[str, ...]
) -> None:
    monkeypatch.setenv("VAULT_PUBLIC_NAMES", text)
    assert made().public_names == names


def test_trusted_proxies_are_addresses_and_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_TRUSTED_PROXIES", "192.0.2.1, 10.0.0.0/8,2001:db8::/32")
    assert made().trusted_proxies == ("192.0.2.1", "10.0.0.0/8", "2001:db8::/32")


@pytest.mark.parametrize("name", ["proxy.example", "192.0.2.256", "10.0.0.0/33", "*"])
def test_what_is_no_address_is_no_proxy(name: str) -> None:
    message = refusal(trusted_proxies=name)
    assert "trusted_proxies" in message
    assert name.partition("/")[0] in message


def test_a_bad_value_in_the_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_PORT", "70000")
    assert "port" in refusal()


# what peers are told


def test_the_limits_of_the_welcome_are_settings() -> None:
    settings = made(open_tasks_max=7)
    assert settings.limits() == {name: getattr(settings, name) for name in LIMITS}
    assert settings.limits()["open_tasks_max"] == 7
    assert list(LIMITS) == sorted(set(LIMITS))
    assert set(LIMITS) <= set(BOUNDS)


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        made().port = 1
