"""Check that the SQL statements of the product name tables, columns and functions of the schema."""

from collections.abc import Iterator
from importlib import import_module

import asyncpg
import pytest
from sqlalchemy import Dialect, TextClause

from storage.database import Database
from tests.code.tree import ROOT

pytestmark = pytest.mark.postgres

FOLDERS = ("storage", "dispatch", "activities", "api", "metrics", "commands")


def list_statements(dialect: Dialect) -> Iterator[tuple[str, str]]:
    """Yield the module-level statements, each with its name. A statement that a module imports is yielded again."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "migrations" not in path.parts and path.stem != "__main__":
                module = import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
                for name, value in vars(module).items():
                    if isinstance(value, TextClause):
                        yield f"{module.__name__}.{name}", str(value.compile(dialect=dialect))


async def test_every_statement_names_existing_tables_and_columns(database: Database) -> None:
    """Prepare the statements without executing them."""
    statements, errors = dict(list_statements(database.engine.dialect)), []
    url = database.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(url)
    try:
        for name, statement in statements.items():
            try:
                await connection.prepare(statement)
            except asyncpg.IndeterminateDatatypeError:
                pass  # the statement is correct, and the type of a parameter comes with its value
            except asyncpg.PostgresError as error:
                errors.append(f"{name}: {error}")
    finally:
        await connection.close()
    assert len(statements) > 250
    assert errors == []
