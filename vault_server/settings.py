"""Every setting and limit of the server, with unit and bounds; each can be set in the environment as VAULT_<NAME>."""

from __future__ import annotations

import re
import socket
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from protocol.peer import FRAME_BYTES_MAX
from protocol.vault import CHECKPOINT_BYTES_MAX
from vault_server.core.location import Location, PostgresUrl, location

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS


class Settings(BaseSettings):
    """All settings. Names carry their unit; `docs/protocol.md` lists those that a peer can meet."""

    model_config = SettingsConfigDict(env_prefix="VAULT_", extra="forbid", frozen=True)

    # where
    node: str = Field(
        default_factory=socket.gethostname, min_length=1, max_length=64, description="this server's name in its log"
    )
    database: Annotated[Path | PostgresUrl, BeforeValidator(location)] = Field(
        default=Path("vault.db"),
        description="the SQLite file, its keys beside it; or, for many nodes, postgresql://user@host:5432/name",
    )
    key_files: Path = Field(
        default=Path("vault"),
        description="with PostgreSQL: where KEY_FILES.identity, .master-key, .control stand; nodes share the keys",
    )
    node_lease_ms: int = Field(
        default=10_000, ge=1000, le=600_000, description="a node that has not renewed its lease for so long is gone"
    )
    database_connections_max: int = Field(
        default=8, ge=5, le=100, description="connections of this node to PostgreSQL; four are for reading and hints"
    )
    host: str = Field(default="127.0.0.1", description="address to listen on; loopback unless told otherwise")
    port: int = Field(default=8765, ge=0, le=65535, description="port of the WebSocket endpoints; 0 picks a free one")
    public_names: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="host:port by which peers dial it, comma-separated; also loopback unless plain_frames=always",
    )
    tls_certificate: Path | None = Field(default=None, description="PEM chain; with tls_key the server speaks wss")
    tls_key: Path | None = Field(default=None, description="PEM private key of tls_certificate")
    plain_frames: Literal["loopback", "always", "never"] = Field(
        default="loopback",
        description="who may use unsealed subprotocols: loopback peers, everybody (always; TLS is in front), or never",
    )
    master_key: str | None = Field(
        default=None,
        repr=False,
        pattern=r"^([0-9a-f]{64}|[1-9][0-9]{0,4}:[0-9a-f]{64}(,[1-9][0-9]{0,4}:[0-9a-f]{64})*)$",
        description="64 hex digits, or version:digits,version:digits, instead of the key file beside the database",
    )

    # connections
    connections_max: int = Field(default=10_000, ge=1, description="connections in all")
    connections_per_key_max: int = Field(default=16, ge=1, description="client connections of one key")
    connections_per_address_max: int = Field(default=512, ge=1, description="connections of one address")
    handshakes_per_address_max: int = Field(
        default=256, ge=1, description="connections of one address that have not proved a key yet"
    )
    new_connections_per_address_max: int = Field(
        default=300, ge=1, le=1_000_000, description="new connections of one address in rate_limit_window"
    )
    failed_hellos_per_address_max: int = Field(
        default=100,
        ge=1,
        le=1_000_000,
        description="hellos of one address refused in rate_limit_window before it is heard no more",
    )
    ipv6_prefix_bits: int = Field(
        default=64, ge=1, le=128, description="IPv6 addresses that share so many first bits count as one"
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="addresses and networks, comma-separated, whose X-Forwarded-For says where a connection comes from",
    )
    handshake_ms_max: int = Field(default=10_000, ge=50, description="time from connection to a valid hello")
    frame_bytes_max: int = Field(
        default=FRAME_BYTES_MAX, ge=4096, le=16 * 2**20, description="bytes of one message, unsealed"
    )
    queue_messages_max: int = Field(
        default=1024, ge=1, description="requests of one connection that wait for their replies"
    )
    buffer_bytes_max: int = Field(
        default=4 * 2**20, ge=65_536, description="unsent bytes of one connection before it is closed"
    )
    bad_messages_max: int = Field(
        default=16, ge=0, description="frames that are no message before the connection is closed"
    )
    push_window: int = Field(default=256, ge=1, description="pushes sent on one connection and not yet acknowledged")
    progress_ms_min: int = Field(
        default=1000, ge=0, le=3_600_000, description="time between two reports of one task's progress to its client"
    )
    silence_ms_max: int = Field(
        default=90_000, ge=1000, description="time without a byte, our pings answered, before closing"
    )
    drain_ms_max: int = Field(default=10_000, ge=0, description="time for replies and closing handshakes at shutdown")

    # operators
    operators_max: int = Field(default=16, ge=1, description="commands of operators on the control socket at once")
    operator_line_bytes_max: int = Field(
        default=16_384, ge=256, description="bytes of one request on the control socket"
    )
    tail_waiting_bytes_max: int = Field(
        default=2**20, ge=4096, description="bytes of log lines that wait for one `vault-server tail`; then lines drop"
    )

    # how much a key may say (seed 000 §3.4)
    max_requests_per_window: int = Field(
        default=20, ge=1, le=1_000_000, description="messages of one solver's key in rate_limit_window"
    )
    max_requests_per_window_client: int = Field(
        default=100, ge=1, le=1_000_000, description="messages of one key in rate_limit_window, on /client or /subnet"
    )
    rate_limit_window: int = Field(
        default=10, ge=1, le=3600, description="seconds in which messages are counted; the window slides"
    )
    ban_duration: int = Field(
        default=300, ge=1, le=DAY_MS // 1000, description="seconds of a first ban; doubled at each one within a day"
    )

    # health and metrics
    http_enabled: bool = Field(
        default=True, description="whether health, metrics and the hive's REST and pages are served"
    )
    http_host: str = Field(default="127.0.0.1", description="address of the HTTP port; loopback unless told otherwise")
    http_port: int = Field(default=8766, ge=0, le=65535, description="port of HTTP; 0 picks a free one")
    http_connections_max: int = Field(
        default=512, ge=1, description="HTTP connections whose requests are answered; twice as many are not accepted"
    )
    http_connections_per_address_max: int = Field(
        default=64, ge=1, description="HTTP connections of one address; a trusted proxy may have more"
    )
    http_request_ms_max: int = Field(
        default=10_000, ge=50, description="time for a whole HTTP request, and for taking what is answered"
    )
    http_header_bytes_max: int = Field(
        default=16_384, ge=1024, le=2**20, description="bytes of an HTTP request's first line and headers"
    )

    # batches
    batch_messages_max: int = Field(default=256, ge=1, description="messages in one transaction")
    check_threads: int = Field(default=2, ge=1, le=64, description="threads that check puzzles before they are stored")
    checks_waiting_max: int = Field(default=1024, ge=1, description="puzzles waiting to be checked, in all")
    checks_waiting_per_key_max: int = Field(default=64, ge=1, description="puzzles of one key waiting to be checked")
    judge_processes: int = Field(
        default=1,
        ge=1,
        le=64,
        description="processes for each kind of judging: computing answers, checking proofs, comparing with factors",
    )
    proofs_waiting_max: int = Field(default=256, ge=1, description="proofs of one solver that wait to be checked")

    # the vault
    modulus_bits_min: int = Field(default=2048, ge=64, description="smallest product, in bits")
    modulus_bits_max: int = Field(default=4096, le=8192, description="largest product, in bits")
    squarings_max: int = Field(default=2**40, ge=1, le=2**53 - 1, description="largest t")
    open_tasks_max: int = Field(default=1000, ge=1, description="tasks of one client that have not ended")
    assignments_max: int = Field(default=6, ge=2, description="assignments of one task before it fails")
    computed_squarings_max: int = Field(
        default=4096, ge=0, le=65_536, description="largest t the server computes to judge"
    )
    capacity_max: int = Field(
        default=64, ge=1, le=1024, description="assignments one solver may hold, whatever it announces"
    )
    relay_interval_ms: int = Field(
        default=30_000, ge=0, description="time between two checkpoints of one assignment that a solver relays"
    )
    relay_bytes_max: int = Field(
        default=CHECKPOINT_BYTES_MAX,
        ge=0,
        le=CHECKPOINT_BYTES_MAX,
        description="residues of one assignment's relayed checkpoint; 0: none are taken",
    )
    trap_share: float = Field(
        default=0.01, ge=0.0, le=1.0, description="the server's own puzzles, as a share of the clients' effort"
    )
    trap_first: bool = Field(
        default=False, description="whether a new key solves one of the server's own puzzles before it gets a client's"
    )
    deadline_ms_unknown: int = Field(
        default=8 * HOUR_MS, ge=1, description="shortest deadline when a solver's speed is not known"
    )
    deadline_ms_min: int = Field(default=MINUTE_MS, ge=1, description="shortest deadline")
    deadline_ms_max: int = Field(default=365 * DAY_MS, ge=1, description="longest deadline")
    deadline_slack: float = Field(
        default=3.0, ge=1.0, le=1000.0, description="deadline as a multiple of the solver's own estimate"
    )
    restart_grace_ms: int = Field(
        default=2 * MINUTE_MS, ge=0, description="time a solver gets after a restart when its deadline has passed"
    )
    complaint_ms: int = Field(default=16 * HOUR_MS, ge=0, description="complaint window after the deadline")
    complaint_response_ms: int = Field(
        default=HOUR_MS, ge=0, description="time solvers get to respond to a complaint before it is ruled"
    )
    complaints_rejected_max: int = Field(
        default=3, ge=1, description="rejected complaints of one client in complaints_rejected_window_ms"
    )
    complaints_rejected_window_ms: int = Field(
        default=7 * DAY_MS, ge=1, description="how long a rejected complaint counts"
    )
    idempotency_ms: int = Field(default=30 * DAY_MS, ge=1000, description="how long an idempotency key is remembered")

    # the subnet
    subnet_frame_bytes_max: int = Field(
        default=2**20, ge=4096, le=16 * 2**20, description="bytes of one message on /subnet, unsealed"
    )
    subnet_expire_ms: int = Field(
        default=6 * HOUR_MS, ge=1, description="time for an answer where no expire_at is given"
    )
    subnet_expire_ms_max: int = Field(default=30 * DAY_MS, ge=1, description="longest time for an answer")
    subnet_fair_ms: int = Field(
        default=10_000, ge=0, description="a miner that is given less time is not blamed when the task expires"
    )
    subnet_vote_window_ms: int = Field(default=6 * HOUR_MS, ge=1, description="time in which an answer is judged")
    subnet_votes_min: int = Field(default=1, ge=1, description="votes below which nobody's reputation moves")
    subnet_voters_max: int = Field(default=100, ge=1, description="participants who are asked to judge one task")
    subnet_asks_max: int = Field(default=64, ge=1, description="votes that one participant is asked for at a time")
    subnet_score_scale: float = Field(
        default=1.0, ge=0.0, le=25.0, description="what an undivided vote is worth to the miner, in points"
    )
    subnet_no_vote_penalty_total: float = Field(
        default=0.0, ge=0.0, le=100.0, description="points that those who were asked and did not vote lose together"
    )
    subnet_open_tasks_max: int = Field(
        default=50, ge=1, description="tasks of one validator that are neither scored nor over"
    )
    subnet_assignments_max: int = Field(default=100, ge=1, description="tasks that wait for one miner's answer")
    subnet_contributors_max: int = Field(default=64, ge=1, le=100, description="active contributors of one miner")
    subnet_validator_reputation_min: float = Field(
        default=0.0, ge=0.0, le=100.0, description="reputation that a validator needs to create tasks"
    )

    # the hive
    hive_requests_max: int = Field(
        default=100, ge=1, le=1_000_000, description="requests of one API key or person in hive_requests_window_ms"
    )
    hive_requests_window_ms: int = Field(
        default=MINUTE_MS, ge=1000, le=HOUR_MS, description="time in which the hive's requests are counted; it slides"
    )
    hive_body_bytes_max: int = Field(
        default=2**20, ge=4096, le=16 * 2**20, description="bytes of one request's body, or of one message on /hive"
    )
    hive_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="scheme://host:port of the hive's pages as browsers see them, comma-separated; loopback is known",
    )
    hive_recheck_ms: int = Field(
        default=3000, ge=100, le=HOUR_MS, description="time between two looks at the keys and sessions open on /hive"
    )
    hive_socket_url: str | None = Field(
        default=None,
        pattern=r"^wss?://[A-Za-z0-9.\-\[\]:]+/hive$",
        description="where browsers reach /hive, such as wss://hive.example.org/hive; else this server's own port",
    )
    hive_payment_basis: Literal["budget", "agreed"] = Field(
        default="budget", description="what a completed task pays: its budget, or what the accepted claim asks for"
    )
    hive_auto_accept_hours: int = Field(
        default=0, ge=0, le=8760, description="hours after which a deliverable nobody looks at is accepted; 0: never"
    )
    hive_agents_max: int = Field(default=100, ge=1, description="agents of one user")
    hive_open_tasks_max: int = Field(
        default=100, ge=1, description="tasks of one user, its agents' included, neither completed nor cancelled"
    )
    hive_webhooks_max: int = Field(default=5, ge=1, le=100, description="webhooks of one agent")
    hive_webhook_allow_private: bool = Field(
        default=False, description="whether webhooks may use http and private addresses: for tests"
    )
    hive_webhook_threads: int = Field(
        default=64, ge=1, le=256, description="webhooks that are sent to at once, of those whose last answer was swift"
    )
    hive_webhook_slow_threads: int = Field(
        default=16, ge=1, le=256, description="webhooks that are sent to at once, of those that failed or took long"
    )
    hive_webhook_timeout_ms: int = Field(
        default=5000, ge=50, le=60_000, description="time for one attempt, from looking the name up to the answer"
    )
    hive_webhook_retry_ms: Annotated[tuple[Annotated[int, Field(ge=0, le=DAY_MS)], ...], NoDecode] = Field(
        default=(5000, 30_000, 120_000),
        description="waits between the attempts of one delivery, comma-separated, give or take a fifth; none: one try",
    )
    hive_matches_max: int = Field(default=500, ge=0, description="agents that are told of one new task, best first")
    hive_login_failures_max: int = Field(
        default=10,
        ge=1,
        le=1000,
        description="failed logins of one e-mail address from one network address in hive_login_window_ms; ten times "
        "as many of either alone",
    )
    hive_entrances_max: int = Field(
        default=20,
        ge=1,
        le=100_000,
        description="logins and registrations sent from one address in hive_requests_window_ms",
    )
    hive_login_window_ms: int = Field(default=15 * MINUTE_MS, ge=1000, description="how long a failed login counts")
    hive_session_ms: int = Field(default=14 * DAY_MS, ge=MINUTE_MS, description="how long a person stays logged in")
    hive_idempotency_ms: int = Field(
        default=DAY_MS, ge=1000, description="how long the reply to an idempotency key is remembered in the hive"
    )
    hive_events_kept_ms: int = Field(
        default=7 * DAY_MS, ge=1000, description="how long an event waits for who does not acknowledge it"
    )

    @model_validator(mode="before")
    @classmethod
    def _split_names(cls, values: dict[str, object]) -> dict[str, object]:
        for setting in ("public_names", "trusted_proxies", "hive_origins", "hive_webhook_retry_ms"):
            names = values.get(setting)
            if isinstance(names, str):
                values[setting] = tuple(name.strip() for name in names.split(",") if name.strip())
        return values

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            ip_network(name, strict=False)  # its ValueError names what is wrong
        return names

    @field_validator("hive_origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if not re.fullmatch(r"https?://[A-Za-z0-9.\-\[\]:]+", origin):
                raise ValueError(f"{origin!r} is no scheme://host:port, as browsers send it")
        return origins

    @field_validator("database")
    @classmethod
    def _names_a_file(cls, path: Location) -> Location:
        if isinstance(path, Path) and not path.name:
            raise ValueError(f"{str(path)!r} names no file; give one like vault.db")
        return path

    @field_validator("public_names")
    @classmethod
    def _names_have_ports(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if not name.rpartition(":")[0] or not name.rpartition(":")[2].isdigit():
                raise ValueError(f"{name!r} is no HOST:PORT, as peers dial it")
        return names

    @model_validator(mode="after")
    def _fit_together(self) -> Settings:
        if self.modulus_bits_min > self.modulus_bits_max:
            raise ValueError("modulus_bits_min is above modulus_bits_max")
        if self.deadline_ms_min > self.deadline_ms_max:
            raise ValueError("deadline_ms_min is above deadline_ms_max")
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key come together")
        if self.plain_frames == "always" and not self.public_names:
            raise ValueError("plain_frames=always needs public_names: without seals, names keep a relay out")
        return self

    @property
    def files(self) -> Path:
        """What the files beside the database are named after, wherever the database is."""
        return self.database if isinstance(self.database, Path) else self.key_files

    def limits(self) -> dict[str, int]:
        """What `welcome` tells every peer."""
        return {name: getattr(self, name) for name in LIMITS}


LIMITS = (
    "assignments_max",
    "bad_messages_max",
    "ban_duration",
    "buffer_bytes_max",
    "capacity_max",
    "complaints_rejected_max",
    "computed_squarings_max",
    "connections_per_address_max",
    "connections_per_key_max",
    "failed_hellos_per_address_max",
    "frame_bytes_max",
    "handshake_ms_max",
    "handshakes_per_address_max",
    "max_requests_per_window",
    "max_requests_per_window_client",
    "modulus_bits_max",
    "modulus_bits_min",
    "new_connections_per_address_max",
    "open_tasks_max",
    "proofs_waiting_max",
    "push_window",
    "queue_messages_max",
    "rate_limit_window",
    "relay_bytes_max",
    "relay_interval_ms",
    "silence_ms_max",
    "squarings_max",
    "subnet_asks_max",
    "subnet_assignments_max",
    "subnet_contributors_max",
    "subnet_expire_ms",
    "subnet_expire_ms_max",
    "subnet_open_tasks_max",
    "subnet_vote_window_ms",
)
"""The settings that a peer can meet, as `welcome` names them."""
