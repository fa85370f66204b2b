"""What counts and what is free, at the limit and one above; the warning and the violation. Times are handed in."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from protocol.envelope import Message
from protocol.errors import Code, MessageError
from protocol.session import Ack, Exit, Ping
from protocol.vault import AcceptAssignment, ReportProgress, SubmitAnswer
from tests.vault_server.people import client, solver
from vault_server.core.operation import Caller, Endpoint, Operation
from vault_server.exchange.admission import RENEWALS_MAX, Admission, Allowances, Violation
from vault_server.exchange.outbox import ACKNOWLEDGE, acknowledgement
from vault_server.settings import Settings

ANN, BOB = solver("ann"), solver("bob")
LIMIT, WINDOW_MS = 3, 10_000


def nothing(*_: object) -> None:
    """What these operations do does not matter here."""


def operation(order: type, name: str) -> Operation:
    def allowance(given: object) -> tuple[str, int]:
        assert isinstance(given, (AcceptAssignment, SubmitAnswer))
        return name, given.assignment

    return Operation(order, frozenset({Endpoint.SOLVER}), nothing, allowance=allowance)


OPERATIONS = [ACKNOWLEDGE, operation(AcceptAssignment, "accept"), operation(SubmitAnswer, "tlp_response")]


@pytest.fixture
def admission() -> Admission:
    settings = Settings(
        max_requests_per_window=LIMIT,
        max_requests_per_window_client=LIMIT + 1,
        rate_limit_window=10,
        capacity_max=2,
        push_window=5,
    )
    return Admission(settings, OPERATIONS)


@pytest.fixture
def granted(admission: Admission) -> Allowances:
    return admission.allowances(ANN, 0)


def refusal(admit: Callable[[], None]) -> MessageError:
    with pytest.raises(MessageError) as raised:
        admit()
    return raised.value


def fill(admission: Admission, caller: Caller, count: int, now_ms: int = 0) -> None:
    for _ in range(count):
        admission.admit(caller, Ping(), Allowances(0), now_ms)


def test_the_limit_is_let_in_and_one_more_is_told_how_long_to_wait(admission: Admission, granted: Allowances) -> None:
    fill(admission, ANN, LIMIT, 2_000)
    refused = refusal(lambda: admission.admit(ANN, Ping(), granted, 5_500))
    assert refused.code is Code.RATE_LIMITED
    assert refused.retry_after_ms == 6_500
    admission.admit(ANN, Ping(), granted, 12_000)


@pytest.mark.parametrize(("later_ms", "is_violation"), [(0, True), (6_499, True), (6_500, False)])
def test_the_next_one_before_that_time_is_a_violation(
    admission: Admission, granted: Allowances, later_ms: int, is_violation: bool
) -> None:
    fill(admission, ANN, LIMIT, 2_000)
    refusal(lambda: admission.admit(ANN, Ping(), granted, 5_500))
    if is_violation:
        with pytest.raises(Violation, match="more than 3 messages in 10 s on /solver"):
            admission.admit(ANN, Ping(), granted, 5_500 + later_ms)
    else:
        admission.admit(ANN, Ping(), granted, 5_500 + later_ms)


def test_who_waits_each_time_is_warned_again_and_again_and_never_banned(
    admission: Admission, granted: Allowances
) -> None:
    now_ms, warned = 0, 0
    for _ in range(20):
        try:
            admission.admit(ANN, Ping(), granted, now_ms)
        except MessageError as refused:
            warned += 1
            now_ms += refused.retry_after_ms or 0
    assert warned > 3


def test_a_key_has_a_window_on_each_endpoint_with_its_own_limit(admission: Admission, granted: Allowances) -> None:
    fill(admission, ANN, LIMIT)
    fill(admission, client("ann"), LIMIT + 1)
    refused = refusal(lambda: admission.admit(client("ann"), Ping(), granted, 0))
    assert "4 messages" in refused.message
    assert "/client" in refused.message
    refusal(lambda: admission.admit(ANN, Ping(), granted, 0))
    fill(admission, BOB, LIMIT)


def test_connections_of_a_key_share_its_window(admission: Admission) -> None:
    for connection in (admission.allowances(ANN, 0), admission.allowances(ANN, 0), admission.allowances(ANN, 0)):
        admission.admit(ANN, Ping(), connection, 0)
    refusal(lambda: admission.admit(ANN, Ping(), admission.allowances(ANN, 0), 0))


def test_leaving_is_free(admission: Admission, granted: Allowances) -> None:
    for _ in range(LIMIT + 2):
        admission.admit(ANN, Exit(), granted, 0)
    fill(admission, ANN, LIMIT)
    admission.admit(ANN, Exit(), granted, 0)


def test_a_push_can_be_acknowledged_once_for_free(admission: Admission, granted: Allowances) -> None:
    granted.grant([acknowledgement(7), acknowledgement(8)])
    fill(admission, ANN, LIMIT)
    admission.admit(ANN, Ack(push=8), granted, 0)
    admission.admit(ANN, Ack(push=7), granted, 0)
    refusal(lambda: admission.admit(ANN, Ack(push=7), granted, 0))


@pytest.mark.parametrize(
    "message", [None, Ping(), Ack(push=1), ReportProgress(assignment=1, done=1), AcceptAssignment(assignment=1)]
)
def test_everything_else_counts(admission: Admission, granted: Allowances, message: Message | None) -> None:
    for _ in range(LIMIT):
        admission.admit(ANN, message, granted, 0)
    assert refusal(lambda: admission.admit(ANN, message, granted, 0)).code is Code.RATE_LIMITED


# what pushes grant


def test_what_was_granted_is_free_once(admission: Admission, granted: Allowances) -> None:
    granted.grant([("accept", 7), ("tlp_response", 7)])
    admission.admit(ANN, AcceptAssignment(assignment=7), granted, 0)
    admission.admit(ANN, SubmitAnswer(assignment=7, answer=1), granted, 0)
    fill(admission, ANN, LIMIT - 1)
    admission.admit(ANN, AcceptAssignment(assignment=7), granted, 0)
    refusal(lambda: admission.admit(ANN, SubmitAnswer(assignment=7, answer=1), granted, 0))


def test_a_grant_is_for_its_assignment_its_kind_and_its_connection(admission: Admission, granted: Allowances) -> None:
    granted.grant([("accept", 7)])
    fill(admission, ANN, LIMIT)
    refusal(lambda: admission.admit(ANN, AcceptAssignment(assignment=8), granted, 0))
    admission.forget(ANN.fingerprint)
    fill(admission, ANN, LIMIT)
    refusal(lambda: admission.admit(ANN, SubmitAnswer(assignment=7, answer=1), granted, 0))
    admission.forget(ANN.fingerprint)
    fill(admission, ANN, LIMIT)
    refusal(lambda: admission.admit(ANN, AcceptAssignment(assignment=7), admission.allowances(ANN, 0), 0))
    admission.admit(ANN, AcceptAssignment(assignment=7), granted, 0)


def test_even_a_key_that_was_warned_may_use_what_was_granted(admission: Admission, granted: Allowances) -> None:
    fill(admission, ANN, LIMIT)
    refusal(lambda: admission.admit(ANN, Ping(), granted, 0))
    granted.grant([("tlp_response", 7)])
    admission.admit(ANN, SubmitAnswer(assignment=7, answer=1), granted, 0)


def test_grants_are_bounded_and_the_oldest_gives_way() -> None:
    granted = Allowances(3)
    granted.grant(["a", "b", "c"])
    granted.grant(["a"])  # renewed: it is the youngest now
    granted.grant(["d"])
    assert [granted.take(name) for name in "abcd"] == [True, False, True, True]
    assert not granted.take("a")


def test_a_connection_holds_grants_for_its_assignments_and_its_window_of_pushes(granted: Allowances) -> None:
    fit = 4 * 2 + 5
    granted.grant([("accept", number) for number in range(fit + 1)])
    assert [granted.take(("accept", number)) for number in range(fit + 1)] == [False] + fit * [True]


def test_coming_again_and_again_is_no_way_around(admission: Admission) -> None:
    def is_granted(caller: Caller, now_ms: int) -> bool:
        granted = admission.allowances(caller, now_ms)
        granted.grant([("accept", 7)])
        return granted.take(("accept", 7))

    assert all(is_granted(ANN, 100) for _ in range(RENEWALS_MAX))
    assert not is_granted(ANN, 100)
    assert is_granted(BOB, 100)
    assert not is_granted(ANN, 100 + WINDOW_MS - 1)
    assert is_granted(ANN, 100 + WINDOW_MS)


def test_who_has_served_a_ban_begins_anew(admission: Admission, granted: Allowances) -> None:
    fill(admission, ANN, LIMIT)
    refusal(lambda: admission.admit(ANN, Ping(), granted, 0))
    admission.forget(ANN.fingerprint)
    fill(admission, ANN, LIMIT)


def test_what_has_ended_pushes_out_nothing_that_lives() -> None:
    granted = Allowances(4)
    granted.grant([("tlp_response", 1)])
    for ended in range(2, 20):
        granted.grant([("accept", ended), ("tlp_response", ended)])
        granted.revoke([("accept", ended), ("tlp_response", ended)])
    assert granted.take(("tlp_response", 1))
    assert not granted.take(("tlp_response", 19))


def test_the_oldest_grant_gives_way_at_the_bound() -> None:
    granted = Allowances(2)
    granted.grant([1, 2])
    assert granted.take(1)
    granted.grant([1, 3])
    assert [granted.take(number) for number in (1, 2, 3)] == [True, False, True]
