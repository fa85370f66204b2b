"""One POST to a stranger's URL, over real sockets: where it may lead, how long it may take, what is an answer."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.receivers import Answer, Received, Receiver, raw, status
from vault_server.systems.hive.outgoing import ANSWER_BYTES_MAX, Address, Outgoing, Undelivered
from vault_server.systems.hive.public_addresses import is_public

SECONDS = 5.0
SOON = 0.2
"""The whole time of an attempt that is to run out."""


def anywhere(seconds: float = SECONDS) -> Outgoing:
    return Outgoing(seconds, lambda _address: True, frozenset({"https", "http"}))


def post(receiver: Receiver, outgoing: Outgoing | None = None) -> int:
    return (outgoing or anywhere()).post(receiver.url, {"x-of": "the test"}, b"{}")


def refused(outgoing: Outgoing, url: str) -> str:
    with pytest.raises(Undelivered) as caught:
        outgoing.post(url, {}, b"{}")
    return str(caught.value)


@pytest.mark.parametrize("code", [200, 201, 202, 204, 299, 300, 301, 302, 307, 308, 400, 404, 410, 429, 500, 503])
def test_the_status_is_told(code: int) -> None:
    with Receiver(status(code)) as receiver:
        assert post(receiver) == code


def test_what_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    with Receiver() as receiver:
        for _ in range(2):
            post(receiver)
        assert receiver.connections == 2, "nothing is kept"
    one, other = receiver.received
    assert one == other, "no cookies either"
    assert one.line == "POST /hook?token=hush HTTP/1.1"
    agent = one.headers.pop("user-agent")
    assert agent.startswith("vault-server/")
    assert one.headers == {"host": f"127.0.0.1:{receiver.port}", "content-length": "2", "x-of": "the test"}
    assert one.body == b"{}"


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(code: int) -> None:
    with Receiver() as elsewhere:
        moved = f"HTTP/1.1 {code} Moved\r\nLocation: {elsewhere.url}\r\nContent-Length: 0\r\n\r\n".encode()
        with Receiver(raw(moved)) as receiver:
            assert post(receiver) == code
        assert elsewhere.connections == 0


# how long it may take


def drip(head: bytes, part: bytes) -> Answer:
    """A byte now and then, for ever: each comes well within the time that one read may take."""

    def answer(_received: Received, connection: socket.socket) -> None:
        connection.sendall(head)
        while not threading.Event().wait(0.02):
            connection.sendall(part)

    return answer


@pytest.mark.parametrize(
    "answer",
    [drip(b"", b"H"), drip(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"), drip(b"HTTP/1.1 100 Go on\r\n\r\n", b"")],
    ids=["status line", "headers", "going on"],
)
def test_an_answer_that_drips_ends_with_the_time(answer: Answer) -> None:
    with Receiver(answer) as receiver:
        assert refused(anywhere(SOON), receiver.url) == "no answer within 0.2 s"


def test_a_receiver_that_says_nothing_ends_with_the_time() -> None:
    with Receiver() as receiver:
        receiver.answer = receiver.hold
        assert refused(anywhere(SOON), receiver.url) == "no answer within 0.2 s"


def test_a_status_counts_although_its_body_drips() -> None:
    with Receiver(drip(b"HTTP/1.1 202 Taken\r\nContent-Length: 100000\r\n\r\n", b"x")) as receiver:
        assert post(receiver, anywhere(SOON)) == 202


def test_tls_that_never_begins_ends_with_the_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"https://127.0.0.1:{listening.getsockname()[1]}/"
        assert refused(anywhere(SOON), url) == "no answer within 0.2 s"


def test_a_resolver_that_hangs_ends_with_the_time() -> None:
    may_end = threading.Event()

    def hang(_host: str, _port: int) -> Sequence[Address]:
        may_end.wait(10)
        return []

    outgoing = Outgoing(SOON, is_public, resolve=hang)
    assert refused(outgoing, "https://slow.example/") == "no answer within 0.2 s"
    may_end.set()


def test_a_huge_answer_is_read_no_further_than_its_first_bytes() -> None:
    sent: list[int] = []

    def answer(_received: Received, connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        try:
            while sum(sent) < 1_000_000_000:
                sent.append(connection.send(b"x" * 65_536))
        finally:
            ended.set()

    ended = threading.Event()
    with Receiver(answer) as receiver:
        assert post(receiver) == 200
        assert ended.wait(10), "it was hung up on"
    assert ANSWER_BYTES_MAX <= sum(sent) < 50_000_000  # what the kernels of both ends hold, at most


def test_endless_headers_are_no_answer() -> None:
    with Receiver(raw(b"HTTP/1.1 200 OK\r\n", b"X-A: " + b"b" * 300_000)) as receiver:
        assert refused(anywhere(), receiver.url).startswith("no HTTP answer")


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200", b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 20 OK\r\n\r\n"])
def test_what_is_no_http(answer: bytes) -> None:
    with Receiver(raw(answer)) as receiver:
        assert refused(anywhere(), receiver.url).startswith("no HTTP answer")


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    assert refused(anywhere(), f"http://127.0.0.1:{port}/") == "cannot connect: Connection refused"


# where it may lead


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "127.1", "2130706433", "0x7f000001", "0177.0.0.1",
        "0.0.0.0", "[::]", "10.0.0.1", "169.254.169.254", "100.64.0.1", "[64:ff9b::7f00:1]", "[2002:7f00:1::]",
        "[fe80::1]", "[::ffff:a9fe:a9fe]", "[::127.0.0.1]",
    ],
)  # fmt: skip
def test_an_address_that_is_not_public_is_refused_however_it_is_written(host: str) -> None:
    with Receiver(host="0.0.0.0") as receiver:
        told = refused(Outgoing(SECONDS, is_public), f"https://{host}:{receiver.port}/")
        assert told.startswith(("refused: ", "the name cannot be resolved"))  # no IPv6 here: then it has no address
        assert receiver.connections == 0


@pytest.mark.parametrize(
    "url", ["http://example.org/", "ftp://example.org/", "https:///x", "//x", "", "https://a:b/", "https://[x/"]
)
def test_what_is_no_https_url_is_refused(url: str) -> None:
    assert refused(Outgoing(SECONDS, is_public), url) in ("refused: the URL is not an https URL", "the URL is none")


def test_a_name_that_is_none() -> None:
    for name in ("no-such-name.invalid", "a" * 64 + ".example"):
        assert refused(Outgoing(SECONDS, is_public), f"https://{name}/") == "the name cannot be resolved"


def resolving(*answers: Sequence[str]) -> tuple[list[int], Outgoing]:
    """A resolver that answers one after the other, and an Outgoing for which 127.0.0.1 alone is public."""
    left, asked = list(answers), []

    def resolve(_host: str, port: int) -> Sequence[Address]:
        asked.append(port)
        return [(int(socket.AF_INET), (address, port)) for address in left.pop(0)]

    return asked, Outgoing(
        SECONDS, lambda address: address == ip_address("127.0.0.1"), frozenset({"http"}), resolve=resolve
    )


def test_a_name_is_looked_up_once_and_what_was_checked_is_connected_to() -> None:
    with Receiver(host="127.0.0.1") as public, Receiver(host="127.0.0.2") as private:
        asked, outgoing = resolving(["127.0.0.1"], ["127.0.0.2"])
        assert outgoing.post(f"http://rebound.example:{public.port}/", {}, b"{}") == 200
        assert asked == [public.port]
        assert public.received[0].headers["host"] == f"rebound.example:{public.port}"
        told = refused(outgoing, f"http://rebound.example:{private.port}/")
        assert told == "refused: 127.0.0.2 is no public address"
        assert (public.connections, private.connections) == (1, 0)


def test_of_several_addresses_those_that_are_not_public_are_passed_over() -> None:
    with Receiver(host="127.0.0.1") as public:
        _, outgoing = resolving(["127.0.0.2", "10.0.0.1", "127.0.0.1"])
        assert outgoing.post(f"http://both.example:{public.port}/", {}, b"{}") == 200


def test_the_next_address_is_tried_when_the_first_does_not_answer() -> None:
    with Receiver(host="127.0.0.1") as there:

        def resolve(_host: str, port: int) -> Sequence[Address]:
            return [(int(socket.AF_INET), (address, port)) for address in ("127.0.0.2", "127.0.0.1")]

        outgoing = Outgoing(SECONDS, lambda _address: True, frozenset({"http"}), resolve=resolve)
        assert outgoing.post(f"http://two.example:{there.port}/", {}, b"{}") == 200


def test_a_name_without_addresses() -> None:
    _, outgoing = resolving([])
    assert refused(outgoing, "http://none.example/") == "the name has no address"


# TLS proves the name


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for hook.example signed by itself, and its key."""
    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hook")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("hook.example")]), critical=False)
        .sign(key, SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(signed.public_bytes(Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return paths


def to_loopback(trust: ssl.SSLContext) -> Outgoing:
    def resolve(_host: str, port: int) -> Sequence[Address]:
        return [(int(socket.AF_INET), ("127.0.0.1", port))]

    return Outgoing(SECONDS, lambda _address: True, resolve=resolve, trust=lambda: trust)


def test_tls_verifies_the_name_of_the_url_and_not_the_address(certificate: tuple[Path, Path]) -> None:
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(*certificate)
    outgoing = to_loopback(ssl.create_default_context(cafile=certificate[0]))
    with Receiver(tls=serving) as receiver:
        assert outgoing.post(f"https://hook.example:{receiver.port}/", {}, b"{}") == 200
        for name in ("other.example", "127.0.0.1"):
            told = refused(outgoing, f"https://{name}:{receiver.port}/")
            assert told.startswith("its certificate does not hold: ")
        stranger = to_loopback(ssl.create_default_context())
        assert "self" in refused(stranger, f"https://hook.example:{receiver.port}/")
        assert len(receiver.received) == 1


def test_a_receiver_that_speaks_no_tls() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def greet() -> None:
            with listening.accept()[0] as connection:
                connection.sendall(b"220 mail.example says who it is\r\n")
                connection.recv(65_536)

        threading.Thread(target=greet, daemon=True).start()
        url = f"https://hook.example:{listening.getsockname()[1]}/"
        assert refused(to_loopback(ssl.create_default_context()), url).startswith("cannot connect: ")
