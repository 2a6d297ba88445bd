"""Kill the API while it responds: responses stay valid, and repeated requests create nothing twice."""

import asyncio

import pytest

from tests.faults.conftest import RunningStack

pytestmark = [pytest.mark.postgres, pytest.mark.temporal, pytest.mark.long]

ROWS = "SELECT idempotency_key AS key, id::text FROM notification WHERE idempotency_key LIKE 'api-killed-%'"


async def test_an_api_killed_under_load_loses_no_acknowledged_id(
    stack: RunningStack,
) -> None:
    deaths: list[asyncio.Task[int]] = []

    def kill_in_the_middle(accepted: int) -> None:
        if accepted == 40 and not deaths:
            deaths.append(asyncio.create_task(stack.run.kill("api")))

    responses = await stack.stack_client.load(100, "api-killed", kill_in_the_middle)
    assert deaths
    assert responses.failed, "no request was interrupted"
    retried = {key: await stack.stack_client.send_accepted(key) for key in responses.failed}
    rows = {row["key"]: row["id"] for row in await stack.stack_database.rows(ROWS)}
    assert rows == responses.ids | retried
    assert len(rows) == 100
    assert set((await stack.wait_for_end(list(rows.values()))).values()) == {"DELIVERED"}
