"""Where the control socket of a database is, and a name of it that fits a socket address."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAME_BYTES_MAX = 64
ADDRESS_BYTES_MAX = 100
"""What every system takes as a Unix socket's address: Linux takes 107 bytes, macOS 103."""


def control_path(database: Path) -> Path:
    """Beside the database file itself, also when `database` is a link to it: a database has one server."""
    real = database.resolve()
    name = f"{real.name}.control"
    if len(os.fsencode(name)) > NAME_BYTES_MAX:
        name = hashlib.sha256(os.fsencode(real.name)).hexdigest()[:32] + ".control"
    return real.with_name(name)


@contextmanager
def addressable(path: Path) -> Iterator[str]:
    """`path` as bind and connect take it, however deep its folder lies (through an open folder, on Linux)."""
    if len(os.fsencode(path)) <= ADDRESS_BYTES_MAX:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
