"""The server's own TLS: a peer gets through, and who never speaks TLS is hung up on."""

from __future__ import annotations

import asyncio
import ssl
import time
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
import websockets.asyncio.client
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from websockets.typing import Subprotocol

from protocol.hive import HIVE_PATH, SESSION_COOKIE, MyAccount
from protocol.hive_replies import AccountShown
from protocol.peer import SEALED
from protocol.vault import CLIENT_PATH
from tests.conftest import StartServer
from tests.hive_dialling import Accounts, HiveSocket

HANDSHAKE_MS_MAX = 1000


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 signed by itself, and its key."""
    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "vault")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, SHA256())
    )
    paths = tmp_path / "certificate.pem", tmp_path / "key.pem"
    paths[0].write_bytes(signed.public_bytes(Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return paths


async def test_silent_sockets_are_hung_up_on_and_a_peer_gets_through(
    start_server: StartServer, certificate: tuple[Path, Path]
) -> None:
    server = await start_server(
        tls_certificate=certificate[0], tls_key=certificate[1], handshake_ms_max=HANDSHAKE_MS_MAX
    )
    started = time.monotonic()
    silent = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(8)]
    async with websockets.asyncio.client.connect(
        server.url + CLIENT_PATH,
        ssl=ssl.create_default_context(cafile=certificate[0]),
        subprotocols=[Subprotocol(SEALED.name)],
        compression=None,
        proxy=None,
    ) as peer:
        async with asyncio.timeout(30):
            assert await peer.recv()  # the challenge
    async with asyncio.timeout(HANDSHAKE_MS_MAX / 1000 + 30):
        for reader, writer in silent:
            assert await reader.read() == b""
            writer.close()
    assert time.monotonic() - started >= HANDSHAKE_MS_MAX / 1000 - 0.2


async def test_credentials_travel_over_tls_also_where_plain_frames_never_do(
    start_server: StartServer, certificate: tuple[Path, Path]
) -> None:
    page = "https://hive.example.org"
    server = await start_server(
        tls_certificate=certificate[0], tls_key=certificate[1], plain_frames="never", hive_origins=page
    )
    session = Accounts(server).person("ann")
    async with websockets.asyncio.client.connect(
        server.url + HIVE_PATH,
        ssl=ssl.create_default_context(cafile=certificate[0]),
        additional_headers={"Cookie": f"{SESSION_COOKIE}={session}", "Origin": page},
        compression=None,
        proxy=None,
    ) as socket:
        shown = await HiveSocket(socket).ask(MyAccount(), AccountShown)
        assert shown.account.email == "ann@example.org"
