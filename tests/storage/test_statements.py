"""Text statements through asyncpg are read as SQLAlchemy reads them."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from domain.channels import Channel
from storage.database import Database
from storage.statements import number_parameters

pytestmark = pytest.mark.postgres

VALUES: dict[str, Any] = {
    "text": "a",
    "varchar": Channel.EMAIL,
    "boolean": True,
    "integer": 7,
    "float8": 0.5,
    "uuid": uuid4(),
    "timestamptz": datetime(2026, 1, 31, tzinfo=UTC),
    "jsonb": '{"a": [1]}',
    "uuid[]": [uuid4(), uuid4()],
}


@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize("is_null", [False, True])
async def test_a_value_arrives_as_through_sqlalchemy(database: Database, kind: str, *, is_null: bool) -> None:
    statement = text(f"SELECT CAST(:value AS {kind}) AS one, CAST(:value AS {kind})::text AS two")
    values = {"value": None if is_null else VALUES[kind]}
    async with database.transaction() as session:
        expected = (await session.execute(statement, values)).mappings().one()
    async with database.statement() as quick:
        assert dict((await quick.execute(statement, values)).mappings().one()) == dict(expected)


def test_a_name_that_occurs_twice_is_one_parameter_and_casts_are_none() -> None:
    assert number_parameters("SELECT :id, :name, :id, now()::text") == (
        "SELECT $1, $2, $1, now()::text",
        ["id", "name"],
    )
