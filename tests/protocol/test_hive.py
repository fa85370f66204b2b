"""The hive's messages: every limit at its edge, what no field takes, and that all of them come back as they went."""

from __future__ import annotations

import json
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from protocol import hive
from protocol.catalog import HIVE_FROM_SERVER, HIVE_TO_SERVER
from protocol.codec import Codec
from protocol.envelope import Envelope, Kind, Message
from protocol.errors import ERRORS, Code, MessageError
from protocol.fields import Choice, Field, Flag, Integer, Number, Text
from protocol.hive_fields import (
    CLEARED,
    Cursor,
    Email,
    Instant,
    Link,
    ListOf,
    One,
    OrNull,
    Prose,
    Several,
    Work,
    instant_text,
)
from protocol.hive_json import from_json, to_json
from protocol.hive_replies import FROM_SERVER
from protocol.records import Record, Records
from tests.protocol import strategies

POST = {"title": "Sort these", "description": "x" * 20, "budget_credits": 10}
HOUR_MS = 3_600_000


def taken(cls: type[Message], **fields: Any) -> Message:
    return from_json(cls, fields)


def refused(cls: type[Message], **fields: Any) -> Code:
    with pytest.raises(MessageError) as caught:
        from_json(cls, fields)
    assert caught.value.suggestion
    return hive.told_as(caught.value, asks=cls in hive.QUESTIONS).code


AT_LIMIT: list[tuple[str, type[Message], dict[str, Any], str, Any, Any]] = [
    ("title, short", hive.PostTask, POST, "title", "x" * 5, "x" * 4),
    ("title, long", hive.PostTask, POST, "title", "é" * 200, "é" * 201),
    ("title, trimmed", hive.PostTask, POST, "title", f"  {'x' * 200}\n", "  xxxx  "),
    ("description, short", hive.PostTask, POST, "description", "x" * 20, "x" * 19),
    ("description, long", hive.PostTask, POST, "description", "x" * 5000, "x" * 5001),
    ("requirements", hive.PostTask, POST, "requirements", "x" * 5000, "x" * 5001),
    ("budget, low", hive.PostTask, POST, "budget_credits", 10, 9),
    ("budget, high", hive.PostTask, POST, "budget_credits", 10**9, 10**9 + 1),
    ("revisions, low", hive.PostTask, POST, "max_revisions", 0, -1),
    ("revisions, high", hive.PostTask, POST, "max_revisions", 5, 6),
    ("idempotency key", hive.PostTask, POST, "idempotency_key", "k" * 255, "k" * 256),
    ("idempotency key, short", hive.PostTask, POST, "idempotency_key", "k", ""),
    ("task id", hive.GetTask, {}, "task_id", 1, 0),
    ("bid", hive.ClaimTask, {"task_id": 1}, "proposed_credits", 1, 0),
    ("pitch", hive.ClaimTask, {"task_id": 1, "proposed_credits": 1}, "message", "x" * 1000, "x" * 1001),
    ("work", hive.Deliver, {"task_id": 1}, "content", "x" * 50_000, "x" * 50_001),
    ("work, short", hive.Deliver, {"task_id": 1}, "content", "x", ""),
    ("work, blank", hive.Deliver, {"task_id": 1}, "content", " x ", " \n "),
    ("notes", hive.RequestRevision, {"task_id": 1, "deliverable_id": 1}, "revision_notes", "x" * 5000, "x" * 5001),
    ("notes, none", hive.RequestRevision, {"task_id": 1, "deliverable_id": 1}, "revision_notes", "x", "  "),
    ("reason", hive.DisputeTask, {"task_id": 1}, "reason", "x" * 5000, "x" * 5001),
    ("stars, low", hive.ReviewTask, {"task_id": 1}, "rating", 1, 0),
    ("stars, high", hive.ReviewTask, {"task_id": 1}, "rating", 5, 6),
    ("quality", hive.ReviewTask, {"task_id": 1, "rating": 1}, "quality_score", 5, 6),
    ("speed", hive.ReviewTask, {"task_id": 1, "rating": 1}, "speed_score", 1, 0),
    ("comment", hive.ReviewTask, {"task_id": 1, "rating": 1}, "comment", "x" * 2000, "x" * 2001),
    ("agent's name", hive.RegisterAgent, {"description": "x"}, "name", "x" * 100, "x" * 101),
    ("agent's name, none", hive.RegisterAgent, {"description": "x"}, "name", "x", " "),
    ("agent's description", hive.RegisterAgent, {"name": "x"}, "description", "x" * 2000, "x" * 2001),
    ("capabilities", hive.UpdateMe, {}, "capabilities", [str(n) for n in range(20)], [str(n) for n in range(21)]),
    ("a capability", hive.UpdateMe, {}, "capabilities", ["x" * 50], ["x" * 51]),
    ("rate", hive.UpdateMe, {}, "hourly_rate_credits", 0, -1),
    ("link", hive.UpdateMe, {}, "webhook_url", "https://x.example/" + "a" * 1982, "https://x.example/" + "a" * 1983),
    ("limit, low", hive.BrowseTasks, {}, "limit", 1, 0),
    ("limit, high", hive.BrowseTasks, {}, "limit", 100, 101),
    ("words, short", hive.SearchTasks, {}, "q", "ab", "a"),
    ("words, long", hive.SearchTasks, {}, "q", "a" * 200, "a" * 201),
    ("deposit", hive.Deposit, {"user_id": 1}, "amount", 1, 0),
    ("events", hive.AddWebhook, {"url": "https://x.example"}, "events", ["claim.accepted"], []),
]


@pytest.mark.parametrize(
    ("cls", "others", "name", "good", "bad"), [case[1:] for case in AT_LIMIT], ids=[case[0] for case in AT_LIMIT]
)
def test_each_limit_at_its_edge(cls: type[Message], others: dict[str, Any], name: str, good: Any, bad: Any) -> None:
    taken(cls, **{**others, name: good})
    expected = Code.INVALID_PARAMETER if cls in hive.QUESTIONS else Code.VALIDATION_ERROR
    assert refused(cls, **{**others, name: bad}) == expected


def test_ten_claims_at_once_and_not_eleven() -> None:
    claim = {"task_id": 1, "proposed_credits": 1}
    taken(hive.BulkClaims, claims=[claim] * 10)
    assert refused(hive.BulkClaims, claims=[claim] * 11) == Code.VALIDATION_ERROR
    for wrong in (claim, "x", None, [1], [{**claim, "status": "accepted"}], [{"task_id": 1}]):
        assert refused(hive.BulkClaims, claims=wrong) == Code.VALIDATION_ERROR


@pytest.mark.parametrize("value", [10.5, 10.0, "10", True, -10, [10], {}, float("nan"), 2**60])
def test_a_budget_is_a_whole_number(value: Any) -> None:
    assert refused(hive.PostTask, **{**POST, "budget_credits": value}) == Code.VALIDATION_ERROR


@pytest.mark.parametrize(
    "name",
    [
        "status",
        "poster_id",
        "credit_balance",
        "reputation_score",
        "role",
        "id",
        "claimed_by_agent_id",
        "created_at",
        "x",
    ],
)
@pytest.mark.parametrize("cls", [hive.PostTask, hive.UpdateMe, hive.RegisterAgent, hive.UpdateAccount])
def test_nobody_sets_what_is_not_his_to_set(cls: type[Message], name: str) -> None:
    given = {**POST, name: 1} if cls is hive.PostTask else {"name": "x", "description": "x", name: 1}
    with pytest.raises(MessageError, match=name):
        from_json(cls, {key: value for key, value in given.items() if key in (*cls.SHAPE.names, name)})


@pytest.mark.parametrize(
    "text", ["a\0b cdef", "a\x1b[31m bc", "\ud800 surrogate", "line\u2028separator", "bell\x07 rings"]
)
def test_texts_hold_no_control_characters(text: str) -> None:
    assert refused(hive.PostTask, **{**POST, "title": text}) == Code.VALIDATION_ERROR
    assert refused(hive.PostTask, **{**POST, "description": text + "x" * 20}) == Code.VALIDATION_ERROR


def test_prose_has_lines_and_a_title_has_none() -> None:
    posted = taken(hive.PostTask, **{**POST, "description": " One.\r\nTwo.\n\tThree, and more.\n"})
    assert posted.description == "One.\nTwo.\n\tThree, and more."  # type: ignore[attr-defined]
    assert refused(hive.PostTask, **{**POST, "title": "One\nTwo"}) == Code.VALIDATION_ERROR


def test_work_is_kept_exactly_as_it_came() -> None:
    delivered = taken(hive.Deliver, task_id=1, content="  \r\n x\x1b \n")
    assert delivered.content == "  \r\n x\x1b \n"  # type: ignore[attr-defined]
    for wrong in ("a\0", "\ud800x"):
        assert refused(hive.Deliver, task_id=1, content=wrong) == Code.VALIDATION_ERROR


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2030-01-31T12:00:00Z", 1_896_091_200_000),
        ("2030-01-31T12:00:00.250Z", 1_896_091_200_250),
        ("2030-01-31T14:00:00+02:00", 1_896_091_200_000),
        ("2030-01-31T12:00:00.000001-00:00", 1_896_091_200_000),
        ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
    ],
)
def test_moments(text: str, ms: int) -> None:
    assert Instant().parse("deadline", text, False) == ms
    assert Instant().parse("deadline", instant_text(ms), False) == ms


@pytest.mark.parametrize(
    "text",
    [
        "2030-01-31", "2030-01-31T12:00:00", "2030-02-30T12:00:00Z", "2030-01-31 12:00:00Z", "2030-01-31T25:00:00Z",
        "1969-12-31T23:59:59Z", 1_896_091_200_000, "", None, "2030-01-31T12:00:00z", "20300131T120000Z",
        "9999-12-31T23:59:59-23:59",
    ],
)  # fmt: skip
def test_what_is_no_moment(text: Any) -> None:
    with pytest.raises(MessageError):
        Instant().parse("deadline", text, False)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x.example", "x.example", "https://", "https:///path", "https://a b.example", "https://user@x.example",
        "https://x.example:99999/", "javascript:alert(1)", "https://x.example/\u00e9", "https://x\\.example", "", 5,
        "https://[::1", "//x.example",
    ],
)  # fmt: skip
def test_what_is_no_link(url: Any) -> None:
    with pytest.raises(MessageError):
        Link().parse("url", url, False)


@pytest.mark.parametrize(
    "url", ["https://x.example", "https://x.example:8443/a?b=c#d", "https://[::1]/", "HTTPS://X.example/"]
)
def test_links(url: str) -> None:
    assert Link().parse("url", url, False) == url


def test_a_picture_is_https_on_every_server() -> None:
    assert Link().parse("url", "http://x.example/", False) == "http://x.example/"
    assert refused(hive.UpdateAccount, avatar_url="http://x.example/") == Code.VALIDATION_ERROR
    taken(hive.UpdateAccount, avatar_url="https://x.example/")


@pytest.mark.parametrize(
    ("given", "kept"), [(" Ann@Example.org ", "ann@example.org"), ("a.b+c@d-e.example", "a.b+c@d-e.example")]
)
def test_addresses_are_kept_in_one_form(given: str, kept: str) -> None:
    assert Email().parse("email", given, False) == kept


@pytest.mark.parametrize(
    "text",
    [
        "ann",
        "@x.example",
        "ann@",
        "ann@x",
        "a b@x.example",
        "ann@x.example\n.y",
        "é@x.example",
        5,
        "a" * 65 + "@x.example",
        "a@" + "b" * 250 + ".cc",
    ],
)
def test_what_is_no_address(text: Any) -> None:
    with pytest.raises(MessageError):
        Email().parse("email", text, False)


@pytest.mark.parametrize(
    ("password", "good"), [("x" * 8, True), ("x" * 7, False), ("é" * 1024, True), ("x" * 1025, False)]
)
def test_passwords_are_hidden_and_bounded(password: str, good: bool) -> None:
    given = {"email": " Ann@example.org", "name": "Ann", "password": password}
    if not good:
        assert refused(hive.Register, **given) == Code.VALIDATION_ERROR
        return
    registering = from_json(hive.Register, given)
    assert registering.password.reveal() == password
    assert password not in repr(registering)
    assert from_json(hive.LogIn, {"email": "ann@example.org", "password": "x"}).password.reveal() == "x"
    for wrong in (None, 5, "\ud800" * 8):
        assert refused(hive.Register, **{**given, "password": wrong}) == Code.VALIDATION_ERROR
    assert refused(hive.Register, **given, role="admin") == Code.VALIDATION_ERROR


def test_null_is_absent_and_clears_where_something_can_be_cleared() -> None:
    assert taken(hive.PostTask, **POST, deadline=None, category_id=None) == taken(hive.PostTask, **POST)
    cleared = taken(hive.UpdateMe, webhook_url=None, name=None)
    assert (cleared.webhook_url, cleared.name) == (CLEARED, None)  # type: ignore[attr-defined]
    assert taken(hive.UpdateMe).webhook_url is None  # type: ignore[attr-defined]
    assert refused(hive.PostTask, **{**POST, "title": None}) == Code.VALIDATION_ERROR


def test_an_agents_lists_hold_each_once() -> None:
    for wrong in (["a", "a"], "a", ["a", 1], [""]):
        assert refused(hive.UpdateMe, capabilities=wrong) == Code.VALIDATION_ERROR
    for numbers in ([1, 1], [0], ["1"], [True]):
        assert refused(hive.UpdateMe, category_ids=numbers) == Code.VALIDATION_ERROR
    assert refused(hive.AddWebhook, url="https://x.example", events=["task.lost"]) == Code.VALIDATION_ERROR


@pytest.mark.parametrize("code", hive.HTTP_STATUSES)
def test_every_code_of_rest_has_its_meaning(code: Code) -> None:
    assert ERRORS[code].meaning
    assert 400 <= hive.HTTP_STATUSES[code] <= 503


@pytest.mark.parametrize(
    ("code", "asks", "told"),
    [
        (Code.BAD_FIELD, True, Code.INVALID_PARAMETER),
        (Code.BAD_FIELD, False, Code.VALIDATION_ERROR),
        (Code.UNKNOWN_FIELD, False, Code.VALIDATION_ERROR),
        (Code.MISSING_FIELD, True, Code.INVALID_PARAMETER),
        (Code.MALFORMED, False, Code.VALIDATION_ERROR),
        (Code.INTERNAL, False, Code.INTERNAL_ERROR),
        (Code.TASK_NOT_FOUND, True, Code.TASK_NOT_FOUND),
    ],
)
def test_what_a_refusal_is_called(code: Code, asks: bool, told: Code) -> None:
    error = hive.told_as(MessageError(code, "m", "s", retry_after_ms=5), asks=asks)
    assert (error.code, error.message, error.suggestion, error.retry_after_ms) == (told, "m", "s", 5)
    assert told in hive.HTTP_STATUSES


def test_every_request_that_changes_something_can_be_repeated() -> None:
    for cls in hive.TO_SERVER:
        assert ("idempotency_key" in cls.SHAPE.names) is (cls not in hive.QUESTIONS), cls


def values(field: Field) -> st.SearchStrategy[Any]:
    """Values of the hive's own kinds of fields, and of the others."""
    match field:
        case Instant():
            return st.integers(0, 4_000_000_000_000)
        case Prose(length_max, length_min):
            letters = st.sampled_from("ab é\"'<&")
            return st.text(letters, min_size=length_min, max_size=min(length_max, length_min + 9)).filter(
                lambda text: len(text.strip()) == len(text) >= length_min
            )
        case Work():
            return st.text("ab \n", min_size=1, max_size=9).map(lambda text: text + "x")
        case Cursor():
            return st.from_regex("[A-Za-z0-9_=-]{1,9}", fullmatch=True)
        case Email():
            return st.sampled_from(["ann@example.org", "a.b@c.example"])
        case Link():
            return st.sampled_from(["https://x.example/a", "https://y.example:8443/?q=1"])
        case ListOf(kind, entries_max, entries_min):
            return st.lists(values(kind), unique=True, min_size=entries_min, max_size=min(entries_max, 3)).map(tuple)
        case OrNull(kind):
            return values(kind) | st.just(CLEARED)
        case One(kind):
            return records(kind)
        case Records(kind):
            return st.lists(records(kind), min_size=field.entries_min, max_size=2).map(tuple)
        case Several(kind):
            return st.lists(records(kind), max_size=2).map(tuple)
        case Choice() | Flag() | Integer() | Number() | Text():
            return strategies.values(field)
    raise AssertionError(f"no strategy for {field!r}")


def records(cls: type[Record]) -> st.SearchStrategy[Record]:
    return st.fixed_dictionaries(
        {spec.name: (st.none() | values(spec.field)) if spec.optional else values(spec.field) for spec in cls.FIELDS}
    ).map(lambda given: cls(**given))


def messages(cls: type[Message]) -> st.SearchStrategy[Message]:
    fields = cls.SHAPE.fields
    return st.fixed_dictionaries(
        {spec.name: (st.none() | values(spec.field)) if spec.optional else values(spec.field) for spec in fields}
    ).map(lambda given: cls(**given))


@given(st.sampled_from([*hive.TO_SERVER, *FROM_SERVER]).flatmap(messages))
def test_a_message_comes_back_as_it_went(message: Message) -> None:
    text = json.dumps({name: value for name, value in to_json(message).items() if value is not None})
    cleared = {name: None for name in message.SHAPE.names if getattr(message, name) is CLEARED}
    assert from_json(type(message), {**json.loads(text), **cleared}) == message


@given(st.sampled_from(FROM_SERVER).flatmap(messages), st.booleans())
def test_a_reply_comes_back_through_the_codec(message: Message, binary: bool) -> None:
    codec = Codec(binary=binary, reads=HIVE_FROM_SERVER, strict=False, frame_bytes_max=2**20, depth_max=hive.DEPTH_MAX)
    kind = message.SHAPE.kind
    envelope = Envelope(message, re=1 if kind is Kind.REPLY else None, seq=1 if kind is Kind.PUSH else None)
    assert codec.decode(codec.encode(envelope)) == envelope


def test_the_names_on_the_socket_are_the_specs() -> None:
    names = (
        "browse_tasks search_tasks get_task post_task claim_task bulk_claim withdraw_claim accept_claim reject_claim"
        " start_task deliver accept_deliverable request_revision reject_deliverable dispute resolve_dispute cancel_task"
        " rollback_task review me update_me my_claims my_tasks credits get_agent add_webhook list_webhooks"
        " delete_webhook register_agent rotate_key revoke_key"
    )
    assert set(names.split()) <= set(HIVE_TO_SERVER)


# what refusals say


WHY: list[tuple[type[Message], str, Any, str]] = [
    (hive.PostTask, "title", "abc", "has 3 characters"),
    (hive.PostTask, "title", " a ", "has 1 character"),
    (hive.PostTask, "title", "One\nTwo", "has line breaks or control characters"),
    (hive.PostTask, "description", "x" * 20 + "\a", "has control characters"),
    (hive.PostTask, "title", 5, "is a number"),
    (hive.PostTask, "title", ["a"], "is a list"),
    (hive.PostTask, "title", {}, "is an object"),
    (hive.PostTask, "title", True, "is true or false"),
    (hive.PostTask, "budget_credits", 5, "is 5"),
    (hive.PostTask, "budget_credits", 10.5, "is 10.5"),
    (hive.PostTask, "budget_credits", "10", "is a text"),
    (hive.PostTask, "budget_credits", True, "is true or false"),
    (hive.PostTask, "budget_credits", 10**15, "is 1000000000000000"),
    (hive.PostTask, "budget_credits", 10**5000, "is a number"),
    (hive.PostTask, "deadline", "tomorrow", "is written in another way"),
    (hive.PostTask, "deadline", "2030-02-31T12:00:00Z", "is a time that never is"),
    (hive.Deliver, "content", "", "has 0 characters"),
    (hive.Deliver, "content", " \n", "has only blanks"),
    (hive.Deliver, "content", "a\0b", "has a NUL, or half a character"),
    (hive.Register, "email", "ann", "is no e-mail address"),
    (hive.Register, "password", "hunter2", "has 7 characters"),
    (hive.BrowseTasks, "status", "lost", "is another word"),
    (hive.BrowseTasks, "cursor", "{}", "is no cursor"),
    (hive.UpdateMe, "capabilities", ["a", "a"], "has something twice"),
    (hive.UpdateMe, "capabilities", ["a"] * 21, "has 21 entries"),
    (hive.AddWebhook, "url", "ftp://x.example/", "is no such URL"),
]


@pytest.mark.parametrize(("cls", "name", "value", "why"), WHY, ids=[f"{name}: {why}" for _, name, _, why in WHY])
def test_a_refusal_says_what_is_wrong(cls: type[Message], name: str, value: Any, why: str) -> None:
    field = next(spec.field for spec in cls.SHAPE.fields if spec.name == name)
    with pytest.raises(MessageError) as caught:
        field.parse(name, value, False)
    assert caught.value.message == f"Field {name!r} does not fit: it {why}."
    assert caught.value.suggestion == f"Send {field.describe()}."
