"""Test that a backlog is not limited by the interval at which a process without a free slot looks again."""

from typing import Any

import pytest

from dispatch import dispatcher
from tests.api_tenants import ApiTenant

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

# Several times the slots of the engine's process.
BACKLOG = 30


async def test_calls_that_free_slots_make_the_process_claim_more(
    api_tenant: ApiTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "NO_SLOT_INTERVAL", 3_600.0)
    await api_tenant.put_type("news", ["email"])
    await api_tenant.put_recipient("ada", email="ada+silent@example.com")
    item: dict[str, Any] = {"notification_type": "news", "recipient_id": "ada", "payload": {"name": "Ada"}}
    accepted = await api_tenant.send_batch(*[item] * BACKLOG)
    for each in accepted:
        await api_tenant.wait_for_end(each["id"], "SENT")
