"""A solver by somebody who has only read docs/protocol.md: it imports nothing of ours.

    python stranger_solver.py ws://HOST:PORT [KEYFILE [SERVER_KEY]]

KEYFILE holds 32 raw bytes (made when absent; a fresh key for each run when none is named). SERVER_KEY is the server's
public key in hex; without it the first key shown is trusted. Prints a line of JSON for each thing that happens, and
leaves on SIGTERM; what it holds then stays its own until the deadline.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgpack
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

PATH, SUBPROTOCOL, AGENT = "/solver", "vault.v1.sealed", "stranger/1"
LASTING = (4001, 4401)
CHUNK = 2000
DEPTH = 6
"""Of what is kept for a proof: 64 residues, in memory alone."""
PROGRESS_SECONDS = 2
"""For all assignments together: 20 messages in 10 s are allowed, and one more after the refusal bans."""
Map = dict[str, Any]


class Refused(Exception):
    """The other side is not who it should be, or does not want us: trying again would not help."""


def say(event: str, **fields: object) -> None:
    print(json.dumps({"event": event} | fields), flush=True)


# section 3: signed strings


def parts(*items: bytes) -> bytes:
    return b"".join(len(item).to_bytes(4, "big") + item for item in items)


def number(n: int) -> bytes:
    return n.to_bytes(8, "big")


def transcript(authority: str, path: str = PATH) -> bytes:
    return parts(b"vault transcript v1", path.encode(), authority.encode(), SUBPROTOCOL.encode(), SUBPROTOCOL.encode())


def challenge_string(c: Map) -> bytes:
    return parts(number(c["version"]), c["nonce"], c["server_key"], c["ephemeral"], number(c["server_time_ms"]))


def hello_string(hello: Map) -> bytes:
    return parts(hello["key"], hello["ephemeral"], hello["nonce"], hello["authority"].encode(), hello["agent"].encode())


def hello_signed(challenge: Map, hello: Map, path: str = PATH) -> bytes:
    return parts(b"hello v1", transcript(hello["authority"], path), challenge_string(challenge), hello_string(hello))


def conversation_hash(challenge: Map, hello: Map, path: str = PATH) -> bytes:
    row = parts(
        transcript(hello["authority"], path), challenge_string(challenge), hello_string(hello), hello["signature"]
    )
    return hashlib.sha256(row).digest()


def welcome_signed(h: bytes, welcome: Map) -> bytes:
    limits = [part for name in sorted(welcome["limits"]) for part in (name.encode(), number(welcome["limits"][name]))]
    body = parts(welcome["fingerprint"].encode(), welcome["session"].encode(), *limits)
    return parts(b"welcome v1", h, body)


def direction_key(secret: bytes, h: bytes, label: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt=h, info=label).derive(secret)


def fingerprint(public_key: bytes) -> str:
    return hashlib.sha256(public_key).digest()[:16].hex()


# section 4: one direction


class Direction:
    def __init__(self, key: bytes) -> None:
        self.cipher = AESGCM(key)
        self.frames = 0

    def nonce(self) -> bytes:
        self.frames += 1
        return (self.frames - 1).to_bytes(12, "big")

    def seal(self, payload: bytes) -> bytes:
        return self.cipher.encrypt(self.nonce(), payload, None)

    def open(self, frame: bytes) -> bytes:
        return self.cipher.decrypt(self.nonce(), frame, None)


# section 14: proofs


def rounds(e: int) -> int:
    return max(0, e.bit_length() - 10)


def smaller(v: int, n: int) -> int:
    return min(v % n, n - v % n)


def indices(e: int, depth: int) -> list[int]:
    if depth == 0:
        return []
    o, h = e % 2, e // 2
    inner = indices(h, depth - 1)
    return [o + j for j in inner] + [o + h] + [o + h + j for j in inner]


def statement(task: str, solver: str, t: int, g: int, n: int) -> bytes:
    length = (n.bit_length() + 7) // 8
    names = b"vault proof v1" + bytes.fromhex(task) + bytes.fromhex(solver) + length.to_bytes(4, "big")
    return names + n.to_bytes(length, "big") + g.to_bytes(length, "big") + (t - 64).to_bytes(8, "big")


def drawn(said: bytes) -> int:
    return int.from_bytes(hashlib.sha256(said).digest()[:16], "big")


def prove(task: str, solver: str, t: int, g: int, n: int, residues: dict[int, int]) -> bytes:
    """`residues` holds g^(2^j) for the j of `indices(t - 64, depth)` and for t - 64, of some depth up to DEPTH."""
    e, length = t - 64, (n.bit_length() + 7) // 8
    depth, x, z = min(DEPTH, rounds(e)), g, smaller(residues[e], n)
    proof, said = z.to_bytes(length, "big"), statement(task, solver, t, g, n)
    for _ in range(rounds(e)):
        o, h = e % 2, e // 2
        if o:
            x = x * x % n
        midpoint = smaller(residues[o + h] if depth else pow(x, 1 << h, n), n)
        proof += midpoint.to_bytes(length, "big")
        r = drawn(said + proof)
        depth = max(0, depth - 1)
        residues = {j: pow(residues[o + j], r, n) * residues[o + h + j] % n for j in indices(h, depth)}
        x, e = pow(x, r, n) * midpoint % n, h
    return b"\x01" + proof


def proved_answer(task: str, solver: str, t: int, g: int, n: int, proof: bytes) -> int | None:
    """The answer that a proof proves, or None when it proves nothing."""
    e, length = t - 64, (n.bit_length() + 7) // 8
    if e < 1 or proof[:1] != b"\x01" or len(proof) != 1 + length * (1 + rounds(e)):
        return None
    z, *midpoints = (int.from_bytes(proof[i : i + length], "big") for i in range(1, len(proof), length))
    if not all(1 <= v <= (n - 1) // 2 and math.gcd(v, n) == 1 for v in (z, *midpoints)):
        return None
    said, x, w = statement(task, solver, t, g, n), g, z
    for i, midpoint in enumerate(midpoints, 2):
        if e % 2:
            x = x * x % n
        r = drawn(said + proof[1 : 1 + length * i])
        x, w, e = pow(x, r, n) * midpoint % n, pow(midpoint, r, n) * w % n, e // 2
    return pow(z, 1 << 64, n) if pow(x, 1 << e, n) in (w, n - w) else None


class Solver:
    """What outlives a connection: the key, the pin, the work in hand, the pushes that are done with."""

    path = PATH

    def __init__(self, url: str, key: Ed25519PrivateKey, server_key: bytes | None) -> None:
        split = urlsplit(url)
        assert split.hostname is not None, "the URL names a host"
        self.url = url.rstrip("/") + self.path
        self.authority = f"{split.hostname}:{split.port}"
        self.key = key
        self.public = key.public_key().public_bytes_raw()
        self.server_key = server_key
        self.acknowledged: set[int] = set()
        self.work: dict[int, asyncio.Task[None]] = {}
        self.answers: dict[int, Map] = {}
        self.socket: ClientConnection | None = None
        self.last_id = 0
        self.asked: dict[int, Map] = {}
        self.told = time.monotonic()
        self.kept_out_until = 0.0

    async def run(self) -> None:
        """Section 6: connect, and again after whatever is not lasting."""
        attempt = 0
        while True:
            try:
                async with connect(self.url, subprotocols=[SUBPROTOCOL], compression=None, proxy=None) as socket:  # type: ignore[list-item]
                    await self.greet(socket)
                    attempt = 0
                    await self.converse(socket)
            except ConnectionClosed as closed:
                code = closed.rcvd.code if closed.rcvd else 1006
                say("closed", code=code)
                if code in LASTING:
                    raise Refused(f"closed with {code}") from None
            except (OSError, InvalidTag) as error:
                say("lost", reason=type(error).__name__)
            finally:
                self.socket = None
            attempt += 1
            bound = min(30.0, 0.2 * 2 ** min(attempt - 1, 16))
            banned = max(0.0, self.kept_out_until - time.monotonic())
            await asyncio.sleep(banned + random.uniform(bound / 2, bound))

    async def greet(self, socket: ClientConnection) -> None:
        challenge = read(await receive(socket))
        if challenge["type"] == "error":
            raise Refused(challenge["code"])
        if challenge["version"] != 1:
            raise Refused("another version")
        if self.server_key is not None and challenge["server_key"] != self.server_key:
            raise Refused("another server")
        private = X25519PrivateKey.generate()
        hello: Map = {
            "type": "hello",
            "key": self.public,
            "ephemeral": private.public_key().public_bytes_raw(),
            "nonce": os.urandom(32),
            "authority": self.authority,
            "agent": AGENT,
        }
        hello["signature"] = self.key.sign(hello_signed(challenge, hello, self.path))
        await socket.send(msgpack.packb(hello))
        h = conversation_hash(challenge, hello, self.path)
        secret = private.exchange(X25519PublicKey.from_public_bytes(challenge["ephemeral"]))
        self.sends = Direction(direction_key(secret, h, b"vault v1 client to server"))
        self.opens = Direction(direction_key(secret, h, b"vault v1 server to client"))
        self.enter(challenge["server_key"], h, await receive(socket))
        self.socket = socket

    def enter(self, server_key: bytes, h: bytes, frame: bytes) -> None:
        try:
            welcome = read(self.opens.open(frame))
        except InvalidTag:
            refusal = read(frame)  # before the welcome an error is not sealed
            raise Refused(f"{refusal['code']}: {refusal['message']} {refusal['suggestion']}") from None
        Ed25519PublicKey.from_public_bytes(server_key).verify(welcome["signature"], welcome_signed(h, welcome))
        if welcome["type"] != "welcome" or welcome["fingerprint"] != fingerprint(self.public):
            raise Refused("this welcome is not for us")
        self.server_key = server_key
        say("welcome", fingerprint=welcome["fingerprint"])

    async def converse(self, socket: ClientConnection) -> None:
        self.asked.clear()
        status = {"state": "ready", "capacity": 4, "speeds": {"4096": 0}}  # any size up to 4096 bits, speed unknown
        await self.request({"type": "status_update"} | status)
        while True:
            await self.take(read(self.opens.open(await receive(socket))))

    async def take(self, message: Map) -> None:
        seq = message.get("seq")
        if seq in self.acknowledged:
            await self.send({"type": "ack", "push": seq})
            return
        await self.handle(message)
        self.asked.pop(message.get("re", 0), None)

    async def handle(self, message: Map) -> None:
        match message["type"]:
            case "tlp_request":
                await self.offered(message)
            case "assignment_ended":
                self.drop(message["assignment"])
                say("ended", assignment=message["assignment"], outcome=message["outcome"])
                await self.done_with(message)
            case "answer_taken":
                self.drop(message["assignment"])
                say("taken", assignment=message["assignment"], verdict=message["verdict"])
            case "error":
                self.refused(message)
            case "complaint_raised":
                say("complaint", complaint=message["complaint"], kind=message["kind"])
                word = {"complaint": message["complaint"], "assignment": message["assignment"]}
                await self.request({"type": "complaint_response", "response": "stands_by"} | word)
                await self.done_with(message)
            case "complaint_ruled" | "standing_changed":
                say(message["type"], reason=message["reason"])
                await self.done_with(message)
            case other:
                say("heard", type=other)

    async def done_with(self, push: Map) -> None:
        self.acknowledged.add(push["seq"])
        await self.send({"type": "ack", "push": push["seq"]})

    async def offered(self, offer: Map) -> None:
        assignment = offer["assignment"]
        if assignment not in self.work:
            say("offered", assignment=assignment)
            self.work[assignment] = asyncio.create_task(self.solve(offer))
        await self.request({"type": "accept", "assignment": assignment})
        if assignment in self.answers:  # it was solved while the server was away
            await self.answer(assignment)

    def refused(self, error: Map) -> None:
        say("refused", code=error["code"])
        if error["code"] == "BANNED":
            self.kept_out_until = time.monotonic() + error["retry_after_ms"] / 1000
        asked = self.asked.get(error.get("re", 0), {})
        if error["code"] in ("ASSIGNMENT_NOT_FOUND", "ASSIGNMENT_ENDED", "ALREADY_ANSWERED"):
            self.drop(asked.get("assignment", 0))

    def drop(self, assignment: int) -> None:
        self.answers.pop(assignment, None)
        if (task := self.work.pop(assignment, None)) is not None and task is not asyncio.current_task():
            task.cancel()

    async def solve(self, offer: Map) -> None:
        """Square t times, a chunk at a time: 2^CHUNK as an exponent is CHUNK squarings. Keep what a proof needs."""
        y, n = (int.from_bytes(offer[name], "big") for name in ("baseg", "product"))
        t, e, g, kept = offer["t"], offer["t"] - 64, y, dict[int, int]()
        wants_proof = offer["proof"] == "required"
        stops = {e, *indices(e, min(DEPTH, rounds(e)))} if wants_proof else set()
        done = 0
        for stop in sorted({*range(CHUNK, t, CHUNK), *stops, t}):
            y = await asyncio.to_thread(pow, y, 1 << (stop - done), n)
            done = stop
            if done in stops:
                kept[done] = y
            if time.monotonic() - self.told > PROGRESS_SECONDS:
                self.told = time.monotonic()
                await self.send({"type": "progress", "assignment": offer["assignment"], "done": done})
        answer: Map = {"answer": y.to_bytes((y.bit_length() + 7) // 8, "big")}
        if wants_proof:
            about = (offer["task"], fingerprint(self.public), t, g, n)
            answer["proof"] = await asyncio.to_thread(prove, *about, kept)
            assert proved_answer(*about, answer["proof"]) == y, "a proof that does not hold is not sent"
            say("proved", assignment=offer["assignment"])
        self.answers[offer["assignment"]] = answer
        await self.answer(offer["assignment"])

    async def answer(self, assignment: int) -> None:
        await self.request({"type": "tlp_response", "assignment": assignment} | self.answers[assignment])

    async def request(self, message: Map) -> None:
        self.last_id += 1
        self.asked[self.last_id] = message
        await self.send(message | {"id": self.last_id})

    async def send(self, message: Map) -> None:
        if self.socket is None:
            return  # away: what matters is said again after the next welcome
        try:
            await self.socket.send(self.sends.seal(msgpack.packb(message)))
        except ConnectionClosed:
            self.socket = None


async def receive(socket: ClientConnection) -> bytes:
    frame = await socket.recv()
    assert isinstance(frame, bytes), "this subprotocol has binary frames only"
    return frame


def read(payload: bytes) -> Map:
    message = msgpack.unpackb(payload)
    assert isinstance(message, dict), "a message is a map"
    return message


def load_key(path: Path) -> Ed25519PrivateKey:
    if not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(Ed25519PrivateKey.generate().private_bytes_raw())
    return Ed25519PrivateKey.from_private_bytes(path.read_bytes())


async def until_terminated(solver: Solver) -> None:
    running = asyncio.ensure_future(solver.run())
    for stop in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(stop, running.cancel)
    try:
        await running
    except asyncio.CancelledError:
        say("left")


def main(kind: type[Solver], url: str, key_file: str = "", server_key: str = "") -> None:
    key = load_key(Path(key_file)) if key_file else Ed25519PrivateKey.generate()
    try:
        asyncio.run(until_terminated(kind(url, key, bytes.fromhex(server_key) or None)))
    except Refused as why:
        sys.exit(f"stranger: {why}")


if __name__ == "__main__":
    main(Solver, *sys.argv[1:])
