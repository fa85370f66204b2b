"""Which tasks a worker bids for, and how much."""

from __future__ import annotations

import re
from typing import Any

import pytest

from protocol import hive_records as shown
from vault_client.hive_bidding import Price, Rules, price_of


def task(**fields: Any) -> shown.TaskLine:
    values: dict[str, Any] = {
        "id": 1,
        "title": "Sort numbers",
        "description": "Twelve numbers, in order.",
        "budget_credits": 15,
        "status": "open",
        "poster": shown.Person(id=1, name="ann"),
        "claims_count": 0,
        "max_revisions": 2,
        "created_at": 0,
        "category": shown.CategoryName(id=2, name="Writing", slug="writing"),
    }
    return shown.TaskLine(**{**values, **fields})


@pytest.mark.parametrize(
    ("text", "budget", "bid"),
    [
        ("100%", 15, 15), ("50%", 15, 7), ("1%", 10, 1), ("80%", 200, 160),
        ("15", 15, 15), ("16", 15, None), (" 7 ", 15, 7),
    ],
)  # fmt: skip
def test_a_price_is_a_share_of_the_budget_or_a_number(text: str, budget: int, bid: int | None) -> None:
    assert price_of(text).of(budget) == bid


@pytest.mark.parametrize("text", ["", "%", "0", "0%", "101%", "-1", "1.5", "ten", "1e3", "²", "10 %%", "9" * 10])
def test_what_is_no_price_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(text))):
        price_of(text)


def test_nothing_named_is_everything() -> None:
    assert Rules().bid_on(task()) == 15
    assert Rules().bid_on(task(category=None)) == 15


@pytest.mark.parametrize(
    ("rules", "fields", "bid"),
    [
        (Rules(categories=frozenset({2, 3})), {}, 15),
        (Rules(categories=frozenset({3})), {}, None),
        (Rules(categories=frozenset({2})), {"category": None}, None),
        (Rules(min_budget=15), {}, 15),
        (Rules(min_budget=16), {}, None),
        (Rules(match=re.compile("numbers")), {"title": "Sort"}, 15),
        (Rules(match=re.compile("^Twelve", re.MULTILINE)), {}, 15),
        (Rules(match=re.compile("letters")), {}, None),
        (Rules(price=Price(16, is_percent=False)), {}, None),
        (Rules(), {"status": "claimed"}, None),
    ],
)
def test_each_rule_passes_tasks_over(rules: Rules, fields: dict[str, Any], bid: int | None) -> None:
    assert rules.bid_on(task(**fields)) == bid
