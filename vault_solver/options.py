"""What a solver is told when it starts: checked values, no defaults that depend on a file or a socket."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path

from protocol.address import Address
from protocol.peer import SEALED, Subprotocol
from protocol.prover import KEPT_BYTES_MAX
from vault_solver.calibration import SECONDS_PER_SIZE
from vault_solver.errors import Refused
from vault_solver.kernel import AUTO
from vault_solver.squaring import CHECK_SECONDS

GRACE_SECONDS = 30.0
WORKERS_MAX = 512
CAPACITY_MAX = 1024
DISK_MIB = 1024
PROOF_KIB = KEPT_BYTES_MAX // 1024
PROOF_KIB_MAX = 4096
"""A state with its residues is one line from a worker, of 16 MiB at most (`vault_solver.pool.LINE_BYTES_MAX`)."""


@dataclass(frozen=True, slots=True)
class Options:
    """`capacity` assignments are held at once, `workers` of them solved; on SIGTERM they have `grace_seconds`."""

    address: Address
    key_path: Path
    known_servers_path: Path
    server_key: str | None
    workers: int
    capacity: int
    subprotocol: Subprotocol = SEALED
    grace_seconds: float = GRACE_SECONDS
    calibration_seconds: float = SECONDS_PER_SIZE
    kept_on_stop: bool = False
    live_screen: bool = False
    checkpoints_folder: Path | None = None
    check_seconds: float = CHECK_SECONDS
    disk_bytes_max: int = DISK_MIB * 2**20
    proof_bytes_max: int = KEPT_BYTES_MAX
    relay: bool = True
    kernel: str = AUTO

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints: beside the key unless it was named, since they are of use to that key alone."""
        return self.checkpoints_folder or self.key_path.with_suffix(".checkpoints")

    def __post_init__(self) -> None:
        if not (self.subprotocol.sealed or self.address.secure or is_loopback(self.address)):
            raise Refused(
                f"{self.subprotocol.name} to {self.address.authority} would go over the network in the clear.",
                f"Use {SEALED.name}, or a wss:// address.",
            )


def is_loopback(address: Address) -> bool:
    """Whether the server is on this machine."""
    try:
        return ipaddress.ip_address(address.host.strip("[]")).is_loopback
    except ValueError:
        return address.host == "localhost"


def usable_cpus() -> int:
    """Processors this process may run on."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        return os.cpu_count() or 1
