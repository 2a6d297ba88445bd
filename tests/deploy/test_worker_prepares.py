"""Test that a worker waits for its namespace and prepares it: on a server, no `make run` has done so."""

import asyncio
from pathlib import Path

import pytest
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.client import Client

import worker
from config import Settings
from dispatch.temporal.search_attributes import SEARCH_ATTRIBUTES
from embedded.temporary_servers import temporary_temporal

pytestmark = pytest.mark.temporal


async def attributes(client: Client) -> set[str]:
    request = ListSearchAttributesRequest(namespace=client.namespace)
    return set((await client.operator_service.list_search_attributes(request)).custom_attributes)


async def test_workers_that_start_together_prepare_a_new_server_once(tmp_path: Path) -> None:
    async with temporary_temporal(tmp_path) as temporal:
        settings = Settings(env="dev", temporal_address=temporal.address, _env_file=None)
        first, _ = await asyncio.gather(worker.wait_for_temporal(settings), worker.wait_for_temporal(settings))
        await worker.wait_for_temporal(settings)
        assert set(SEARCH_ATTRIBUTES) <= await attributes(first)
