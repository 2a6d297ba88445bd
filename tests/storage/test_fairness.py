"""Tenants are served in turn, however small a claim is: a backlog of others holds nobody up."""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from storage import dispatching
from storage.database import Database
from tests.storage.databases import own_database
from tests.storage.sends import Desk, open_desk

pytestmark = pytest.mark.postgres

BUSY, BACKLOG = 8, 100


@pytest.fixture(scope="module")
async def quiet(database_url: str) -> AsyncIterator[Desk]:
    """The last of nine tenants, with one row that is newer than the backlogs. Those are the older the later the turn of
    their tenant: a row's age says nothing about whose turn it is."""
    async with own_database(database_url) as database:
        *busy, quiet = [await open_desk(database) for _ in range(BUSY + 1)]
        for one in reversed(busy):
            await one.accept(*(one.new() for _ in range(BACKLOG)))
        await quiet.accept(quiet.new())
        yield quiet


async def served(database: Database, limit: int, claims: int) -> list[UUID]:
    """Tenants in the order of their starts, by claims that go on behind each other."""
    tenants = [dispatching.FIRST]
    for _ in range(claims):
        async with database.transaction() as session:
            due = await dispatching.claim_paced(session, limit, tenants[-1])
        assert len(due) == limit
        tenants += [row.tenant for row in due]
    return tenants[1:]


@pytest.mark.parametrize(("limit", "claims"), [(1, BUSY + 1), (5, 2)])
async def test_a_quiet_tenant_is_served_in_its_turn(quiet: Desk, limit: int, claims: int) -> None:
    await quiet.query("UPDATE queue_entry SET next_at = now() - interval '1 second'")
    order = await served(quiet.database, limit, claims)
    assert quiet.tenant in order
    assert len(set(order)) == BUSY + 1, "somebody was served twice before everybody was served once"
