"""docs/protocol.md says what the code does. After a change on purpose: `python -m tests.protocol.regenerate`."""

from __future__ import annotations

import secrets
import typing

import pytest

from protocol.catalog import FROM_SERVER, TO_SERVER
from protocol.envelope import Kind, Message
from protocol.errors import ERRORS
from tests.protocol.reference import (
    ANY_MESSAGE,
    BLOCK,
    BLOCKS,
    DOCUMENT,
    GROUPS,
    HIVE_ALONE,
    HTTP_ALONE,
    REFUSALS,
    REPLIES,
    block,
)
from vault_server.core.operation import SERVER, Endpoint, Operation
from vault_server.exchange.cipher import Cipher
from vault_server.settings import Settings
from vault_server.systems.subnet.records import Parts as SubnetParts
from vault_server.systems.subnet.system import subnet
from vault_server.systems.vault.records import Parts
from vault_server.systems.vault.system import vault

TEXT = DOCUMENT.read_text()


def test_every_generated_part_stands_in_the_document_once() -> None:
    assert sorted(found[2] for found in BLOCK.finditer(TEXT)) == sorted(BLOCKS)


@pytest.mark.parametrize("name", BLOCKS)
def test_a_generated_part_is_what_the_code_says(name: str) -> None:
    [written] = [found[3] for found in BLOCK.finditer(TEXT) if found[2] == name]
    assert written == block(name), "run `python -m tests.protocol.regenerate` and look at the difference"


@pytest.mark.parametrize("reads", [TO_SERVER, FROM_SERVER], ids=["to-server", "from-server"])
def test_every_message_is_described_once(reads: dict[str, type[Message]]) -> None:
    described = [name for listed, names in GROUPS.values() if listed is reads for name in names]
    assert sorted(described) == sorted(reads)


def test_every_error_code_is_met_somewhere() -> None:
    assert {*ANY_MESSAGE, *HTTP_ALONE, *HIVE_ALONE, *(code for codes in REFUSALS.values() for code in codes)} == set(
        ERRORS
    )


def operations() -> dict[str, Operation]:
    settings, cipher = Settings.model_validate({}), Cipher(b"\x00" * 32, secrets.token_bytes)
    systems = (
        vault(Parts(settings, cipher, secrets.token_bytes, SERVER)),
        subnet(SubnetParts(settings, cipher, secrets.token_bytes)),
    )
    given = (operation for system in systems for operation in system.operations)
    orders = [operation for operation in given if issubclass(operation.order, Message)]
    return {operation.order.SHAPE.wire_type: operation for operation in orders}  # type: ignore[attr-defined]


@pytest.mark.parametrize("endpoint", [Endpoint.CLIENT, Endpoint.SOLVER, Endpoint.SUBNET])
def test_the_document_gives_each_endpoint_the_messages_that_the_server_takes_there(endpoint: Endpoint) -> None:
    taken = {name for name, operation in operations().items() if endpoint in operation.callers}
    assert taken == set(GROUPS[f"messages-{endpoint}-to-server"][1])


@pytest.mark.parametrize("name", [n for n, c in TO_SERVER.items() if c.SHAPE.kind is Kind.REQUEST and n != "ping"])
def test_the_documented_reply_is_what_the_operation_returns(name: str) -> None:
    handler = operations()[name].handler
    returned = typing.get_type_hints(handler.func)["return"]  # type: ignore[attr-defined]
    assert returned is FROM_SERVER[REPLIES[name]]
    assert returned.SHAPE.kind is Kind.REPLY


def test_the_document_names_the_command_that_writes_it() -> None:
    assert "python -m tests.protocol.regenerate" in TEXT
