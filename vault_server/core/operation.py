"""What an operation is: an order, who may give it, and the function that carries it out in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from protocol.envelope import Message
from protocol.errors import MessageError

if TYPE_CHECKING:
    from vault_server.core.accounts import Accounts

Row = Mapping[str, Any]


class Refusal(MessageError):
    """The caller's order cannot be carried out, and nothing has happened: code, message, suggestion."""


class Endpoint(StrEnum):
    """Where a caller speaks from. `SERVER` is the server itself: passing time, its own jobs. `OPERATOR`: who may open
    the control socket."""

    CLIENT = "client"
    SOLVER = "solver"
    SUBNET = "subnet"
    HIVE = "hive"
    SERVER = "server"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who gives an order: a proved key, on an endpoint, from an address (of IPv6 the prefix that counts as one).

    In the hive nobody has a key: `account` says who speaks, `agent:<id>` or `user:<id>`.
    """

    fingerprint: str
    hotkey: str
    endpoint: Endpoint
    address: str
    account: str = ""

    @property
    def subject(self) -> str:
        """How limits, outbox and idempotency name this caller."""
        return self.account or f"key:{self.fingerprint}"


SERVER = Caller("", "", Endpoint.SERVER, "")
"""The server as its own caller."""

OPERATOR = Caller("", "", Endpoint.OPERATOR, "")
"""Whoever may open the control socket."""


class Query(str):
    """One named SQL statement. `.name` is what errors call it; `.postgres` its form for PostgreSQL, if it has one."""

    name: str
    postgres: str | None

    def __new__(cls, name: str, sql: str, postgres: str | None = None) -> Query:
        """Wrap `sql`, with `:name` placeholders; `postgres` is what PostgreSQL is given in its place."""
        query = super().__new__(cls, sql)
        query.name = name
        query.postgres = postgres
        return query


class Reader(Protocol):
    """Rows to look at."""

    def one(self, query: Query, **values: Any) -> Row | None:
        """The first row, or None."""

    def all(self, query: Query, **values: Any) -> Sequence[Row]:
        """All rows."""


class Transaction(Reader, Protocol):
    """One message's part of a transaction: its changes and effects stand or fall together."""

    @property
    def is_alone(self) -> bool:
        """Whether nobody else can write until it is over: then nothing needs to be locked or claimed."""

    def run(self, query: Query, **values: Any) -> int:
        """Change rows; the number changed."""

    def insert(self, query: Query, **values: Any) -> int:
        """Add one row by `INSERT … RETURNING` its generated key; that key."""

    def after(self, effect: Effect) -> None:
        """Have `effect` carried out once this is on disk, and never if it is rolled back."""


class LogEvent(NamedTuple):
    """A line for the log, once it is true."""

    event: str
    fields: Mapping[str, Any]


class Relay(NamedTuple):
    """A message for whoever is connected now; not durable. Those of one `topic` are passed on at a bounded rate."""

    receiver: str
    endpoint: Endpoint
    message: Message
    topic: str | None = None


class JobDue(NamedTuple):
    """Slow work that the new rows ask for; owners take turns."""

    job: str
    key: str
    owner: str = ""


class BanChanged(NamedTuple):
    """A subject (key:<fingerprint>) is kept out until `until_ms`, or no longer (None)."""

    subject: str
    until_ms: int | None
    reason: str


class AccountChanged(NamedTuple):
    """What lets an account (agent:<id>, user:<id>) in may have ended: whoever is connected by it is looked at again."""

    account: str


@dataclass(frozen=True, slots=True)
class MasterKeyMade:
    """Values will be sealed with this version of the master key: whoever reads them has to know it."""

    version: int
    key: bytes = field(repr=False)


Effect = LogEvent | Relay | JobDue | BanChanged | AccountChanged | MasterKeyMade


def log(tx: Transaction, event: str, **fields: Any) -> None:
    """Log `event` once the transaction is on disk."""
    tx.after(LogEvent(event, fields))


Handler = Callable[..., Any]
"""handler(tx, caller, order, now_ms), or with a Reader as its first argument.

The reply is a wire message or None; for the operator, a dataclass of what JSON can hold."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One order's handler: `handler(tx, caller, order, now_ms) -> reply`.

    `check`, when given, costs milliseconds of CPU and runs before the transaction, off the loop; `checked` says that
    it is not needed for this order. Both raise MessageError. They see the order and nothing else.

    `allowance` names what the caller uses up by giving this order. If a push has granted that on its connection, the
    order does not count against its rate limit.

    `only_reads`: the handler takes a Reader, and is carried out beside the writer, on what is on disk by then.
    """

    order: type
    callers: frozenset[Endpoint]
    handler: Handler
    check: Callable[[Any], None] | None = None
    checked: Callable[[Any], bool] | None = None
    allowance: Callable[[Any], Hashable | None] | None = None
    only_reads: bool = False


@dataclass(frozen=True, slots=True)
class Push:
    """How an outbox row of one kind becomes a message, or None when it has no object any more.

    Rows that are `standing` are not removed by acknowledgement, but when what they are about ends. Sending one `grants`
    its receiver orders that are free of the rate limit, once each (see `Operation.allowance`), or `revokes` them
    once it is acknowledged.
    """

    kind: str
    render: Callable[[Reader, Row], Message | None]
    grants: Callable[[Any], Iterable[Hashable]] | None = None
    revokes: Callable[[Any], Iterable[Hashable]] | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """Slow work outside transactions: `load` reads (None: nothing left to do), `compute` burns or waits for a network,
    the result is an order. One key waits once, and is worked on once at a time.

    `pending` finds the keys that a server which was killed left undone; it is asked at the start and, where that is
    given, every `pending_seconds`.

    `begin`, when given, is an order made of what was read and carried out before anything is computed: its reply is
    what is computed with (None: it is not to be done here). `threads`: how many at once, if not `judge_processes`.

    `by_worker`: computed in a worker process. `compute` is a function of a module that imports protocol/ alone, and is
    found by its name there; what it takes and returns is pickled, so nothing that it changes is seen here.
    """

    name: str
    load: Callable[[Reader, str], Any | None]
    compute: Callable[[Any], Any]
    conclude: Callable[[str, Any], Any]
    pending: Callable[[Reader], Iterable[str]]
    begin: Callable[[Any], Any] | None = None
    threads: int | None = None
    pending_seconds: float | None = None
    by_worker: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """A question of the operator: `read(reader, subject, now_ms)` gives what JSON can hold, None when there is no such
    subject. Asked of a running server or, when there is none, of the database file.
    """

    name: str
    read: Callable[[Reader, str, int], Any]


@dataclass(frozen=True, slots=True)
class Invariant:
    """Something that is always true of the rows: `violations(reader)` names each row that breaks it, in a sentence."""

    name: str
    violations: Callable[[Reader], Iterable[str]]


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """A column whose values are sealed (exchange/cipher.py). `row` and `owner` are the columns of the same table that
    hold what the seal is bound to; `key` is the integer primary key along which the table is walked.
    """

    table: str
    column: str
    row: str
    owner: str
    key: str = "db_key"


@dataclass(frozen=True, slots=True)
class Gauge:
    """A number of the rows for /metrics: `read(reader, now_ms)` gives it by the values of `label` ("": it has none).

    It is read about once a second at most, and should cost no more than some milliseconds then.
    """

    name: str
    help: str
    label: str
    read: Callable[[Reader, int], Mapping[str, float]]


Penalty = Callable[[Transaction, str, int], None]
"""penalty(tx, fingerprint, now_ms): lower a key's standing for repeated violations (seed 000 §3.4)."""


@dataclass(frozen=True, slots=True)
class Door:
    """A WebSocket path of a system. `joined` and `left` are orders given when a key comes and when it is gone.

    `by_account`: callers have no keys; who they are is said with the upgrade request (core/accounts.py). `exclusive`: a
    key has one connection here; a newer one replaces it. `frame_bytes_max`: of a message here, where that is more than
    elsewhere.
    """

    path: str
    endpoint: Endpoint
    exclusive: bool = False
    by_account: bool = False
    frame_bytes_max: int | None = None
    joined: Callable[[], Any] | None = None
    left: Callable[[], Any] | None = None


@dataclass(frozen=True, slots=True)
class System:
    """What one system hands to `app.py`."""

    name: str
    doors: Sequence[Door]
    operations: Sequence[Operation]
    pushes: Sequence[Push]
    jobs: Sequence[Job] = ()
    deadlines: Mapping[str, Callable[[str], Any]] = field(default_factory=dict)
    reports: Sequence[Report] = ()
    invariants: Sequence[Invariant] = ()
    gauges: Sequence[Gauge] = ()
    penalties: Mapping[Endpoint, Penalty] = field(default_factory=dict)
    """Who loses standing by repeated violations, by the endpoint where they happened."""
    sealed: Sequence[SealedColumn] = ()
    """Every column that holds sealed values: a new master key has to reach them all."""
    tidying: Sequence[Callable[[Transaction, int], int]] = ()
    """What is done once a day: tidy(tx, now_ms) drops rows that have served their time and says how many."""
    starting: Sequence[Any] = ()
    """Orders given once before the first connection is accepted."""
    absent: Sequence[Callable[[Transaction, str, int], None]] = ()
    """What is done when a node is gone: take_offline(tx, node, now_ms) for who was online there."""
    returned: Sequence[Callable[[Transaction, str, int], None]] = ()
    """What is done when a node that was taken to be gone is there after all: its peers never left it."""
    accounts: Accounts | None = None
    """Who may come, where the callers of this system have no keys."""
    waking: Sequence[Any] = ()
    """Orders given when the server stood still for a while, before anything falls due."""
