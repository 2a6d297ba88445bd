"""Scheduled notifications: their workflows wait, and take no slot meanwhile."""

from pathlib import Path

import pytest

from dispatch import dispatcher
from tests.engine import Shop, later, open_shop, running_engine
from tests.polling import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

WAITING = "UPDATE queue_entry SET next_at = next_at WHERE tenant = :tenant AND state = 'waiting'"
SENDS = 5  # more than the process has slots for


async def waiting(shop: Shop) -> int:
    return await shop.engine.sql(WAITING, tenant=shop.tenant)


async def test_a_scheduled_start_frees_its_slot_without_waiting_for_the_regular_mark(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "MARK_EVERY", 3_600.0)
    async with running_engine(database_url, tmp_path, slots=2) as engine, open_shop(engine) as shop:
        await shop.type("news", ["email"])
        await shop.person("ada", email="ada@example.com")
        for _ in range(SENDS):
            await shop.send("news", send_at=later(3_600))
        await eventually(lambda: waiting(shop), lambda seen: seen == SENDS)
