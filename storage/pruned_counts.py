"""How many old rows have been removed, by table. Read by operators and metrics."""

from sqlalchemy import text

from metrics.engine import Pruned, rows_pruned
from storage.statements import Executor

NOTE = text("""
INSERT INTO pruned_count AS p (name, rows) VALUES (:name, :rows)
ON CONFLICT (name) DO UPDATE SET rows = p.rows + EXCLUDED.rows
""")
READ = text("SELECT name, rows FROM pruned_count ORDER BY name")


async def note_pruned(session: Executor, name: str, rows: int) -> None:
    """Add to the count of a table in the transaction that removes the rows, and to the metric of this process."""
    if rows:
        await session.execute(NOTE, {"name": name, "rows": rows})
        rows_pruned(Pruned(name), rows)


async def pruned_rows(session: Executor) -> dict[str, int]:
    """Return the rows removed since the installation, by table; by `notification_content` those that were emptied."""
    return {row["name"]: row["rows"] for row in (await session.execute(READ)).mappings()}
