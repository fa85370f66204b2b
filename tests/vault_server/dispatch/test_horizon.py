"""The horizon beside a model of transactions that draw numbers, commit in any order, or never."""

from __future__ import annotations

import random

import pytest

from vault_server.dispatch import horizon as module
from vault_server.dispatch.horizon import MARKS_MAX, Horizon


class Writers:
    """Transactions with numbers; each draws one push's number, which appears when it commits."""

    def __init__(self) -> None:
        self.next_transaction = 1
        self.next_seq = 1
        self.open: dict[int, int] = {}
        self.visible: set[int] = set()

    def begin(self) -> None:
        self.open[self.next_transaction] = self.next_seq
        self.next_transaction += 1
        self.next_seq += 1

    def end(self, rng: random.Random) -> None:
        if self.open:
            number = rng.choice(sorted(self.open))
            seq = self.open.pop(number)
            if rng.random() < 0.8:
                self.visible.add(seq)

    @property
    def running(self) -> tuple[int, int]:
        return min(self.open, default=self.next_transaction), self.next_transaction


@pytest.mark.parametrize("seed", range(40))
def test_nothing_appears_below_the_floor_and_everything_is_handled_once(seed: int) -> None:
    rng = random.Random(seed)
    writers, horizon = Writers(), Horizon()
    for _ in range(rng.randrange(4)):
        writers.begin()
    horizon.begin(0, writers.running[1])
    handled: list[int] = []
    for _ in range(300):
        for _ in range(rng.randrange(3)):
            writers.begin()
        for _ in range(rng.randrange(3)):
            writers.end(rng)
        if writers.visible and rng.random() < 0.3:  # acknowledged, by whichever node
            writers.visible.discard(rng.choice(sorted(writers.visible & set(handled)) or [0]))
        oldest, running_to = writers.running
        present = sorted(seq for seq in writers.visible if seq > horizon.floor)
        handled += [seq for seq in present if seq not in horizon.handled]
        if present:
            horizon.saw(present[-1], running_to)
        horizon.settle(oldest, present)
        assert all(seq > horizon.floor for seq in writers.open.values() if seq <= max(handled, default=0))
        assert len(horizon._marks) <= MARKS_MAX
    assert len(set(handled)) == len(handled)
    assert writers.visible <= set(handled)


def test_who_writes_alone_settles_at_once() -> None:
    horizon = Horizon()
    horizon.begin(10, 0)
    assert horizon.settle(0, []) is True
    horizon.saw(12, 0)
    assert horizon.settle(0, [11, 12]) is False
    assert (horizon.floor, horizon.handled) == (12, set())


def test_the_start_is_not_over_before_what_had_begun_by_then() -> None:
    horizon = Horizon()
    horizon.begin(10, 7)
    horizon.saw(11, 7)  # nothing else has begun since: one mark for both
    assert horizon.settle(6, [11]) is False
    assert (horizon.floor, horizon.handled) == (10, {11})
    assert horizon.settle(7, [11]) is True
    assert (horizon.floor, horizon.handled) == (11, set())


def test_what_never_ends_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    horizon = Horizon()
    horizon.begin(0, 1)
    for seq in range(1, 500):
        horizon.saw(seq, 1 + seq)
        horizon.settle(0, [])
    assert (horizon.floor, len(horizon._marks)) == (0, MARKS_MAX)
    monkeypatch.setattr(module, "TRANSACTION_SECONDS_MAX", -1.0)
    assert horizon.settle(0, []) is True
    assert horizon.floor == 499
