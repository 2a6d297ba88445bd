"""Test that a rate is set again after a while: another dispatcher may have led in between."""

from pathlib import Path

import pytest

from dispatch.temporal.connection import connect
from dispatch.temporal.queue_rates import QueueRateTask
from embedded.temporary_servers import temporary_temporal
from tests.dispatch.test_rates import limits, wait_for_limit
from tests.polling import eventually
from tests.storage.databases import own_database

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]
QUEUE = "deliver-sendgrid"


async def test_a_new_leader_replaces_rates_set_by_another(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with own_database(database_url) as database, temporary_temporal(tmp_path) as server:
        client = await connect(server.address, "default", lazy=False)
        first, second = (QueueRateTask(database, client, {"sendgrid": rate}) for rate in (20.0, 50.0))
        await first.update_rates()
        await wait_for_limit(client, QUEUE, 20)
        await second.update_rates()
        await wait_for_limit(client, QUEUE, 50)
        monkeypatch.setattr("dispatch.temporal.queue_rates.UPDATE_INTERVAL", 0.5)

        async def kept() -> tuple[float | None, float | None]:
            await first.update_rates()
            return await limits(client, QUEUE)

        await eventually(kept, lambda seen: seen == (20, None))
