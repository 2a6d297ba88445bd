"""Check that two API processes with one Redis enforce the limits of one process."""

from contextlib import AsyncExitStack
from itertools import cycle, islice, pairwise
from pathlib import Path

import pytest

from bootstrap import prepare_database
from embedded.temporary_servers import temporary_postgres
from faults.api_process import running_api
from faults.stack_client import StackClient, open_stack_client
from tests.polling import DEFAULT_TIMEOUT, eventually
from tests.redis import needs_redis, running_redis

pytestmark = [pytest.mark.postgres, pytest.mark.long, needs_redis]

POINTS = 30
Responses = list[tuple[int, int, int]]


async def call_one_by_one(stack_clients: list[StackClient]) -> Responses:
    """Call with each client once. Return the status, the remaining points, and the seconds until the next minute."""
    responses = []
    for stack_client in islice(cycle(stack_clients), POINTS + 4):
        response = await stack_client.http.get("/settings")
        _, rest, seconds = response.headers["RateLimit"].split(";")
        responses.append((response.status_code, int(rest.removeprefix("r=")), int(seconds.removeprefix("t="))))
    return responses


def are_of_one_minute(responses: Responses) -> bool:
    return responses[0][1] == POINTS - 1 and all(before >= after for (*_, before), (*_, after) in pairwise(responses))


async def test_two_processes_share_the_points_of_a_key(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(running_redis())
        postgres = await stack.enter_async_context(temporary_postgres(tmp_path))
        await prepare_database(postgres.url)
        stack_clients = []
        for name in ("first", "second"):
            api = running_api(
                postgres.url, tmp_path / name, KEY_RATE_LIMIT=str(POINTS), RATE_LIMIT_STORE=redis.url, LOG_LEVEL="error"
            )
            _, info = await stack.enter_async_context(api)
            stack_clients.append(await stack.enter_async_context(open_stack_client(info)))
            await stack_clients[-1].wait_until_ready(within=DEFAULT_TIMEOUT)
        responses = await eventually(lambda: call_one_by_one(stack_clients), are_of_one_minute, 2 * DEFAULT_TIMEOUT)
        assert [status for status, _, _ in responses] == [200] * POINTS + [429] * 4
        assert [rest for _, rest, _ in responses] == [*reversed(range(POINTS)), 0, 0, 0, 0]
