"""Start an API process while nothing listens at Temporal's address: it serves requests."""

from pathlib import Path

import pytest

from bootstrap import prepare_database
from embedded.temporary_servers import temporary_postgres
from faults.api_process import running_api
from faults.customer import customer_at

pytestmark = pytest.mark.postgres


async def test_an_api_started_without_temporal_is_degraded_and_accepts(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    async with temporary_postgres(tmp_path) as postgres:
        await prepare_database(postgres.url)
        async with running_api(postgres.url, log) as (process, info), customer_at(info) as customer:
            await customer.wait_until_ready()
            assert (await customer.http.get(f"{customer.url}/readyz")).json()["degraded"] == ["temporal"]
            await customer.type()
            await customer.send_accepted("first")
            await customer.send_accepted("second")
            assert process.returncode is None
        assert process.returncode == 0
