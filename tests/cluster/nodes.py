"""Server processes that share a database and an identity, and peers that reach them through a balancer."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from protocol.address import KnownServers, parse_address
from protocol.identity import Identity
from tests.cluster.balancer import Balancer
from tests.cluster.postgres import Postgres
from tests.processes import WITHOUT_TRAPS, Server

KEYS = ("identity", "master-key")
LEASE_MS = 1500


class Node(Server):
    """`vault-server serve` on a PostgreSQL; the first makes the keys, the others have copies of its."""

    def __init__(self, folder: Path, postgres: Postgres, name: str, settings: dict[str, object]) -> None:
        files = folder / name
        given = {"node": name, "key_files": files, "database": postgres.url.secret, "node_lease_ms": LEASE_MS}
        super().__init__(folder, WITHOUT_TRAPS | given | settings, name)
        self.files = files

    def command(self) -> Sequence[str | Path]:
        """The database's URL comes from the environment: command lines can be read by others."""
        return ["-m", "vault_server", "serve", "--port", str(self.port)]

    def have_keys_of(self, other: Node) -> None:
        """Copy what the nodes share."""
        for kind in KEYS:
            shutil.copy(f"{other.files}.{kind}", f"{self.files}.{kind}")

    def have_another_identity(self) -> None:
        """One that no other node proves."""
        Path(f"{self.files}.identity").write_bytes(Identity.generate().to_pem())


class Cluster:
    """The nodes, behind a balancer. Looks like one server to those who dial: `url`, `pin`, `authority`, `find`."""

    def __init__(self, postgres: Postgres, front: Balancer, nodes: Sequence[Node]) -> None:
        self.postgres = postgres
        self.front = front
        self.nodes = nodes

    @property
    def url(self) -> str:
        """The balancer's address."""
        return self.front.url

    @property
    def authority(self) -> str:
        """host:port as it is signed."""
        return parse_address(self.url).authority

    @property
    def server_key(self) -> str:
        """The one key of all nodes."""
        return self.nodes[0].server_key

    @property
    def pin(self) -> str:
        """The line of a known-servers file that names the cluster."""
        return KnownServers.line(self.authority, bytes.fromhex(self.server_key))
