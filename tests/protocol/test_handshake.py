"""Both sides are proved, to each other and for this one connection; whatever is altered on the way ends it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from protocol import peer as peers
from protocol.address import KnownServers, PinMismatch
from protocol.catalog import FROM_SERVER, TO_SERVER
from protocol.codec import Codec
from protocol.envelope import Envelope, Message
from protocol.errors import ERRORS, Code, MessageError
from protocol.identity import Identity
from protocol.peer import AnsweringPeer, DiallingPeer, Frame, HandshakeError, HandshakeRefused, State
from protocol.sealing import Opening, Spent, hello_body, hello_signed
from protocol.session import Challenge, Error, Hello, Ping, Pong, Welcome
from protocol.vault import TaskFailed

SEALED = "vault.v1.sealed"
NAMES = [SEALED, "vault.v1.msgpack", "vault.v1.json"]
AUTHORITY = "localhost:8765"
LIMITS = {"frame_bytes_max": 65_536, "squarings_max": 2**40}
SERVER, CLIENT = Identity.generate(), Identity.generate()
TASK = "ab" * 16


def opening(chosen: str = SEALED, path: str = "/client", offered: tuple[str, ...] | None = None) -> Opening:
    return Opening(path, offered or (chosen,), chosen)


def answering(at: Opening | None = None, identity: Identity = SERVER) -> AnsweringPeer:
    return AnsweringPeer(identity, at or opening(), {AUTHORITY, "127.0.0.1:8765"}, frame_bytes_max=65_536)


def dialling(
    at: Opening | None = None,
    authority: str = AUTHORITY,
    identity: Identity = CLIENT,
    check_pin: Callable[[str, bytes], object] = lambda _authority, _key: None,
    acknowledged: peers.Acknowledged | None = None,
) -> DiallingPeer:
    return DiallingPeer(identity, at or opening(), authority, "tests", check_pin, acknowledged=acknowledged)


def hello_of(server: AnsweringPeer, client: DiallingPeer) -> Frame:
    """Challenge and hello; the hello is not yet delivered."""
    assert client.receive(server.challenge(1_000)) is None
    [hello] = client.outgoing()
    return hello


def joined(server: AnsweringPeer, client: DiallingPeer) -> tuple[AnsweringPeer, DiallingPeer]:
    server.greet(hello_of(server, client))
    assert client.receive(server.welcome(LIMITS)) is None
    return server, client


def refused(server: AnsweringPeer, hello: Frame) -> MessageError:
    with pytest.raises(MessageError) as caught:
        server.greet(hello)
    assert server.state is State.OPENING
    assert server.fingerprint == ""
    return caught.value


def codec_of(at: Opening, reads: dict[str, type[Message]]) -> Codec:
    binary = peers.SUBPROTOCOLS[at.chosen].binary
    return Codec(binary=binary, reads=reads, strict=False, frame_bytes_max=65_536)


def altered(frame: Frame, **changes: object) -> Frame:
    """The same unsealed msgpack message of the handshake with other fields."""
    assert isinstance(frame, bytes)
    envelope = codec_of(opening(), {**TO_SERVER, **FROM_SERVER}).decode(frame)
    changed: Message = dataclasses.replace(envelope.message, **changes)  # type: ignore[type-var]
    return codec_of(opening(), {}).encode(dataclasses.replace(envelope, message=changed))


# as it should be


@pytest.mark.parametrize("name", NAMES)
def test_both_ends_end_up_open_and_know_each_other(name: str) -> None:
    server, client = joined(answering(opening(name)), dialling(opening(name)))
    assert server.state is client.state is State.OPEN
    assert server.fingerprint == CLIENT.fingerprint
    assert server.public_key == CLIENT.public_key
    assert server.agent == "tests"
    assert client.server_key == SERVER.public_key
    assert client.welcome is not None
    assert client.welcome.limits == LIMITS


@pytest.mark.parametrize("name", NAMES)
def test_messages_travel_in_the_frames_of_their_subprotocol(name: str) -> None:
    server, client = joined(answering(opening(name)), dialling(opening(name)))
    number, frame = client.request(Ping())
    assert isinstance(frame, str) is (name == "vault.v1.json")
    assert (b"ping" in (frame if isinstance(frame, bytes) else frame.encode())) is (name != SEALED)
    envelope = server.decode(frame)
    assert envelope == Envelope(Ping(), id=number)
    reply = client.receive(server.encode(Envelope(Pong(server_time_ms=5), re=envelope.id)))
    assert reply == Envelope(Pong(server_time_ms=5), re=number)


@pytest.mark.parametrize("name", NAMES)
def test_a_frame_of_the_other_kind_is_refused(name: str) -> None:
    server, client = joined(answering(opening(name)), dialling(opening(name)))
    wrong: Frame = b"{}" if name == "vault.v1.json" else "{}"
    for end in (server, client):
        with pytest.raises(MessageError) as caught:
            end.decode(wrong)
        assert caught.value.code is Code.WRONG_FRAME


def test_requests_are_numbered_from_one() -> None:
    _, client = joined(answering(), dialling())
    assert [client.request(Ping())[0] for _ in range(3)] == [1, 2, 3]


def test_each_session_has_its_own_name_and_keys() -> None:
    one, two = (joined(answering(), dialling()) for _ in range(2))
    assert one[1].welcome is not None
    assert two[1].welcome is not None
    assert one[1].welcome.session != two[1].welcome.session
    with pytest.raises(MessageError) as caught:
        two[0].decode(one[1].request(Ping())[1])
    assert caught.value.code is Code.BAD_SEAL


# a hello that does not belong here


@pytest.mark.parametrize("name", NAMES)
def test_a_hello_replayed_to_a_second_challenge_is_refused(name: str) -> None:
    first = answering(opening(name))
    hello = hello_of(first, dialling(opening(name)))
    first.greet(hello)
    second = answering(opening(name))
    second.challenge(1_000)
    assert refused(second, hello).code is Code.HELLO_REFUSED


def test_a_second_hello_on_one_connection_is_refused() -> None:
    server = answering()
    hello = hello_of(server, dialling())
    server.greet(hello)
    with pytest.raises(MessageError) as caught:
        server.greet(hello)
    assert caught.value.code is Code.HELLO_REFUSED


def test_a_hello_signed_by_another_key_is_refused() -> None:
    server = answering()
    hello = hello_of(server, dialling())
    other = altered(hello, key=Identity.generate().public_key)
    assert refused(server, other).code is Code.HELLO_REFUSED


@pytest.mark.parametrize(
    "elsewhere",
    [
        opening(path="/solver"),
        opening(offered=(SEALED, "vault.v1.json")),
        opening(offered=("vault.v1.json", SEALED)),
        Opening("/client", (SEALED,), "vault.v1.msgpack"),
    ],
    ids=["path", "offered-more", "offered-order", "chosen"],
)
def test_a_hello_for_another_opening_is_refused(elsewhere: Opening) -> None:
    server = answering(elsewhere)
    assert refused(server, hello_of(server, dialling(opening()))).code is Code.HELLO_REFUSED


def test_a_hello_for_a_server_of_another_name_is_refused() -> None:
    server = answering()
    error = refused(server, hello_of(server, dialling(authority="elsewhere.example:8765")))
    assert error.code is Code.WRONG_AUTHORITY
    assert "elsewhere.example:8765" in error.message


def test_a_hello_whose_authority_was_altered_on_the_way_is_refused() -> None:
    """A relay that was dialled under its own name cannot pass the hello on under ours."""
    server = answering()
    hello = hello_of(server, dialling(authority="relay.example:8765"))
    assert refused(server, altered(hello, authority=AUTHORITY)).code is Code.HELLO_REFUSED


@pytest.mark.parametrize(
    "changes",
    [{"nonce": b"\x01" * 32}, {"agent": "someone"}, {"signature": b"\x00" * 64}, {"ephemeral": b"\x09" + b"\x00" * 31}],
    ids=["nonce", "agent", "signature", "ephemeral"],
)
def test_a_hello_altered_on_the_way_is_refused(changes: dict[str, object]) -> None:
    server = answering()
    hello = altered(hello_of(server, dialling()), **changes)
    assert refused(server, hello).code is Code.HELLO_REFUSED


def test_the_servers_own_key_is_refused() -> None:
    server = answering()
    assert refused(server, hello_of(server, dialling(identity=SERVER))).code is Code.HELLO_REFUSED


def test_an_ephemeral_of_low_order_is_refused_though_its_signature_holds() -> None:
    server = answering()
    challenge = codec_of(opening(), dict(FROM_SERVER)).decode(server.challenge(1_000))  # type: ignore[arg-type]
    assert isinstance(challenge.message, Challenge)
    low, nonce = b"\x00" * 32, b"\x05" * 32
    body = hello_body(CLIENT.public_key, low, nonce, AUTHORITY, "tests")
    signature = CLIENT.sign(hello_signed(opening(), challenge.message, AUTHORITY, body))
    hello = Hello(
        key=CLIENT.public_key, ephemeral=low, nonce=nonce, authority=AUTHORITY, agent="tests", signature=signature
    )
    error = refused(server, codec_of(opening(), {}).encode(Envelope(hello)))
    assert error.code is Code.HELLO_REFUSED
    assert "low order" in error.message


def test_another_message_in_the_hellos_place_is_refused() -> None:
    server = answering()
    server.challenge(1_000)
    ping = codec_of(opening(), {}).encode(Envelope(Ping(), id=1))
    assert refused(server, ping).code is Code.HELLO_REFUSED


@pytest.mark.parametrize(("frame", "code"), [(b"\xc1", Code.MALFORMED), ("{}", Code.WRONG_FRAME)])
def test_a_frame_that_is_no_message_is_refused_before_the_hello(frame: Frame, code: Code) -> None:
    server = answering()
    server.challenge(1_000)
    assert refused(server, frame).code is code


# a server that is not who it says it is


def test_a_server_whose_key_is_not_the_pinned_one_hears_nothing() -> None:
    pins = KnownServers({AUTHORITY: Identity.generate().hotkey})
    client = dialling(check_pin=pins.check)
    with pytest.raises(PinMismatch, match="is pinned"):
        client.receive(answering().challenge(1_000))
    assert client.outgoing() == []


def test_the_pin_is_looked_up_by_the_authority_that_was_dialled() -> None:
    seen: list[tuple[str, bytes]] = []
    hello_of(answering(), dialling(check_pin=lambda authority, key: seen.append((authority, key))))
    assert seen == [(AUTHORITY, SERVER.public_key)]


def test_a_server_that_names_a_key_it_does_not_have_is_found_out() -> None:
    """It shows the pinned key in the challenge; the welcome cannot be signed with it."""
    thief = answering(identity=Identity.generate())
    client = dialling(check_pin=KnownServers({AUTHORITY: SERVER.hotkey}).check)
    assert client.receive(altered(thief.challenge(1_000), server_key=SERVER.public_key)) is None
    [hello] = client.outgoing()
    with pytest.raises(MessageError) as caught:
        thief.greet(hello)  # an honest server notices that its challenge was altered
    assert caught.value.code is Code.HELLO_REFUSED


@pytest.mark.parametrize("name", NAMES[1:])
def test_a_welcome_signed_by_another_key_is_refused(name: str) -> None:
    server, client = answering(opening(name)), dialling(opening(name))
    server.greet(hello_of(server, client))
    server._identity = Identity.generate()
    with pytest.raises(HandshakeError, match="does not have the key"):
        client.receive(server.welcome(LIMITS))
    assert client.state is not State.OPEN


def plain_welcome() -> tuple[DiallingPeer, Welcome, Codec]:
    at = opening("vault.v1.msgpack")
    server, client = answering(at), dialling(at)
    server.greet(hello_of(server, client))
    codec = codec_of(at, dict(FROM_SERVER))
    frame = server.welcome(LIMITS)
    assert isinstance(frame, bytes)
    message = codec.decode(frame).message
    assert isinstance(message, Welcome)
    return client, message, codec


@pytest.mark.parametrize(
    "changes",
    [
        {"limits": LIMITS | {"squarings_max": 1}},
        {"limits": {}},
        {"limits": LIMITS | {"more_max": 1}},
        {"session": "0" * 32},
        {"fingerprint": "0" * 32},
        {"signature": b"\x00" * 64},
    ],
    ids=["limit", "no-limits", "more-limits", "session", "fingerprint", "signature"],
)
def test_a_welcome_altered_on_the_way_is_refused(changes: dict[str, object]) -> None:
    client, welcome, codec = plain_welcome()
    with pytest.raises(HandshakeError):
        client.receive(codec.encode(Envelope(dataclasses.replace(welcome, **changes))))  # type: ignore[arg-type]
    assert client.welcome is None


def test_a_welcome_for_another_key_is_refused_though_its_signature_holds() -> None:
    server, client = answering(), dialling()
    server.greet(hello_of(server, client))
    server.fingerprint = Identity.generate().fingerprint
    with pytest.raises(HandshakeError, match="another key"):
        client.receive(server.welcome(LIMITS))
    assert client.state is not State.OPEN


def test_a_sealed_welcome_with_one_bit_flipped_does_not_open() -> None:
    server, client = answering(), dialling()
    server.greet(hello_of(server, client))
    frame = server.welcome(LIMITS)
    assert isinstance(frame, bytes)
    with pytest.raises(MessageError) as caught:
        client.receive(frame[:-1] + bytes([frame[-1] ^ 1]))
    assert caught.value.code is Code.BAD_SEAL


def test_another_version_is_refused_before_anything_is_said() -> None:
    client = dialling()
    with pytest.raises(HandshakeError, match="version 2"):
        client.receive(altered(answering().challenge(1_000), version=2))
    assert client.outgoing() == []


def test_a_server_with_an_ephemeral_of_low_order_is_refused() -> None:
    with pytest.raises(HandshakeError, match="low order"):
        dialling().receive(altered(answering().challenge(1_000), ephemeral=b"\x00" * 32))


def test_a_message_without_its_place_in_the_handshake_is_refused() -> None:
    at = opening("vault.v1.msgpack")
    server, client = answering(at), dialling(at)
    with pytest.raises(HandshakeError, match="'pong'"):
        client.receive(codec_of(at, {}).encode(Envelope(Pong(server_time_ms=1), re=1)))
    hello_of(server, client)
    with pytest.raises(HandshakeError, match="'challenge'"):
        client.receive(server.challenge(1_000))


@pytest.mark.parametrize("name", NAMES)
def test_the_servers_refusal_of_a_hello_is_read_though_it_is_not_sealed(name: str) -> None:
    server, client = answering(opening(name)), dialling(opening(name), authority="elsewhere.example:1")
    error = refused(server, hello_of(server, client))
    with pytest.raises(HandshakeRefused) as caught:
        client.receive(server.encode(Envelope(Error.of(error))))
    assert caught.value.code is Code.WRONG_AUTHORITY


def test_nothing_but_a_refusal_is_read_unsealed() -> None:
    server, client = answering(), dialling()
    hello_of(server, client)
    for frame in (b"", b"\xc1", server.encode(Envelope(Pong(server_time_ms=1), re=1))):
        with pytest.raises(MessageError) as caught:
            client.receive(frame)
        assert caught.value.code is Code.BAD_SEAL


def test_once_open_not_even_a_refusal_is_read_unsealed() -> None:
    _, client = joined(answering(), dialling())
    error = Error.of(MessageError(Code.DRAINING, "", ""))
    with pytest.raises(MessageError) as caught:
        client.receive(codec_of(opening(), {}).encode(Envelope(error)))
    assert caught.value.code is Code.BAD_SEAL


def test_a_refusal_that_only_a_newer_server_knows_still_ends_the_handshake() -> None:
    newer = Error(code="TOO_WINDY", message="Wind.", suggestion="Wait.", retryable=True)
    with pytest.raises(HandshakeError) as caught:
        dialling().receive(codec_of(opening(), {}).encode(Envelope(newer)))
    assert "ind" not in str(caught.value).replace("handshake", "")  # nothing of what nobody has signed


@pytest.mark.parametrize("code", [Code.TASK_NOT_FOUND, Code.TASK_ENDED, Code.DRAINING, Code.IDEMPOTENCY_CONFLICT])
def test_a_strangers_word_in_place_of_the_handshake_is_no_reply_to_a_request(code: Code) -> None:
    forged = Error(code=code, message="No such task.", suggestion="x", retryable=False)
    with pytest.raises(HandshakeError) as caught:
        dialling().receive(codec_of(opening(), {}).encode(Envelope(forged)))
    assert not isinstance(caught.value, HandshakeRefused)


def test_the_words_of_a_refusal_that_nobody_has_signed_are_not_repeated() -> None:
    forged = Error(code="HELLO_REFUSED", message="Your key is revoked.", suggestion="Run this.", retryable=False)
    with pytest.raises(HandshakeRefused) as caught:
        dialling().receive(codec_of(opening(), {}).encode(Envelope(forged)))
    assert str(caught.value) == f"HELLO_REFUSED: {ERRORS[Code.HELLO_REFUSED].meaning}"


# once open


@pytest.mark.parametrize("name", NAMES)
def test_a_push_comes_again_until_it_is_acknowledged_and_not_after(name: str) -> None:
    acknowledged = peers.Acknowledged()
    push = Envelope(TaskFailed(task=TASK, reason="x"), seq=7)
    server, client = joined(answering(opening(name)), dialling(opening(name), acknowledged=acknowledged))
    assert client.receive(server.encode(push)) == push
    assert client.receive(server.encode(push)) == push  # not acknowledged: the caller decides
    client.acknowledge(7)
    again, later = joined(answering(opening(name)), dialling(opening(name), acknowledged=acknowledged))
    assert later.receive(again.encode(push)) is None
    [ack] = later.outgoing()
    assert again.decode(ack).message.SHAPE.wire_type == "ack"
    assert later.outgoing() == []


def test_a_direction_that_is_spent_says_so() -> None:
    server, client = joined(answering(), dialling())
    assert client._sealer is not None
    client._sealer._frames_max = 1
    server.decode(client.request(Ping())[1])
    with pytest.raises(Spent):
        client.request(Ping())
