"""The audit log stays within its bounds."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from domain.audit import Actor, Change
from domain.clock import now
from storage import audit
from storage.database import Database
from storage.pruning import AUDIT_KEPT, prune
from storage.retention import id_at
from tests.storage.sends import Desk

pytestmark = pytest.mark.postgres


async def recorded(desk: Desk, *subjects: str) -> None:
    async with desk.database.transaction() as session:
        for subject in subjects:
            change = Change(tenant=desk.tenant, actor=Actor(name="cli"), action="a", subject=subject, after={"x": 1})
            assert await audit.record(session, change)


async def subjects(desk: Desk) -> list[str]:
    async with desk.database.transaction() as session:
        return [row.subject for row in await audit.search(session, audit.Search(tenant=desk.tenant), limit=100)]


async def test_old_entries_are_deleted(database: Database, desk: Desk) -> None:
    await recorded(desk, "old", "young")
    ages = {"old": AUDIT_KEPT + timedelta(hours=1), "young": AUDIT_KEPT - timedelta(days=1)}
    async with database.transaction() as session:
        for subject, age in ages.items():
            await session.execute(
                text("UPDATE audit_entry SET at = :at, id = :id WHERE subject = :subject AND tenant = :tenant"),
                {"at": now() - age, "id": id_at(now() - age), "subject": subject, "tenant": desk.tenant},
            )
        await prune(session, "audit_entry", now(), 100)
    assert await subjects(desk) == ["young"]


async def test_a_tenant_keeps_its_newest_entries(database: Database, desk: Desk) -> None:
    await recorded(desk, "1", "2", "3", "4")
    async with database.transaction() as session:
        assert await audit.delete_excess(session, desk.tenant, 1, kept=2) == 1
        assert await audit.delete_excess(session, desk.tenant, 100, kept=2) == 1
    assert await subjects(desk) == ["4", "3"]


async def test_an_entry_is_written_with_its_change_or_not_at_all(database: Database, desk: Desk) -> None:
    async with database.transaction() as session:
        change = Change(tenant=desk.tenant, actor=Actor(name="cli"), action="a", subject="s", after={"x": 1})
        await audit.record(session, change)
        assert (await session.execute(text("SELECT count(*) FROM audit_entry"))).scalar_one() > 0
        await session.rollback()
    assert await subjects(desk) == []
