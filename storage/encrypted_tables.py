"""Which tables hold secrets, how many by which key, and encrypting them by the current key while sends go on."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text

from domain.json_types import JsonObject
from storage import devices, event_endpoints, recipients, sandbox
from storage.database import Database, to_json
from storage.encryption import SECRET_MEMBERS, Encryption, SecretOwner
from storage.rows import decoded

BATCH_SIZE = 500
COUNT_PAGE_SIZE = 5_000  # rows: a count of all may take longer than a statement may
MIN_VALUES: JsonObject = {"uuid": "00000000-0000-0000-0000-000000000000", "text": ""}


@dataclass(frozen=True, kw_only=True)
class EncryptedTable:
    """`document` is an expression of a JSON object of its secrets, `assign` sets its columns from the new one, `n`, of
    a row `item`. `order` are the columns of its primary key, with their types. `more` are columns that are computed
    from the secrets."""

    name: str
    order: dict[str, str]
    columns: str
    document: str
    assign: str
    owner: Callable[[Any], SecretOwner]
    derived_columns: Callable[[Encryption, UUID, JsonObject], JsonObject] = lambda encryption, tenant, plain: {}


def _device_hash(encryption: Encryption, tenant: UUID, plain: JsonObject) -> JsonObject:
    return {"address_hash": devices.address_hash_of(encryption, tenant, plain)}


TABLES = (
    EncryptedTable(
        name="device",
        order={"id": "uuid"},
        columns="recipient_id, device",
        document="t.address",
        assign="address = item.n, address_hash = item.more->>'address_hash'",
        owner=lambda row: devices.secret_owner_of(row["tenant"], row["recipient_id"], row["device"]),
        derived_columns=_device_hash,
    ),
    EncryptedTable(
        name="recipient",
        order={"tenant": "uuid", "recipient_id": "text"},
        columns="recipient_id",
        document="t.contact",
        assign="contact = item.n",
        owner=lambda row: recipients.secret_owner_of(row["tenant"], row["recipient_id"]),
    ),
    EncryptedTable(
        name="event_endpoint",
        order={"id": "uuid"},
        columns="id",
        document="jsonb_build_object('url', t.url, 'secret', t.secret, 'previous_secret', t.previous_secret)",
        assign="url = item.n->>'url', secret = item.n->>'secret', previous_secret = item.n->>'previous_secret'",
        owner=lambda row: event_endpoints.secret_owner_of(row["tenant"], row["id"]),
    ),
    EncryptedTable(
        name="sandbox_message",
        order={"id": "uuid"},
        columns="id",
        document="t.address",
        assign="address = item.n",
        owner=lambda row: sandbox.secret_owner_of(row["tenant"], row["id"]),
    ),
)

SECRET_NAMES = ", ".join(f"'{name}'" for name in sorted(SECRET_MEMBERS))
# Of a table's document: its secrets.
SECRETS = f"jsonb_each({{document}}) m WHERE m.key IN ({SECRET_NAMES}) AND m.value NOT IN ('null', '\"\"')"
SECRETS_OF_PAGE = SECRETS.format(document="t.document")
KEY_ID = "substring(m.value #>> '{{}}' FROM '^enc:([^:]+):')"
COUNT_SECRETS = f"""
WITH page AS (
  SELECT {{keys}}, {{document}} AS document FROM {{name}} t WHERE ({{keys}}) > ({{after}})
   ORDER BY {{keys}} LIMIT :limit)
SELECT (SELECT to_jsonb(t) - 'document' FROM page t ORDER BY {{keys}} OFFSET :limit - 1) AS last,
       (SELECT jsonb_agg(jsonb_build_array(key_id, secrets)) FROM (
         SELECT {KEY_ID} AS key_id, count(*) AS secrets FROM page t, {SECRETS_OF_PAGE} GROUP BY 1) counted) AS counts
"""  # noqa: S608 - constants of our own
# A page of the table, however few of its rows have a secret to encrypt: only those have a document.
SELECT_PAGE = f"""
SELECT t.tenant, {{columns}}, {{keys}},
       CASE WHEN EXISTS (SELECT 1 FROM {SECRETS} AND {KEY_ID} IS DISTINCT FROM :key_id) THEN {{document}} END
         AS document
  FROM {{name}} t WHERE ({{keys}}) > ({{after}})
 ORDER BY {{keys}} LIMIT {BATCH_SIZE}
"""  # noqa: S608 - constants of our own
# In the order in which others lock several rows. A row that was changed since it was read is left to the next pass.
REENCRYPT_ROWS = """
WITH given AS (
  SELECT * FROM jsonb_to_recordset(CAST(:items AS jsonb)) AS x({types}, o jsonb, n jsonb, more jsonb)
), item AS (
  SELECT given.* FROM given JOIN {name} t USING ({names}) WHERE {document} = given.o
   ORDER BY {keys} FOR NO KEY UPDATE OF t
)
UPDATE {name} t SET {assign} FROM item WHERE ({keys}) = ({items}) AND {document} = item.o
"""


def _build_statement(template: str, table: EncryptedTable) -> Any:
    parts = {
        "names": ", ".join(table.order),
        "keys": ", ".join(f"t.{name}" for name in table.order),
        "items": ", ".join(f"item.{name}" for name in table.order),
        "types": ", ".join(f"{name} {kind}" for name, kind in table.order.items()),
        "after": ", ".join(f"CAST(CAST(:after AS jsonb)->>'{name}' AS {kind})" for name, kind in table.order.items()),
        "columns": ", ".join(f"t.{name.strip()}" for name in table.columns.split(",")),
    }
    return text(template.format(**parts, name=table.name, document=table.document, assign=table.assign))


async def count_secrets_by_key(database: Database, table: EncryptedTable) -> Counter[str | None]:
    """Count the secrets of the table by key id, in short statements; None counts those that are not encrypted."""
    count, counts, after = _build_statement(COUNT_SECRETS, table), Counter[str | None](), _min_key(table)
    while after:
        values = {"after": to_json(after), "limit": COUNT_PAGE_SIZE}
        async with database.transaction() as session:
            row = (await session.execute(count, values)).one()
        counts.update(dict(decoded(row.counts) or []))
        after = decoded(row.last)
    return counts


def _min_key(table: EncryptedTable) -> JsonObject:
    """Come before all keys of the table."""
    return {name: MIN_VALUES[kind] for name, kind in table.order.items()}


async def reencrypt_table(database: Database, table: EncryptedTable, report: Callable[[int], None]) -> None:
    """Encrypt all secrets of the table by the current key, in short transactions. Interrupted, it may begin again.

    `report` is called with the number of rows of each batch. Raise DecryptionError for a secret of an unknown key.
    """
    after = _min_key(table)
    select, update_rows, encryption = (
        _build_statement(SELECT_PAGE, table),
        _build_statement(REENCRYPT_ROWS, table),
        database.encryption,
    )
    while True:
        values = {"after": to_json(after), "key_id": encryption.key_id}
        async with database.transaction() as session:
            rows = list((await session.execute(select, values)).mappings())
        if not rows:
            return
        after = {name: rows[-1][name] for name in table.order}
        items = [_reencrypt_row(encryption, table, row) for row in rows if row["document"] is not None]
        if items:
            async with database.transaction() as session:
                await session.execute(update_rows, {"items": to_json(items)})
            report(len(items))


def _reencrypt_row(encryption: Encryption, table: EncryptedTable, row: Any) -> JsonObject:
    owner, stored = table.owner(row), decoded(row["document"])
    new = encryption.reencrypt_members(stored, owner)
    derived_columns = table.derived_columns(encryption, row["tenant"], encryption.decrypt_members(new, owner))
    return {**{name: row[name] for name in table.order}, "o": stored, "n": new, "more": derived_columns}
