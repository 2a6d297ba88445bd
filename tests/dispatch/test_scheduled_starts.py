"""Test that the workflows of scheduled notifications wait without a slot."""

from pathlib import Path

import pytest

from dispatch import dispatcher
from tests.api_tenants import ApiTenant, open_api_tenant
from tests.engine import later, running_engine
from tests.polling import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

WAITING = "UPDATE queue_entry SET next_at = next_at WHERE tenant = :tenant AND state = 'waiting'"
SENDS = 5  # more than the process has slots for


async def waiting(api_tenant: ApiTenant) -> int:
    return await api_tenant.engine.sql(WAITING, tenant=api_tenant.tenant)


async def test_a_scheduled_start_frees_its_slot_without_waiting_for_the_regular_mark(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "MARK_INTERVAL", 3_600.0)
    async with running_engine(database_url, tmp_path, slots=2) as engine, open_api_tenant(engine) as api_tenant:
        await api_tenant.put_type("news", ["email"])
        await api_tenant.put_recipient("ada", email="ada@example.com")
        for _ in range(SENDS):
            await api_tenant.send("news", send_at=later(3_600))
        await eventually(lambda: waiting(api_tenant), lambda seen: seen == SENDS)
