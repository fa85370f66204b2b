"""Test vectors of docs/protocol.md: fixed keys and numbers in, every intermediate value out, as lines of text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache

import gmpy2
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from protocol import sealing, session, vault
from protocol.catalog import FROM_SERVER, TO_SERVER
from protocol.codec import Codec
from protocol.envelope import Envelope
from protocol.errors import Code, MessageError
from protocol.identity import Identity
from protocol.proof import Challenges, Statement, verify
from protocol.prover import prove
from protocol.puzzle import Puzzle, Trapdoor, answer_bytes, commit, difficulty

BINARY = Codec(binary=True, reads=TO_SERVER, strict=True, frame_bytes_max=65_536)
JSON = Codec(binary=False, reads=TO_SERVER, strict=True, frame_bytes_max=65_536)

SERVER = Identity.from_private_bytes(b"\x01" * 32)
PEER = Identity.from_private_bytes(b"\x02" * 32)
SERVER_EPHEMERAL = X25519PrivateKey.from_private_bytes(b"\x03" * 32)
PEER_EPHEMERAL = X25519PrivateKey.from_private_bytes(b"\x04" * 32)
AUTHORITY = "vault.example:8765"
OPENING = sealing.Opening("/solver", ("vault.v1.sealed",), "vault.v1.sealed")
SESSION = "07" * 16
LIMITS = {"squarings_max": 2**40, "frame_bytes_max": 65_536}
TASK = "ab" * 16


def _public(key: X25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def _line(name: str, value: bytes | str | float) -> str:
    return f"{name} = {value.hex() if isinstance(value, bytes) else value}"


def handshake() -> Iterator[str]:
    """Every value of one conversation on `vault.v1.sealed`, up to the second sealed frame of the peer."""
    challenge = session.Challenge(
        version=1,
        nonce=b"\x05" * 32,
        server_key=SERVER.public_key,
        ephemeral=_public(SERVER_EPHEMERAL),
        server_time_ms=1_767_225_600_000,
    )
    yield "server_private = 01 32 times"
    yield _line("server_key", SERVER.public_key)
    yield "server_ephemeral_private = 03 32 times"
    yield _line("server_ephemeral", challenge.ephemeral)
    yield "challenge_nonce = 05 32 times"
    yield _line("server_time_ms", challenge.server_time_ms)
    yield _line("challenge_frame", BINARY.encode(Envelope(challenge)))
    yield ""
    yield "peer_private = 02 32 times"
    yield _line("key", PEER.public_key)
    yield _line("fingerprint", PEER.fingerprint)
    yield "peer_ephemeral_private = 04 32 times"
    yield _line("ephemeral", _public(PEER_EPHEMERAL))
    yield "hello_nonce = 06 32 times"
    yield _line("path", OPENING.path)
    yield _line("authority", AUTHORITY)
    yield _line("offered", ",".join(OPENING.offered))
    yield _line("chosen", OPENING.chosen)
    yield "agent = vectors"
    yield _line("T", OPENING.transcript(AUTHORITY))
    yield _line("CHALLENGE", sealing.challenge_bytes(challenge))
    body = sealing.hello_body(PEER.public_key, _public(PEER_EPHEMERAL), b"\x06" * 32, AUTHORITY, "vectors")
    yield _line("HELLO", body)
    signed = sealing.hello_signed(OPENING, challenge, AUTHORITY, body)
    yield _line("hello_signed", signed)
    hello = session.Hello(
        key=PEER.public_key,
        ephemeral=_public(PEER_EPHEMERAL),
        nonce=b"\x06" * 32,
        authority=AUTHORITY,
        agent="vectors",
        signature=PEER.sign(signed),
    )
    yield _line("hello_signature", hello.signature)
    yield _line("hello_frame", BINARY.encode(Envelope(hello)))
    yield ""
    yield from _sealed(challenge, hello)


def _sealed(challenge: session.Challenge, hello: session.Hello) -> Iterator[str]:
    secret = sealing.shared_secret(PEER_EPHEMERAL, challenge.ephemeral)
    h = sealing.handshake_hash(OPENING, challenge, hello)
    yield _line("shared_secret", secret)
    yield _line("h", h)
    to_server = sealing.direction_key(secret, h, sealing.TO_SERVER_LABEL)
    from_server = sealing.direction_key(secret, h, sealing.FROM_SERVER_LABEL)
    yield _line("key_to_server", to_server)
    yield _line("key_from_server", from_server)
    yield _line("session", SESSION)
    yield _line("limits", json.dumps(LIMITS))
    body = sealing.welcome_body(PEER.fingerprint, SESSION, LIMITS)
    yield _line("WELCOME", body)
    yield _line("welcome_signed", sealing.welcome_signed(h, body))
    signature = SERVER.sign(sealing.welcome_signed(h, body))
    yield _line("welcome_signature", signature)
    welcome = session.Welcome(fingerprint=PEER.fingerprint, session=SESSION, limits=LIMITS, signature=signature)
    payload = BINARY.encode(Envelope(welcome))
    yield _line("welcome_payload", payload)
    yield _line("welcome_frame", sealing.Sealer(from_server).seal(payload))
    yield ""
    sealer = sealing.Sealer(to_server)
    status = vault.UpdateStatus(state="ready", capacity=1, speeds={"2048": 900_000})
    for name, message in (("first", status), ("second", session.Ping())):
        payload = BINARY.encode(Envelope(message, id=1 if name == "first" else 2))
        yield _line(f"{name}_payload", payload)
        yield _line(f"{name}_frame", sealer.seal(payload))


SMALL = Trapdoor(2**64 - 59, 2**61 - 1)
N = SMALL.p * SMALL.q

OFFER = vault.PuzzleOffered(
    assignment=7, task=TASK, t=5000, baseg=3, product=N, deadline=1_767_225_660_000, proof="required"
)
SAMPLES = [
    Envelope(session.Ack(push=41)),
    Envelope(vault.SubmitPuzzle(t=5000, baseg=3, product=N, commitment=b"\x11" * 32, idempotency_key="k-1"), id=1),
    Envelope(
        vault.PuzzleAccepted(
            task=TASK, difficulty=0.025, effort_seconds=0.5, assigned=1, promised_by=1_767_225_660_000
        ),
        re=1,
    ),
    Envelope(OFFER, seq=41),
    Envelope(vault.AcceptAssignment(assignment=7), id=2),
    Envelope(vault.ReportProgress(assignment=7, done=2500)),
    Envelope(vault.SubmitAnswer(assignment=7, answer=65_535), id=3),
    Envelope(vault.AnswerTaken(assignment=7, verdict="pending"), re=3),
    Envelope(vault.AssignmentEnded(assignment=7, outcome="released"), seq=42),
    Envelope(vault.PuzzleAnswered(task=TASK, answer=65_535, judged_by="agreed"), seq=43),
    Envelope(vault.ListTasks(status="answered", limit=2), id=4),
    Envelope(
        vault.TaskList(
            tasks=(
                vault.TaskLine(
                    task=TASK, status="answered", created=1_767_225_600_000, num_assignments=2,
                    promised_by=1_767_225_660_000, judged_by="agreed", complaint_deadline=1_767_283_260_000,
                ),
                vault.TaskLine(task="cd" * 16, status="answered", created=1_767_225_500_000, num_assignments=1),
            ),
            next="cd" * 16,
        ),
        re=4,
    ),
    Envelope(
        session.Error.of(MessageError(Code.QUEUE_FULL, "Too many.", "Wait.", retry_after_ms=100)), re=4
    ),
]  # fmt: skip


def messages() -> Iterator[str]:
    """Some messages in both formats."""
    for envelope in SAMPLES:
        cls = type(envelope.message)
        name = cls.SHAPE.wire_type
        yield f"{name} ({'to' if TO_SERVER.get(name) is cls else 'from'} the server)"
        yield f"  {JSON.encode(envelope).decode()}"
        yield f"  {BINARY.encode(envelope).hex()}"
    assert all(type(e.message) in {*TO_SERVER.values(), *FROM_SERVER.values()} for e in SAMPLES)


def puzzles() -> Iterator[str]:
    """A small puzzle whose answer begins with a zero byte, and one of 2048 bits above what the server computes."""
    squarings = next(t for t in range(1000, 10_000) if answer_bytes(SMALL.power(3, t), N)[0] == 0)
    yield from _puzzle("small", SMALL, squarings)
    yield ""
    yield from _puzzle("large", large_trapdoor(), 5000)


@cache
def large_trapdoor() -> Trapdoor:
    """The factors of a fixed modulus of 2048 bits."""
    return Trapdoor(_prime_3_mod_4(3 << 1022), _prime_3_mod_4(7 << 1021))


def _prime_3_mod_4(above: int) -> int:
    prime = gmpy2.next_prime(above)
    while prime % 4 != 3:
        prime = gmpy2.next_prime(prime)
    return int(prime)


def _puzzle(name: str, trapdoor: Trapdoor, squarings: int) -> Iterator[str]:
    product, base = trapdoor.p * trapdoor.q, 3
    answer = trapdoor.power(base, squarings)
    yield _line(f"{name}.product", f"{product:x}")
    yield _line(f"{name}.baseg", base)
    yield _line(f"{name}.t", squarings)
    yield _line(f"{name}.difficulty", difficulty(squarings, product))
    yield _line(f"{name}.answer_bytes", answer_bytes(answer, product))
    yield _line(f"{name}.commitment", commit(answer, product))


def proofs() -> Iterator[str]:
    """Proofs for the moduli of `puzzles`, with every round of the small one: odd, odd and even."""
    yield _line("task", TASK)
    yield _line("solver", PEER.fingerprint)
    yield ""
    yield from _proof("proof.small", SMALL, 5003)
    yield ""
    yield from _proof("proof.large", large_trapdoor(), 5003)


def _proof(name: str, trapdoor: Trapdoor, squarings: int) -> Iterator[str]:
    product, base = trapdoor.p * trapdoor.q, 3
    statement = Statement(Puzzle(squarings, base, product), TASK, PEER.fingerprint)
    proof = prove(statement, [(statement.exponent, trapdoor.power(base, statement.exponent))])
    yield _line(f"{name}.t", squarings)
    yield _line(f"{name}.STATEMENT", statement.to_bytes())
    yield _line(f"{name}.z", answer_bytes(proof.z, product))
    challenges, x, exponent = Challenges(statement, proof.z), base, statement.exponent
    for number, midpoint in enumerate(proof.midpoints, 1):
        challenge = challenges.draw(midpoint)
        x, exponent = pow(x, 2 if exponent % 2 else 1, product), exponent // 2
        yield _line(f"{name}.m{number}", answer_bytes(midpoint, product))
        yield _line(f"{name}.r{number}", challenge.to_bytes(16, "big"))
        x = pow(x, challenge, product) * midpoint % product
        yield _line(f"{name}.x{number}", answer_bytes(x, product))
    yield _line(f"{name}.proof", proof.encode(product))
    yield _line(f"{name}.answer", answer_bytes(verify(statement, proof), product))
