"""Named SQL from .sql files, in the common subset: parsed once by aiosql, run by whichever database there is.

A statement is written with `:name` placeholders. `/*for update*/` marks what a decision locks: a comment on SQLite,
where one writer is alone, and a clause on PostgreSQL.
"""

from __future__ import annotations

from importlib import resources

import aiosql

from vault_server.core.operation import Query


class Queries:
    """The statements of one file as attributes. An unknown name is an AttributeError when the module is imported."""

    def __init__(self, statements: dict[str, Query]) -> None:
        self._statements = statements

    def __getattr__(self, name: str) -> Query:
        try:
            return self._statements[name]
        except KeyError:
            raise AttributeError(f"no query is called {name!r}") from None

    def __iter__(self) -> object:
        return iter(self._statements.values())


def load(package: str, file: str = "queries.sql") -> Queries:
    """The statements of `file` beside the modules of `package`."""
    text = (resources.files(package) / file).read_text(encoding="utf-8")
    parsed = aiosql.from_str(text, "sqlite3", mandatory_parameters=False)
    names = [name for name in parsed.available_queries if not name.endswith("_cursor")]
    return Queries({name: Query(name, getattr(parsed, name).sql) for name in names})
