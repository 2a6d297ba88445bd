"""Searches all rows of a database for texts, as a reader of its dump would."""

from sqlalchemy import text

from storage.database import Database

TABLES = text("""
SELECT DISTINCT c.table_schema || '.' || quote_ident(c.table_name) FROM information_schema.columns c
  JOIN information_schema.tables t USING (table_schema, table_name)
 WHERE t.table_type = 'BASE TABLE' AND c.table_schema NOT IN ('pg_catalog', 'information_schema')
   AND (c.data_type IN ('text', 'character varying', 'jsonb', 'json', 'bytea') OR c.data_type = 'ARRAY')
""")


async def tables_containing(database: Database, *texts: str) -> dict[str, list[str]]:
    """Return the rows, as JSON, that contain any of the texts, by table."""
    found = {}
    async with database.transaction() as session:
        for table in (await session.execute(TABLES)).scalars():
            rows = await session.execute(
                text(
                    f"SELECT x.row FROM (SELECT to_jsonb(t)::text AS row FROM {table} t) x"
                    " WHERE x.row LIKE ANY (:patterns)"
                ),
                {"patterns": [f"%{each}%" for each in texts]},
            )
            if quoted := list(rows.scalars()):
                found[table.removeprefix("public.")] = quoted
    return found
