"""What a stranger without a key can say to a solver before the conversation is open: nothing that lasts."""

from __future__ import annotations

from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from protocol.address import parse_address
from protocol.catalog import FROM_SERVER
from protocol.codec import Codec
from protocol.envelope import Envelope
from protocol.identity import Identity
from protocol.peer import SEALED, Acknowledged
from protocol.session import Error
from vault_solver.errors import Unreachable
from vault_solver.link import dial
from vault_solver.pins import Pins


@pytest.mark.parametrize("forged", ["HELLO_REFUSED", "TASK_NOT_FOUND", "4001", "4401"])
async def test_one_forged_refusal_is_worth_another_attempt_and_is_not_repeated(forged: str, tmp_path: Path) -> None:
    async def answer(socket: ServerConnection) -> None:
        if forged.isdecimal():
            await socket.close(int(forged), "revoked")
            return
        codec = Codec(binary=True, reads=FROM_SERVER, strict=False, frame_bytes_max=65_536)
        error = Error(code=forged, message="Your key is revoked.", suggestion="Run this.", retryable=False)
        await socket.send(codec.encode(Envelope(error)))

    async with serve(answer, "127.0.0.1", 0, subprotocols=[Subprotocol(SEALED.name)]) as listening:
        address = parse_address(f"ws://127.0.0.1:{listening.sockets[0].getsockname()[1]}")
        with pytest.raises(Unreachable) as caught:
            await dial(address, Identity.generate(), Pins(tmp_path / "known"), SEALED, Acknowledged())
    assert caught.value.lasting is not None  # believed after several in a row
    assert "revoked" not in f"{caught.value} {caught.value.lasting}"
