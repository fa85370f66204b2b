"""Whether a puzzle can be judged at all: the costly look at a modulus is done once, its verdict is kept."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from threading import Lock

from protocol.errors import MessageError
from protocol.puzzle import Puzzle, check_base, check_modulus, check_sizes
from protocol.vault import SubmitPuzzle
from vault_server.core.operation import Refusal
from vault_server.settings import Settings

VERDICTS_KEPT = 65_536


def puzzle_of(order: SubmitPuzzle) -> Puzzle:
    """The puzzle that a `tlp` asks for."""
    return Puzzle(order.t, order.baseg, order.product)


class Inspector:
    """Checks the puzzles of `tlp`. Used from several threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._verdicts: OrderedDict[bytes, MessageError | None] = OrderedDict()
        self._lock = Lock()

    def is_quick(self, order: SubmitPuzzle) -> bool:
        """Check all that costs microseconds (raises MessageError); False when the modulus is still to be looked at."""
        puzzle = puzzle_of(order)
        self._check_sizes(puzzle)
        known, verdict = self._recall(puzzle.modulus)
        if not known:
            return False
        if verdict is not None:
            raise _again(verdict)
        check_base(puzzle.base, puzzle.modulus)
        return True

    def check(self, order: SubmitPuzzle) -> None:
        """The whole inspection; milliseconds of CPU. Raises MessageError."""
        puzzle = puzzle_of(order)
        verdict: MessageError | None = None
        try:
            check_modulus(puzzle.modulus)
        except MessageError as refusal:
            verdict = refusal
        self._keep(puzzle.modulus, verdict)
        if verdict is not None:
            raise _again(verdict)
        check_base(puzzle.base, puzzle.modulus)

    def _check_sizes(self, puzzle: Puzzle) -> None:
        s = self._settings
        check_sizes(
            puzzle,
            squarings_max=s.squarings_max,
            modulus_bits_min=s.modulus_bits_min,
            modulus_bits_max=s.modulus_bits_max,
        )

    def _recall(self, modulus: int) -> tuple[bool, MessageError | None]:
        name = _name(modulus)
        with self._lock:
            if name not in self._verdicts:
                return False, None
            self._verdicts.move_to_end(name)
            return True, self._verdicts[name]

    def _keep(self, modulus: int, verdict: MessageError | None) -> None:
        with self._lock:
            self._verdicts[_name(modulus)] = verdict
            if len(self._verdicts) > VERDICTS_KEPT:
                self._verdicts.popitem(last=False)


def _name(modulus: int) -> bytes:
    return hashlib.sha256(modulus.to_bytes((modulus.bit_length() + 7) // 8, "big")).digest()


def _again(verdict: MessageError) -> Refusal:
    """A fresh exception for a kept verdict: raising one object twice would chain their tracebacks for ever."""
    return Refusal(verdict.code, verdict.message, verdict.suggestion)
