"""Start an API process while nothing listens at Temporal's address: it serves requests."""

from pathlib import Path

import pytest

from bootstrap import prepare_database
from embedded.temporary_servers import temporary_postgres
from faults.api_process import running_api
from faults.stack_client import open_stack_client

pytestmark = pytest.mark.postgres


async def test_an_api_started_without_temporal_is_degraded_and_accepts(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    async with temporary_postgres(tmp_path) as postgres:
        await prepare_database(postgres.url)
        async with running_api(postgres.url, log) as (process, info), open_stack_client(info) as stack_client:
            await stack_client.wait_until_ready()
            assert (await stack_client.http.get(f"{stack_client.url}/readyz")).json()["degraded"] == ["temporal"]
            await stack_client.type()
            await stack_client.send_accepted("first")
            await stack_client.send_accepted("second")
            assert process.returncode is None
        assert process.returncode == 0
