"""The look at a puzzle: quick checks every time, the costly one once for each modulus."""

from __future__ import annotations

import threading
from dataclasses import replace

import gmpy2
import pytest

from protocol.errors import Code, MessageError
from protocol.puzzle import check_modulus
from protocol.vault import SubmitPuzzle
from tests.vault_server.systems.vault.harness import MODULUS, OTHER_MODULUS, P
from vault_server.settings import Settings
from vault_server.systems.vault import inspection
from vault_server.systems.vault.inspection import Inspector

BITS = MODULUS.bit_length()
GOOD = SubmitPuzzle(t=10, baseg=3, product=MODULUS)
PRIME = int(gmpy2.next_prime(1 << 127))
POWER = P**2
SMALL_FACTOR = 65_521 * int(gmpy2.next_prime(1 << 112))


@pytest.fixture
def settings() -> Settings:
    return Settings(modulus_bits_min=128, modulus_bits_max=256, squarings_max=1000)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The moduli that the real costly check has looked at."""
    seen: list[int] = []

    def look(modulus: int) -> None:
        seen.append(modulus)
        check_modulus(modulus)

    monkeypatch.setattr(inspection, "check_modulus", look)
    return seen


def inspect(inspector: Inspector, order: SubmitPuzzle) -> None:
    """As the dispatcher does it."""
    if not inspector.is_quick(order):
        inspector.check(order)


def refusal(inspector: Inspector, order: SubmitPuzzle) -> MessageError:
    with pytest.raises(MessageError) as caught:
        inspect(inspector, order)
    assert caught.value.suggestion
    return caught.value


def test_a_good_modulus_is_looked_at_once(settings: Settings, looks: list[int]) -> None:
    inspector = Inspector(settings)
    assert not inspector.is_quick(GOOD)
    for base in range(2, 8):
        inspect(inspector, replace(GOOD, baseg=base, t=base))
    assert looks == [MODULUS]
    assert inspector.is_quick(GOOD)
    inspect(inspector, replace(GOOD, product=OTHER_MODULUS))
    assert looks == [MODULUS, OTHER_MODULUS]


BAD_MODULI = [
    (PRIME, Code.PRODUCT_PRIME),
    (POWER, Code.PRODUCT_PERFECT_POWER),
    (SMALL_FACTOR, Code.PRODUCT_SMALL_FACTOR),
]


@pytest.mark.parametrize(("modulus", "code"), BAD_MODULI)
def test_a_bad_modulus_is_looked_at_once_and_refused_each_time(
    settings: Settings, looks: list[int], modulus: int, code: Code
) -> None:
    inspector = Inspector(settings)
    refusals = [refusal(inspector, replace(GOOD, product=modulus)) for _ in range(3)]
    assert looks == [modulus]
    assert {one.code for one in refusals} == {code}
    assert len({one.message for one in refusals}) == 1
    assert len({id(one) for one in refusals}) == 3


QUICK = [
    (replace(GOOD, t=0), Code.SQUARINGS_OUT_OF_RANGE),
    (replace(GOOD, t=-1), Code.SQUARINGS_OUT_OF_RANGE),
    (replace(GOOD, t=1001), Code.SQUARINGS_OUT_OF_RANGE),
    (replace(GOOD, product=2**127 - 1), Code.PRODUCT_TOO_SMALL),
    (replace(GOOD, product=0), Code.PRODUCT_TOO_SMALL),
    (replace(GOOD, product=2**256 + 1), Code.PRODUCT_TOO_LARGE),
    (replace(GOOD, product=MODULUS + 1), Code.PRODUCT_EVEN),
]


@pytest.mark.parametrize(("order", "code"), QUICK)
def test_what_costs_nothing_is_refused_without_a_look(
    settings: Settings, looks: list[int], order: SubmitPuzzle, code: Code
) -> None:
    assert refusal(Inspector(settings), order).code is code
    assert looks == []


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize(
    ("base", "code"),
    [
        (0, Code.BASE_OUT_OF_RANGE),
        (1, Code.BASE_OUT_OF_RANGE),
        (MODULUS - 1, Code.BASE_OUT_OF_RANGE),
        (MODULUS, Code.BASE_OUT_OF_RANGE),
        (P, Code.BASE_NOT_COPRIME),
    ],
)
def test_the_base_is_looked_at_each_time(settings: Settings, known: bool, base: int, code: Code) -> None:
    inspector = Inspector(settings)
    if known:
        inspect(inspector, GOOD)
    assert refusal(inspector, replace(GOOD, baseg=base)).code is code


def test_the_edges_of_the_settings_are_good(settings: Settings) -> None:
    inspector = Inspector(settings)
    inspect(inspector, replace(GOOD, t=1))
    inspect(inspector, replace(GOOD, t=1000))
    inspect(inspector, replace(GOOD, baseg=2))
    inspect(inspector, replace(GOOD, baseg=MODULUS - 2))
    assert settings.modulus_bits_min == BITS


def test_verdicts_are_kept_for_so_many_moduli(
    settings: Settings, looks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspection, "VERDICTS_KEPT", 2)
    inspector = Inspector(settings)
    first, second, third = (replace(GOOD, product=product) for product in (MODULUS, PRIME, OTHER_MODULUS))
    inspect(inspector, first)
    refusal(inspector, second)
    inspect(inspector, first)  # used again: the other one is older now
    inspect(inspector, third)
    inspect(inspector, first)
    assert looks == [MODULUS, PRIME, OTHER_MODULUS]
    refusal(inspector, second)
    assert looks == [MODULUS, PRIME, OTHER_MODULUS, PRIME]


def test_a_refusal_does_not_show_the_numbers(settings: Settings) -> None:
    for modulus, _ in BAD_MODULI:
        text = str(refusal(Inspector(settings), replace(GOOD, product=modulus)))
        assert str(modulus) not in text
        assert f"{modulus:x}" not in text


def test_threads_share_the_verdicts(settings: Settings) -> None:
    inspector = Inspector(settings)
    orders = [replace(GOOD, product=product) for product in (MODULUS, OTHER_MODULUS)] * 10
    failures: list[Exception] = []

    def work(order: SubmitPuzzle) -> None:
        try:
            inspect(inspector, order)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(order,)) for order in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert all(inspector.is_quick(order) for order in orders)
