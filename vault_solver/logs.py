"""Log lines on standard output, JSON or, on a terminal, coloured. A log that cannot be written stops no work."""

from __future__ import annotations

import contextlib
import logging
import sys
from enum import StrEnum

import structlog
from structlog.typing import Processor


class LogFormat(StrEnum):
    """How log lines look; `auto` is pretty on a terminal and JSON otherwise."""

    AUTO = "auto"
    JSON = "json"
    PRETTY = "pretty"


class _Lines:
    """Standard output, line by line; a full disk or a closed pipe loses lines, not work."""

    def msg(self, message: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.write(message + "\n")
            sys.stdout.flush()

    debug = info = warning = error = critical = msg


def configure(log_format: LogFormat) -> None:
    """Set up structlog for this process."""
    pretty = log_format is LogFormat.PRETTY or (log_format is LogFormat.AUTO and sys.stdout.isatty())
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty()) if pretty else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        logger_factory=lambda *_: _Lines(),
        cache_logger_on_first_use=False,
    )
    # What websockets and asyncio have to say is said by our own events; their lines would not be JSON.
    for name in ("websockets", "asyncio"):
        logging.getLogger(name).addHandler(logging.NullHandler())
        logging.getLogger(name).propagate = False
