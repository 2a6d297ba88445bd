"""The audit log stays within its bounds."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from domain.audit import Actor, AuditChange
from domain.clock import now
from domain.cursors import first_id_at
from storage import audit
from storage.database import Database
from storage.retention import AUDIT_RETENTION, prune_table
from tests.storage.sends import DatabaseTenant

pytestmark = pytest.mark.postgres


async def recorded(database_tenant: DatabaseTenant, *subjects: str) -> None:
    async with database_tenant.database.transaction() as session:
        for subject in subjects:
            change = AuditChange(
                tenant=database_tenant.tenant, actor=Actor(name="cli"), action="a", subject=subject, after={"x": 1}
            )
            assert await audit.record_change(session, change)


async def subjects(database_tenant: DatabaseTenant) -> list[str]:
    async with database_tenant.database.transaction() as session:
        return [
            row.subject
            for row in await audit.search(session, audit.AuditSearch(tenant=database_tenant.tenant), limit=100)
        ]


async def test_old_entries_are_deleted(database: Database, database_tenant: DatabaseTenant) -> None:
    await recorded(database_tenant, "old", "young")
    ages = {"old": AUDIT_RETENTION + timedelta(hours=1), "young": AUDIT_RETENTION - timedelta(days=1)}
    async with database.transaction() as session:
        for subject, age in ages.items():
            await session.execute(
                text("UPDATE audit_entry SET at = :at, id = :id WHERE subject = :subject AND tenant = :tenant"),
                {
                    "at": now() - age,
                    "id": first_id_at(now() - age),
                    "subject": subject,
                    "tenant": database_tenant.tenant,
                },
            )
        await prune_table(session, "audit_entry", now(), 100)
    assert await subjects(database_tenant) == ["young"]


async def test_a_tenant_keeps_its_newest_entries(database: Database, database_tenant: DatabaseTenant) -> None:
    await recorded(database_tenant, "1", "2", "3", "4")
    async with database.transaction() as session:
        assert await audit.delete_excess(session, database_tenant.tenant, 1, max_entries=2) == 1
        assert await audit.delete_excess(session, database_tenant.tenant, 100, max_entries=2) == 1
    assert await subjects(database_tenant) == ["4", "3"]


async def test_an_entry_is_written_with_its_change_or_not_at_all(
    database: Database, database_tenant: DatabaseTenant
) -> None:
    async with database.transaction() as session:
        change = AuditChange(
            tenant=database_tenant.tenant, actor=Actor(name="cli"), action="a", subject="s", after={"x": 1}
        )
        await audit.record_change(session, change)
        assert (await session.execute(text("SELECT count(*) FROM audit_entry"))).scalar_one() > 0
        await session.rollback()
    assert await subjects(database_tenant) == []
