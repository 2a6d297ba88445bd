"""Test the row of a process: renewed while it runs, and deleted afterwards."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from dispatch import process_registration
from dispatch.process_registration import ProcessRegistration
from storage.database import Database
from tests.polling import eventually
from tests.storage.fixtures import database, database_tenant
from tests.storage.sends import DatabaseTenant

__all__ = ["database", "database_tenant"]

pytestmark = pytest.mark.postgres


@asynccontextmanager
async def running(process: ProcessRegistration) -> AsyncIterator[None]:
    task = asyncio.create_task(process.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def rows(database_tenant: DatabaseTenant, process: ProcessRegistration) -> list[dict[str, Any]]:
    return await database_tenant.query("SELECT * FROM process WHERE id = :id", id=process.process_id)


async def test_a_row_lives_as_long_as_its_process(
    database: Database, database_tenant: DatabaseTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_registration, "RENEW_INTERVAL", 0.01)
    process = ProcessRegistration(database, "worker", {"smtp", "in_app"})
    async with running(process):
        [first] = await eventually(lambda: rows(database_tenant, process), bool)
        await eventually(lambda: rows(database_tenant, process), lambda seen: seen[0]["seen_at"] > first["seen_at"])
    assert (first["kind"], first["pid"], first["providers"]) == ("worker", os.getpid(), ["in_app", "smtp"])
    assert await rows(database_tenant, process) == []


async def test_each_process_has_an_id_of_its_own(database: Database) -> None:
    assert ProcessRegistration(database, "api", ()).process_id != ProcessRegistration(database, "api", ()).process_id


async def test_a_process_ends_although_its_row_cannot_be_deleted() -> None:
    unavailable = Database("postgresql+asyncpg://nouser@127.0.0.1:1/none")
    task = asyncio.create_task(ProcessRegistration(unavailable, "worker", ()).run())
    await asyncio.wait({task}, timeout=0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
