"""Test that an item of a digest is never sent otherwise, even by a process with an old view of its row."""

import pytest

from bootstrap import Container
from domain.messages import Plan, ResolveInput
from domain.statuses import NotificationStatus
from storage import claims, gates
from tests.storage.queues import mark_begun_entries
from tests.storage.sends import DatabaseSend, open_database_tenant

pytestmark = pytest.mark.postgres


@pytest.fixture
async def collected(container: Container) -> DatabaseSend:
    sent = await (await open_database_tenant(container.database, digest={"window": "1h"})).send()
    async with container.database.transaction() as session:
        await gates.move_to_digest(session, sent.ref, 1, "group")
    return sent


async def test_a_repeated_hand_over_returns_the_digest(container: Container, collected: DatabaseSend) -> None:
    asked = ResolveInput(notification_id=collected.id, tenant=collected.database_tenant.tenant, generation=1)
    plan: Plan = await container.build_services().planner.plan(asked)
    assert plan.final_outcome is not None
    assert plan.final_outcome.status is NotificationStatus.DIGESTED
    assert (await collected.row())["status"] == "PENDING"


async def test_an_item_of_a_digest_passes_no_gate_and_causes_no_call(
    container: Container, collected: DatabaseSend
) -> None:
    async with container.database.transaction() as session:
        assert not await gates.pass_gates(session, collected.ref)
    assert await collected.claim() is None
    assert await collected.rows("attempt") == []


async def test_a_late_mark_of_a_start_changes_nothing(container: Container, collected: DatabaseSend) -> None:
    """The workflow may end before the dispatcher records its start: the sweep must not look for it."""
    await mark_begun_entries(container.database, collected.id)
    async with container.database.transaction() as session:
        assert not await claims.has_workflow(session, collected.id, collected.generation)
