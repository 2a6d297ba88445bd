"""Waiting until Postgres itself says that a task stands at a lock; without a sleep, and with a deadline."""

import asyncio
from asyncio import Task
from typing import Any

from sqlalchemy import text

from storage.database import Database

COUNT_BLOCKED = text(
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
)


async def until_blocked(database: Database, task: Task[Any], *, already_blocked: int = 0) -> None:
    """Wait until one more session than `already_blocked` waits for a lock. Fail if the task ends first."""
    async with asyncio.timeout(60):
        while True:
            assert not task.done(), "it did not have to wait"
            async with database.transaction() as session:
                if (await session.execute(COUNT_BLOCKED)).scalar_one() > already_blocked:
                    return
