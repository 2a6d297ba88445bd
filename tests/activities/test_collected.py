"""What was handed to a digest is nobody else's any more, however late somebody comes with an old view of its row."""

import pytest
from temporalio.testing import ActivityEnvironment

from bootstrap import Parts
from domain.messages import Plan, ResolveInput
from domain.statuses import NotificationStatus
from storage import dispatching, gates
from tests.storage.queues import mark
from tests.storage.sends import Sent, open_desk

pytestmark = pytest.mark.postgres


@pytest.fixture
async def collected(parts: Parts) -> Sent:
    sent = await (await open_desk(parts.database, digest={"window": "1h"})).send()
    async with parts.database.transaction() as session:
        await gates.collect(session, sent.key, 1, "group")
    return sent


async def test_asked_again_its_workflow_is_told_that_the_digest_goes_for_it(parts: Parts, collected: Sent) -> None:
    asked = ResolveInput(notification_id=collected.id, tenant=collected.desk.tenant, generation=1)
    plan: Plan = await ActivityEnvironment().run(parts.resolution.resolve_preferences, asked)
    assert plan.settled is not None
    assert plan.settled.status is NotificationStatus.DIGESTED
    assert (await collected.row())["status"] == "PENDING"


async def test_it_passes_no_gate_and_no_provider_is_called_for_it(parts: Parts, collected: Sent) -> None:
    async with parts.database.transaction() as session:
        assert not await gates.passed(session, collected.key)
    assert await collected.claim() is None
    assert await collected.rows("attempt") == []


async def test_a_late_word_that_its_workflow_was_started_changes_nothing(parts: Parts, collected: Sent) -> None:
    """The workflow may be over before the dispatcher writes that it began: the sweep must not look for it."""
    await mark(parts.database, collected.id)
    async with parts.database.transaction() as session:
        assert not await dispatching.is_started(session, collected.id, collected.generation)
