"""Strangers cannot fill the log: so many lines in a span, and the next one says how many were left out."""

from __future__ import annotations

from vault_server.gateway.log_quota import LogQuota


def test_so_many_lines_and_then_the_number_left_out() -> None:
    quota = LogQuota(lines_max=2, span_ms=1_000)
    assert [quota.take(0), quota.take(10)] == [{}, {}]
    assert [quota.take(10), quota.take(999)] == [None, None]
    assert quota.take(1_000) == {"left_out": 2}
    assert quota.take(1_009) is None
    assert quota.take(1_010) == {"left_out": 1}
