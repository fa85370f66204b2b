"""Connections and file descriptors: peers never take the last ones."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import resource
from vault_server.gateway.descriptors import connections_that_fit
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
print(connections_that_fit({wanted}), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "fit", "after"),
    [
        (300, 400, 44, 44, 300),  # fits as it is
        (300, 400, 45, 45, 301),  # raised by what is missing
        (300, 400, 144, 144, 400),
        (300, 400, 145, 144, 400),  # no further than it may be
        (300, 300, 10_000, 44, 300),
        (100, 100, 50, 1, 100),
    ],
)
def test_the_limit_is_raised_as_far_as_it_may_be(soft: int, hard: int, wanted: int, fit: int, after: int) -> None:
    program = PROGRAM.format(soft=soft, hard=hard, wanted=wanted)
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == [str(fit), str(after)]
