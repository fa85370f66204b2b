"""Named SQL from .sql files, in the common subset: parsed once by aiosql, run by whichever database there is.

A statement is written with `:name` placeholders. `/*for update*/` marks what a decision locks: a comment on SQLite,
where one writer is alone, and a clause on PostgreSQL, for which `for_postgres` writes the statement anew. The few that
PostgreSQL cannot share stand under the same name in a file beside, `queries.postgres.sql`. SQLite is given `?` for each
placeholder (`for_sqlite`): looking up a value by name costs more than many a statement takes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import resources

import aiosql

from vault_server.core.operation import Query

_LOCK = re.compile(r"/\*(for update[a-z ]*)\*/")
_HIDDEN_LOCK = re.compile(r"«(for update[a-z ]*)»")
_PLACEHOLDER = re.compile(r"'(?:[^']|'')*'|::|:([a-z_]+)")
_RETURNING = re.compile(r"\s+RETURNING\s+\w+\s*;?\s*\Z")


class Queries:
    """The statements of one file as attributes. An unknown name is an AttributeError when the module is imported."""

    def __init__(self, statements: dict[str, Query]) -> None:
        self.__dict__.update(statements)

    def __getattr__(self, name: str) -> Query:
        raise AttributeError(f"no query is called {name!r}")

    def __iter__(self) -> Iterator[Query]:
        return iter(self.__dict__.values())


def load(package: str, file: str = "queries.sql") -> Queries:
    """The statements of `file` beside the modules of `package`, with the variants for PostgreSQL that stand beside."""
    folder = resources.files(package)
    variants = folder / file.replace(".sql", ".postgres.sql")
    others = _parse(variants.read_text(encoding="utf-8")) if variants.is_file() else {}
    shared = _parse((folder / file).read_text(encoding="utf-8"))
    assert others.keys() <= shared.keys(), f"{variants.name} has a statement that {file} has not"
    return Queries({name: Query(name, sql, others.get(name)) for name, sql in shared.items()})


def _parse(text: str) -> dict[str, str]:
    hidden = _LOCK.sub(r"«\1»", text)  # aiosql drops comments
    parsed = aiosql.from_str(hidden, "sqlite3", mandatory_parameters=False)
    names = [name for name in parsed.available_queries if not name.endswith("_cursor")]
    return {name: _HIDDEN_LOCK.sub(r"/*\1*/", getattr(parsed, name).sql) for name in names}


def for_postgres(query: Query, *, locks: bool = True) -> tuple[str, tuple[str, ...]]:
    """`query` with $1, $2, … for its placeholders, and the names in the order of those numbers.

    `locks`: with the locks it marks, as a transaction that decides needs them; else for one that only looks.
    """
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        name = match[1]
        if name is None:  # a text, or a cast
            return match[0]
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    def lock(match: re.Match[str]) -> str:
        return match[1].upper() if locks else ""

    return _PLACEHOLDER.sub(number, _LOCK.sub(lock, query.postgres or query)), tuple(names)


def for_sqlite(query: str, *, returns: bool = True) -> tuple[str, tuple[str, ...]]:
    """`query` with `?` for its placeholders, and the names in the order of those, a name as often as it stands there.

    `returns`: with its RETURNING; else without it, for who asks the connection for the number of the row it added.
    """
    names: list[str] = []

    def mark(match: re.Match[str]) -> str:
        if match[1] is None:  # a text
            return match[0]
        names.append(match[1])
        return "?"

    sql = _PLACEHOLDER.sub(mark, query)
    return sql if returns else _RETURNING.sub("", sql), tuple(names)
