"""How many old rows have been removed, by table. Read by operators and metrics."""

from sqlalchemy import text

from metrics.engine import PrunedTable, count_pruned_rows
from storage.statements import Executor

ADD_COUNT = text("""
INSERT INTO pruned_count AS p (name, rows) VALUES (:name, :rows)
ON CONFLICT (name) DO UPDATE SET rows = p.rows + EXCLUDED.rows
""")
SELECT_COUNTS = text("SELECT name, rows FROM pruned_count ORDER BY name")


async def record_pruned(session: Executor, name: str, rows: int) -> None:
    """Add to the count of a table in the transaction that removes the rows, and to the metric of this process."""
    if rows:
        await session.execute(ADD_COUNT, {"name": name, "rows": rows})
        count_pruned_rows(PrunedTable(name), rows)


async def read_pruned_counts(session: Executor) -> dict[str, int]:
    """Return the rows removed since the installation, by table; by `notification_content` those that were emptied."""
    return {row["name"]: row["rows"] for row in (await session.execute(SELECT_COUNTS)).mappings()}
