"""Whom a command asks: the server that runs on a database, or, when there is none, the database itself."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from protocol.errors import MessageError
from vault_server import keys
from vault_server.app import compose
from vault_server.clock import Clock
from vault_server.core.location import PostgresUrl
from vault_server.core.operation import SERVER, System
from vault_server.exchange.cipher import KEY_BYTES, Cipher
from vault_server.gateway.control_path import control_path
from vault_server.operator.control_client import ControlClient
from vault_server.operator.failures import CannotLook, Refused
from vault_server.settings import Settings
from vault_server.storage.database import StorageError
from vault_server.storage.opening import looking_at


class Node:
    """One database and, perhaps, its server. Raises CannotLook when the file is not one that this program knows."""

    def __init__(self, database: str | PostgresUrl | None) -> None:
        self.settings = self.settings_for(database)
        self.database = self.settings.database
        try:
            with looking_at(self.database):
                pass
        except StorageError as error:
            raise CannotLook(str(error)) from None

    @staticmethod
    def settings_for(database: str | PostgresUrl | None) -> Settings:
        """The settings of the environment, with that database unless it is None. Raises CannotLook."""
        try:
            return Settings() if database is None else Settings.model_validate({"database": database})
        except ValidationError as error:
            problems = error.errors(include_input=False, include_url=False)
            raise CannotLook(
                "; ".join(f"setting {'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in problems)
            ) from None

    def server(self) -> ControlClient | None:
        """A connection to the server, if one runs."""
        return ControlClient.connect(control_path(self.settings.files))

    def running_server(self) -> ControlClient:
        """A connection to the server. Raises CannotLook when none runs."""
        client = self.server()
        if client is None:
            raise CannotLook(
                f"no server is running on {self.database}; start it: vault-server serve --database {self.database}"
            )
        return client

    def ask(self, name: str, about: str = "") -> Any:
        """The answer of the server, or else of the rows in the file. Raises OperatorError."""
        client = self.server()
        if client is not None:
            with client:
                return client.ask(name, about)
        reports = {report.name: report for system in self.systems(None) for report in system.reports}
        try:
            with looking_at(self.database) as reader:
                return reports[name].read(reader, about, time.time_ns() // 1_000_000)
        except StorageError as error:
            raise CannotLook(str(error)) from None
        except MessageError as refusal:
            raise Refused(f"{refusal.message} {refusal.suggestion}") from None

    def cipher(self) -> Cipher:
        """What opens sealed values, with the keys a server would have. Raises KeyStoreError, WrongMasterKey."""
        store, _ = keys.load_master_keys(self.settings.files, self.settings.master_key, is_used=True)
        return Cipher.of(store.read(), os.urandom)

    def systems(self, cipher: Cipher | None) -> Sequence[System]:
        """The systems for what they know of rows: nothing of them is started. Without a cipher nothing opens."""
        nothing = os.urandom(KEY_BYTES)
        store = keys.GivenKeys(nothing.hex())
        return compose(self.settings, cipher or Cipher(nothing, os.urandom), store, Clock(), SERVER)
