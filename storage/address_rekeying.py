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

PAGE_SIZE = 2_000
MIN_ID = UUID(int=0)
# Earlier versions kept SHA-256 in hexadecimal.
IS_UNKEYED = "length({}) = 64"
HMAC = "sha256(:outer || sha256(:inner || convert_to({}, 'UTF8')))"
KEYED_HASH = f"rtrim(translate(encode({HMAC}, 'base64'), '+/', '-_'), '=')"


@dataclass(frozen=True, kw_only=True)
class HashedTable:
    """`first` is in front of all primary keys, by column; `unkeyed` is the condition of a row `t` to be changed."""

    name: str
    min_key: Json
    assign: str
    is_unkeyed: str


def _table_with_column(name: str) -> HashedTable:
    keyed_hash, is_unkeyed = KEYED_HASH.format("t.address_hash"), IS_UNKEYED.format("t.address_hash")
    return HashedTable(name=name, min_key={"id": MIN_ID}, assign=f"address_hash = {keyed_hash}", is_unkeyed=is_unkeyed)


RECIPIENTS = HashedTable(
    name="recipient",
    min_key={"tenant": MIN_ID, "recipient_id": ""},
    assign=f"""address_hashes = (
      SELECT COALESCE(jsonb_object_agg(key, CASE WHEN {IS_UNKEYED.format("value")} THEN {KEYED_HASH.format("value")}
                                                 ELSE value END), '{{}}')
        FROM jsonb_each_text(t.address_hashes)), former_address_hashes = '{{}}'""",  # noqa: S608 - constants of our own
    is_unkeyed=f"EXISTS (SELECT 1 FROM jsonb_each_text(t.address_hashes) WHERE {IS_UNKEYED.format('value')})",  # noqa: S608
)
TABLES = (_table_with_column("suppression"), _table_with_column("attempt"), RECIPIENTS)


def _build_statement(table: HashedTable) -> Any:
    keys = ", ".join(table.min_key)
    after = ", ".join(f":{name}" for name in table.min_key)
    descending = ", ".join(f"{name} DESC" for name in table.min_key)
    return text(f"""
WITH page AS (
  SELECT {keys} FROM {table.name} WHERE ({keys}) > ({after}) ORDER BY {keys} LIMIT {PAGE_SIZE}
), changed AS (
  UPDATE {table.name} t SET {table.assign} FROM page
   WHERE {" AND ".join(f"t.{name} = page.{name}" for name in table.min_key)} AND {table.is_unkeyed}
)
SELECT {keys} FROM page ORDER BY {descending} LIMIT 1
""")  # noqa: S608 - constants of our own


async def rekey_addresses(database: Database) -> None:
    inner, outer = database.encryption.lookup_pads
    for table in TABLES:
        statement, after_key = _build_statement(table), table.min_key
        while after_key:
            async with database.transaction() as session:
                values = {**after_key, "inner": inner, "outer": outer}
                last = (await session.execute(statement, values)).mappings().one_or_none()
            after_key = dict(last) if last else {}
