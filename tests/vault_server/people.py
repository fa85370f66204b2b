"""Callers for tests: the same name is the same key."""

from __future__ import annotations

import hashlib

from protocol.identity import fingerprint_of
from vault_server.core.operation import Caller, Endpoint


def caller(name: str, endpoint: Endpoint, address: str = "192.0.2.1") -> Caller:
    """Somebody with a key of that name, on an endpoint."""
    key = hashlib.sha256(name.encode()).digest()
    return Caller(fingerprint_of(key), key.hex(), endpoint, address)


def client(name: str) -> Caller:
    """Somebody on /client."""
    return caller(name, Endpoint.CLIENT)


def participant(name: str) -> Caller:
    """Somebody on /subnet."""
    return caller(name, Endpoint.SUBNET)


def solver(name: str, address: str | None = None) -> Caller:
    """Somebody on /solver, from an address of its own unless one is given."""
    return caller(name, Endpoint.SOLVER, address if address is not None else f"address of {name}")
