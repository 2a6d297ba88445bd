"""Load statements from `storage/sql/`, send those of hot paths through asyncpg itself, and decode their JSON columns.

asyncpg needs a third of the CPU time of SQLAlchemy's session. `QuickSession` has the part of AsyncSession's interface
that text statements need, so that one function serves both.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import asyncpg
from sqlalchemy import TextClause, text

SQL_FOLDER = Path(__file__).parent / "sql"
# As SQLAlchemy reads them, but without its escape `\:`, which no statement of ours needs.
PARAMETER_PATTERN = re.compile(r"(?<![:\w\\]):(\w+)(?!:)")


class Executor(Protocol):
    """An AsyncSession or a QuickSession."""

    @property
    def info(self) -> Mapping[Any, Any]: ...

    async def execute(self, statement: Any, params: Any = None) -> Any: ...


class StatementResult:
    """Provide the part of SQLAlchemy's Result that our statements use. Each record is both a row and a mapping."""

    def __init__(self, records: list[asyncpg.Record]) -> None:
        self._records = records

    def __iter__(self) -> Iterator[asyncpg.Record]:
        return iter(self._records)

    def mappings(self) -> "StatementResult":
        return self

    def scalars(self) -> list[Any]:
        return [record[0] for record in self._records]

    def one(self) -> asyncpg.Record:
        [record] = self._records
        return record

    def one_or_none(self) -> asyncpg.Record | None:
        return self.one() if self._records else None

    def first(self) -> asyncpg.Record | None:
        return self._records[0] if self._records else None

    def scalar_one(self) -> Any:
        return self.one()[0]

    def scalar_one_or_none(self) -> Any:
        return self.scalar_one() if self._records else None

    scalar = scalar_one_or_none


class QuickSession:
    """Built by `Database`, for one block."""

    def __init__(self, driver: asyncpg.Connection, info: Mapping[Any, Any] | None = None) -> None:
        self._driver = driver
        self.info: Mapping[Any, Any] = info or {}
        self.is_rolled_back = False

    async def execute(self, statement: TextClause, params: Mapping[str, Any] | None = None) -> StatementResult:
        values = params or {}
        sql, names = number_parameters(statement.text)
        return StatementResult(await self._driver.fetch(sql, *(values[name] for name in names)))

    async def rollback(self) -> None:
        """Undo the transaction at the end of the block."""
        self.is_rolled_back = True


@cache
def statement(name: str) -> TextClause:
    """Return the statement of `sql/<name>.sql`, where `name` is `<module>/<statement>`.

    Modules call it for their constants, so that a process with a missing file does not start. Lines that are comments
    are not sent to Postgres.
    """
    lines = (SQL_FOLDER / f"{name}.sql").read_text(encoding="utf-8").splitlines()
    return text("\n".join(line for line in lines if not line.lstrip().startswith("--")).strip())


@cache
def number_parameters(sql: str) -> tuple[str, list[str]]:
    """Return the statement with $1, $2 … for its names, and the names in that order."""
    names: list[str] = []

    def parameter(match: re.Match[str]) -> str:
        if match[1] not in names:
            names.append(match[1])
        return f"${names.index(match[1]) + 1}"

    return PARAMETER_PATTERN.sub(parameter, sql), names


NOTIFY = text("SELECT pg_notify(:channel, payload) FROM unnest(CAST(:payloads AS text[])) AS payload")


async def notify(session: Executor, channel: str, payloads: Sequence[str] = ("",)) -> None:
    """Wake the listeners of `channel` as soon as the transaction is committed."""
    await session.execute(NOTIFY, {"channel": channel, "payloads": list(payloads)})


def decoded(value: Any) -> Any:
    """Return the value of a JSONB column. A textual statement returns it as text, an ORM statement as a value."""
    return json.loads(value) if isinstance(value, str) else value


def parse_time(value: str | None) -> datetime | None:
    return datetime.fromisoformat(value) if value else None
