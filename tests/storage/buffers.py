"""How many pages a statement reads, whether or not they are in memory: the same on every machine."""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncSession

PLAN_ONCE = text("SET LOCAL plan_cache_mode = force_generic_plan")
# Of our tables and indexes, in this transaction.
PAGES_READ = text("""
SELECT COALESCE(sum(pg_stat_get_xact_blocks_fetched(oid)), 0) FROM pg_class
 WHERE relnamespace = 'public'::regnamespace
""")


class CountingSession:
    """Executes statements as the session does, and counts in `pages` what each of them reads."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session
        self.info: Mapping[Any, Any] = session.info
        self.pages: list[int] = []

    async def execute(self, statement: TextClause, params: Mapping[str, Any] | None = None) -> Any:
        """Twice for the plan, since the first time also reads the catalog, and once for the result."""
        self.pages.append(min([await self._pages(statement, params) for _ in range(2)]))
        return await self._session.execute(statement, params)

    async def _pages(self, statement: TextClause, params: Mapping[str, Any] | None) -> int:
        undone = await self._session.begin_nested()
        explained = text(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {statement.text}")
        plan = (await self._session.execute(explained, params)).scalar_one()
        await undone.rollback()
        found = (plan if isinstance(plan, list) else json.loads(plan))[0]["Plan"]
        return int(found["Shared Hit Blocks"]) + int(found["Shared Read Blocks"])


class PlannedOnceSession(CountingSession):
    """The same with plans that do not know the parameters, as `QuickSession` executes statements."""

    async def _pages(self, statement: TextClause, params: Mapping[str, Any] | None) -> int:
        await self._session.execute(PLAN_ONCE)
        undone = await self._session.begin_nested()
        before = (await self._session.execute(PAGES_READ)).scalar_one()
        await self._session.execute(statement, params)
        read = (await self._session.execute(PAGES_READ)).scalar_one() - before
        await undone.rollback()
        return int(read)
