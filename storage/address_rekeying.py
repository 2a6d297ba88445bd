"""Replaces the unkeyed hashes of addresses that earlier versions stored. Called at the first start with keys.

Each statement reads one page of a table by its primary key, however many rows are left, and is committed by itself:
what was interrupted begins again and leaves alone what is done.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text

from storage.database import Database
from storage.rows import Json

PAGE = 2_000
FIRST = UUID(int=0)
# Earlier versions kept SHA-256 in hexadecimal.
UNKEYED = "length({}) = 64"
HMAC = "sha256(:outer || sha256(:inner || convert_to({}, 'UTF8')))"
KEYED = f"rtrim(translate(encode({HMAC}, 'base64'), '+/', '-_'), '=')"


@dataclass(frozen=True, kw_only=True)
class HashedTable:
    """`first` is in front of all primary keys, by column; `unkeyed` is the condition of a row `t` to be changed."""

    name: str
    first: Json
    assign: str
    unkeyed: str


def _of_column(name: str) -> HashedTable:
    keyed, unkeyed = KEYED.format("t.address_key"), UNKEYED.format("t.address_key")
    return HashedTable(name=name, first={"id": FIRST}, assign=f"address_key = {keyed}", unkeyed=unkeyed)


RECIPIENTS = HashedTable(
    name="recipient",
    first={"tenant": FIRST, "recipient_id": ""},
    assign=f"""address_keys = (
      SELECT COALESCE(jsonb_object_agg(key, CASE WHEN {UNKEYED.format("value")} THEN {KEYED.format("value")}
                                                 ELSE value END), '{{}}')
        FROM jsonb_each_text(t.address_keys)), former_address_keys = '{{}}'""",  # noqa: S608 - constants of our own
    unkeyed=f"EXISTS (SELECT 1 FROM jsonb_each_text(t.address_keys) WHERE {UNKEYED.format('value')})",  # noqa: S608
)
TABLES = (_of_column("suppression"), _of_column("attempt"), RECIPIENTS)


def _statement(table: HashedTable) -> Any:
    keys = ", ".join(table.first)
    after = ", ".join(f":{name}" for name in table.first)
    last_first = ", ".join(f"{name} DESC" for name in table.first)
    return text(f"""
WITH page AS (
  SELECT {keys} FROM {table.name} WHERE ({keys}) > ({after}) ORDER BY {keys} LIMIT {PAGE}
), changed AS (
  UPDATE {table.name} t SET {table.assign} FROM page
   WHERE {" AND ".join(f"t.{name} = page.{name}" for name in table.first)} AND {table.unkeyed}
)
SELECT {keys} FROM page ORDER BY {last_first} LIMIT 1
""")  # noqa: S608 - constants of our own


async def rekey_addresses(database: Database) -> None:
    inner, outer = database.encryption.lookup_pads
    for table in TABLES:
        statement, place = _statement(table), table.first
        while place:
            async with database.transaction() as session:
                values = {**place, "inner": inner, "outer": outer}
                last = (await session.execute(statement, values)).mappings().one_or_none()
            place = dict(last) if last else {}
