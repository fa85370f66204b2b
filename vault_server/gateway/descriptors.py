"""How many connections fit into the process's file descriptors: the soft limit is raised as far as it may be."""

from __future__ import annotations

import resource

TOLD_MAX = 64
"""Connections beyond those that fit which are told so (503); further ones are hung up on at once."""
RESERVED = 192 + TOLD_MAX
"""Descriptors for the database, the log, HTTP and operators: peers must not be able to take them."""


def connections_that_fit(wanted: int) -> int:
    """`wanted`, or fewer when the process may not have so many descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + RESERVED
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    raised = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if raised > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
    return max(1, raised - RESERVED)
