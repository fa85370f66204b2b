"""The operator's log: one JSON line per event on standard output, pretty on a terminal. Never a parameter or a key."""

from __future__ import annotations

import atexit
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from io import FileIO, RawIOBase
from queue import SimpleQueue
from typing import Any, Literal

import orjson
import structlog
from structlog.typing import EventDict, Processor

from vault_server.recent_lines import RecentLines

logger = structlog.get_logger()

recent = RecentLines()
"""What this process has logged last, for `vault-server tail`."""

WAITING_BYTES_MAX = 8 * 2**20
"""Bytes of lines that wait for a slow reader; what comes then is dropped and counted."""

FLUSH_SECONDS = 2.0
AGAIN_SECONDS = 0.05

_writers: list[LineWriter] = []

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
        # A traceback with local values would show puzzles and answers.
        console = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        shape: list[Processor] = [recent.beside(console)]
    else:
        shape = [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=orjson.dumps),
        ]
    kept = None if pretty else recent
    lines = LineWriter(FileIO(sys.stdout.fileno(), "wb", closefd=False), _tell_dropped, kept=kept)
    atexit.register(lines.flush)
    _writers.append(lines)
    structlog.configure(
        processors=[*shared, *shape],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=True,
    )


def lines_dropped() -> int:
    """Lines lost in this process because the log's reader was too slow."""
    return sum(writer.dropped_total for writer in _writers)


def write_events(events: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
    """Log many events at level info, as `logger.info` does; what their lines share, the time too, is made once."""
    configuration = structlog.get_config()
    *places, render = configuration["processors"]
    shared: Any = {}
    for process in places:
        shared = process(None, "info", shared)
    lines = [render(None, "info", {**fields, "event": event, **shared}) for event, fields in events]
    logger = configuration["logger_factory"]()
    if isinstance(logger, LineWriter):
        logger.take(lines)
    else:
        for line in lines:
            logger.info(line)


class LineWriter:
    """Takes rendered lines at once and writes them in a thread: a reader that has paused holds up nobody.

    What waits is bounded: lines beyond it are dropped, and `on_dropped` is told how many once there is room again. A
    log that cannot be written (the disk is full, its reader is gone) stops no work: lines are lost until it can. `kept`
    takes the last lines for `vault-server tail`, whatever becomes of the file.
    """

    def __init__(
        self,
        file: RawIOBase,
        on_dropped: Callable[[int], object],
        waiting_bytes_max: int = WAITING_BYTES_MAX,
        *,
        kept: RecentLines | None = None,
    ) -> None:
        self._file = file
        self._on_dropped = on_dropped
        self._waiting_bytes_max = waiting_bytes_max
        self._kept = kept
        self._lock = threading.Lock()
        self._lines: list[bytes] = []
        self._bytes = 0
        self._dropped = 0
        self.dropped_total = 0
        self._is_torn = False
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._idle = threading.Event()
        self._idle.set()
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def msg(self, line: str | bytes) -> None:
        """Have one line written, unless too much waits."""
        self.take([line])

    def take(self, lines: Iterable[str | bytes]) -> None:
        """Have lines written in one go, except those for which too much waits."""
        raw_lines = [line.encode(errors="replace") if isinstance(line, str) else line for line in lines]
        if self._kept is not None:
            self._kept.add(raw_lines)
        size = sum(map(len, raw_lines)) + len(raw_lines)
        with self._lock:
            is_awake = bool(self._lines)  # or about to be: it takes these with those
            if self._bytes + size <= self._waiting_bytes_max:
                self._bytes += size
                self._lines += raw_lines
            else:
                self._take_what_fits(raw_lines)
            if is_awake or not self._lines:
                return
            self._idle.clear()
        self._wake.put(None)

    def _take_what_fits(self, lines: Iterable[bytes]) -> None:
        for line in lines:
            if self._bytes + len(line) >= self._waiting_bytes_max:
                self._dropped += 1
                self.dropped_total += 1
            else:
                self._bytes += len(line) + 1
                self._lines.append(line)

    def flush(self, seconds: float = FLUSH_SECONDS) -> None:
        """Wait until everything is written, but not for ever: a paused reader does not keep the process alive."""
        self._idle.wait(seconds)

    def _run(self) -> None:
        while True:
            self._wake.get()
            with self._lock:
                lines, self._lines = self._lines, []
            self._write(b"\n".join(lines) + b"\n")

    def _write(self, batch: bytes) -> None:
        with suppress(OSError):
            if self._is_torn:  # the disk was full in the middle of a line: what comes now must not grow onto it
                self._file.write(b"\n")
                self._is_torn = False
            rest = memoryview(batch)
            while rest:
                written = self._file.write(rest)
                if written is None:  # whoever shares this file has made it non-blocking
                    time.sleep(AGAIN_SECONDS)
                else:
                    rest = rest[written:]
                    self._is_torn = bool(rest) and batch[len(batch) - len(rest) - 1 : len(batch) - len(rest)] != b"\n"
        with self._lock:
            self._bytes -= len(batch)
            dropped, self._dropped = self._dropped, 0
        if dropped:
            self._on_dropped(dropped)
        with self._lock:
            if not self._bytes:
                self._idle.set()

    debug = info = warning = error = critical = exception = msg


def _tell_dropped(lines: int) -> None:
    logger.warning("log.dropped", lines=lines)
