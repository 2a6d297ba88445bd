"""How many pages a statement reads, whether or not they are in memory: the same on every machine."""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncSession


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
