"""Retry a tick whose digests wait for items soon, and without an error in the log."""

from uuid import UUID, uuid4

import pytest
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.testing import ActivityEnvironment

from activities.digests_and_ticks import RETRY_DELAY, TickActivities
from domain.digest_and_tick_messages import TickInput
from storage.database import Database
from storage.digest_closing import ItemsNotCollected


async def test_a_tick_whose_digests_wait_for_items_is_retried_soon() -> None:
    async def wait_for_items(tenant: UUID, notification_type: str) -> int:
        raise ItemsNotCollected(f"a digest of {notification_type} waits for items; the tick is retried")

    activities = TickActivities(Database("postgresql+asyncpg://127.0.0.1:1/none"), {"digests": wait_for_items})
    with pytest.raises(ApplicationError, match="waits for items") as raised:
        await ActivityEnvironment().run(activities.run_tick, TickInput(tenant=uuid4(), notification_type="news"))
    assert (raised.value.category, raised.value.next_retry_delay) == (ApplicationErrorCategory.BENIGN, RETRY_DELAY)
