"""HTTP by hand, byte for byte: tests of what a server does with strangers should not lean on a polite library."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.processes import Server

ANSWER_SECONDS_MAX = 15.0
HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Answer:
    """One response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        assert self.headers["content-type"] == "application/json"
        read: dict[str, Any] = json.loads(self.body)
        return read


class Line:
    """One connection to the HTTP port."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def read(self) -> Answer:
        """The next response. Raises IncompleteReadError or ConnectionError when the server hangs up."""
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
            body = await self.reader.readexactly(int(headers["content-length"]))
        return Answer(int(head[0].split()[1]), headers, body)

    async def rest(self) -> bytes:
        """Everything until the server hangs up."""
        read = b""
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            try:
                while more := await self.reader.read(65_536):
                    read += more
            except ConnectionError:
                pass
        return read

    def close(self) -> None:
        self.writer.transport.abort()


def request(path: str = "/healthz", method: str = "GET", headers: str = "") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: here\r\n{headers}\r\n".encode()


async def say(port: int, data: bytes) -> Answer:
    """One connection for these bytes and the first response to them."""
    connection = Line(*await asyncio.open_connection(HOST, port))
    try:
        connection.send(data)
        return await connection.read()
    finally:
        connection.close()
        await asyncio.sleep(0)


async def get(port: int, path: str) -> Answer:
    return await say(port, request(path))


async def until_ready(port: int, seconds: float = 10.0) -> None:
    """Wait until /readyz answers 200."""
    async with asyncio.timeout(seconds):
        while (await get(port, "/readyz")).status != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


Samples = dict[tuple[str, str], float]
"""(name, value of its only label or nothing) -> number."""


async def scrape(server: Server) -> Samples:
    """Every number of /metrics."""
    answer = await get(server.http_port, "/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = text_string_to_metric_families(answer.body.decode())
    return {(s.name, "".join(s.labels.values())): s.value for family in families for s in family.samples}


async def until(server: Server, **wanted: float) -> Samples:
    """Scrape until these numbers (no label, or name__label) are shown; what was scraped then."""
    keys = {((name.partition("__")[0]), name.partition("__")[2]): value for name, value in wanted.items()}
    async with asyncio.timeout(ANSWER_SECONDS_MAX):
        while True:
            samples = await scrape(server)
            if all(samples.get(key) == value for key, value in keys.items()):
                return samples
            await asyncio.sleep(0.1)
