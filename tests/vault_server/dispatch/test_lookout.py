"""What the lookout has seen, on its way from the process that writes."""

from __future__ import annotations

import pickle

from vault_server.dispatch.lookout import Pushed, Seen


def test_what_was_seen_crosses_as_it_was() -> None:
    rows = [Pushed(seq, f"key:{seq}", "solver", "tlp_request", seq % 2) for seq in range(1, 4)]
    seen = Seen(rows, {1: None}, (0, 7))
    crossed = pickle.loads(pickle.dumps(seen, pickle.HIGHEST_PROTOCOL))
    assert crossed == seen
    assert type(crossed) is Seen
    assert [type(row) for row in crossed.rows] == [Pushed] * 3
