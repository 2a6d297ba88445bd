"""Kill Postgres while requests arrive: they get 503, and no acknowledged row is lost."""

import asyncio

import pytest

from tests.faults.conftest import RunningStack

pytestmark = [pytest.mark.postgres, pytest.mark.temporal, pytest.mark.long]

ROWS = "SELECT idempotency_key AS key, id::text FROM notification WHERE idempotency_key LIKE 'postgres-killed-%'"


async def test_postgres_killed_under_load_loses_no_acknowledged_row(
    stack: RunningStack,
) -> None:
    deaths: list[asyncio.Task[int]] = []

    def kill_in_the_middle(accepted: int) -> None:
        if accepted == 40 and not deaths:
            deaths.append(asyncio.create_task(stack.run.kill("postgres")))

    responses = await stack.stack_client.load(120, "postgres-killed", kill_in_the_middle)
    assert responses.unavailable, "no request was interrupted"
    assert {response.status_code for response in responses.unavailable} == {503}
    assert all(int(response.headers["Retry-After"]) > 0 for response in responses.unavailable)
    assert responses.cut == []
    await stack.run.replaced("postgres", await deaths[0])
    retried = {key: await stack.stack_client.send_accepted(key) for key in responses.failed}
    rows = {row["key"]: row["id"] for row in await stack.stack_database.rows(ROWS)}
    assert rows == responses.ids | retried
    assert len(rows) == 120
    statuses = await stack.wait_for_end(list(rows.values()))
    assert set(statuses.values()) <= {"DELIVERED", "IN_DOUBT"}
    assert list(statuses.values()).count("DELIVERED") > 100
