"""Which tasks a worker of the hive bids for, and how much: simple rules, told on the command line."""

from __future__ import annotations

import re
from dataclasses import dataclass

from protocol import hive_records as shown


@dataclass(frozen=True, slots=True)
class Price:
    """What is asked for: a number of credits, or a percentage of the budget."""

    amount: int
    is_percent: bool

    def of(self, budget: int) -> int | None:
        """The bid on a task of this budget, rounded down; None when the task does not pay so much."""
        if self.is_percent:
            return max(1, budget * self.amount // 100)
        return self.amount if self.amount <= budget else None


WHOLE_BUDGET = Price(100, is_percent=True)


def price_of(text: str) -> Price:
    """`80%` of the budget, or `150` credits. Raises ValueError."""
    word = text.strip()
    number = word.removesuffix("%")
    if not (number.isascii() and number.isdecimal()) or len(number) > 9:
        raise ValueError(f"{text!r} is neither a percentage such as 80% nor a number of credits")
    price = Price(int(number), is_percent=word.endswith("%"))
    if price.amount < 1 or (price.is_percent and price.amount > 100):
        raise ValueError(f"{text!r} is no bid: 1% to 100% of the budget, or 1 credit and more")
    return price


@dataclass(frozen=True, slots=True)
class Rules:
    """Nothing named is everything: categories by id, a pattern that is looked for in title and description."""

    categories: frozenset[int] = frozenset()
    min_budget: int = 0
    match: re.Pattern[str] | None = None
    price: Price = WHOLE_BUDGET
    message: str | None = None
    max_open: int = 5
    """Bids that wait and tasks in hand, together."""

    def bid_on(self, task: shown.TaskLine | shown.Task) -> int | None:
        """How much to ask for a task; None passes it over."""
        if task.status != "open" or task.budget_credits < self.min_budget:
            return None
        if self.categories and (task.category is None or task.category.id not in self.categories):
            return None
        if self.match is not None and not self.match.search(f"{task.title}\n{task.description}"):
            return None
        return self.price.of(task.budget_credits)
