"""The operator's log: one JSON line per event on standard output, pretty on a terminal. Never a parameter or a key."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, BinaryIO, Literal

import orjson
import structlog
from structlog.typing import EventDict, Processor

LogFormat = Literal["auto", "json", "pretty"]


def configure(form: LogFormat = "auto", node: str = "") -> None:
    """Set up structlog for the process. `auto` is pretty on a terminal, JSON elsewhere; each line names the node."""
    pretty = form == "pretty" or (form == "auto" and sys.stdout.isatty())

    def add_place(_logger: Any, _name: str, event: EventDict) -> EventDict:
        event["node"] = node
        event["timestamp"] = datetime.now(UTC).isoformat()
        return event

    shared: list[Processor] = [structlog.processors.add_log_level, add_place]
    if pretty:
        structlog.configure(
            processors=[*shared, structlog.dev.ConsoleRenderer()],
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
            logger_factory=structlog.PrintLoggerFactory(sys.stdout),
            cache_logger_on_first_use=True,
        )
    else:
        lines = LineWriter(sys.stdout.buffer)
        structlog.configure(
            processors=[
                *shared,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(serializer=orjson.dumps),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
            logger_factory=lambda *_: lines,
            cache_logger_on_first_use=True,
        )


def write_events(events: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
    """Log many events at level info: what `logger.info` does, without building a logger's state for each line."""
    configuration = structlog.get_config()
    processors: list[Processor] = configuration["processors"]
    info = configuration["logger_factory"]().info
    for event, fields in events:
        line: Any = {**fields, "event": event}
        for process in processors:
            line = process(None, "info", line)
        info(line)


class LineWriter:
    """Writes rendered lines. Those of one turn of the event loop leave in one write, others at once.

    A log that cannot be written (the disk is full, its reader is gone) stops no work: lines are lost until it can.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._flush_due = False

    def msg(self, line: bytes) -> None:
        """Write one line."""
        with suppress(OSError):
            self._file.write(line + b"\n")
        if self._flush_due:
            return
        try:
            asyncio.get_running_loop().call_soon(self._flush)
            self._flush_due = True
        except RuntimeError:
            self._flush()

    def _flush(self) -> None:
        self._flush_due = False
        with suppress(OSError):
            self._file.flush()

    debug = info = warning = error = critical = exception = msg
