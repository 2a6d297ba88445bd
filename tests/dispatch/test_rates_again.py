"""A rate that was told is told again after a while: another dispatcher may have led in between."""

from pathlib import Path

import pytest

from dispatch.connection import connect
from dispatch.rates import Rates
from embedded.temporary import temporary_temporal
from tests.dispatch.test_rates import limits, until
from tests.polling import eventually
from tests.storage.databases import own_database

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]
QUEUE = "deliver-sendgrid"


async def test_who_leads_again_puts_right_what_another_has_told_meanwhile(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with own_database(database_url) as database, temporary_temporal(tmp_path) as server:
        client = await connect(server.address, "default", lazy=False)
        first, second = (Rates(database, client, {"sendgrid": rate}) for rate in (20.0, 50.0))
        await first.keep()
        await until(client, QUEUE, 20)
        await second.keep()
        await until(client, QUEUE, 50)
        monkeypatch.setattr("dispatch.rates.TELL_AGAIN", 0.5)

        async def kept() -> tuple[float | None, float | None]:
            await first.keep()
            return await limits(client, QUEUE)

        await eventually(kept, lambda seen: seen == (20, None))
