"""Freeze one process of each kind while another runs: urgent sends take little longer.

The limits are those of an idle machine. A run without a fault measures how slow this one is.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from faults.invariants import broken
from faults.latency import p95
from faults.load_generator import open_load_generator
from faults.resource_leaks import connections_to
from faults.servers import Servers
from faults.stack_database import StackDatabase
from faults.stack_process import StackProcess
from faults.urgent_sends import URGENT, UrgentSends, api_client, second_api
from tests.polling import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.temporal, pytest.mark.long]

MOST_TIMEOUT, ALL_TIMEOUT = 5.0, 20.0
# p95 of an undisturbed urgent send on an idle machine.
USUAL = 0.5
# Temporal's setting is five seconds (`frontend.keepAliveTime`), and a minute by default.
DROP_TIMEOUT = 20.0


@pytest.fixture
async def urgent(servers: Servers, stack_database: StackDatabase) -> AsyncIterator[UrgentSends]:
    async with open_load_generator(servers) as load_generator, AsyncExitStack() as stack:
        await load_generator.tenants[0].add(URGENT)
        processes = [servers.processes["api"], await stack.enter_async_context(second_api(servers))]
        apis = [await stack.enter_async_context(api_client(servers, part)) for part in processes]
        yield UrgentSends(apis=apis, stack_database=stack_database, load_generator=load_generator)


async def test_urgent_sends_take_seconds_while_a_worker_or_api_is_frozen(servers: Servers, urgent: UrgentSends) -> None:
    undisturbed = p95(await urgent.seconds_until_sent())
    slowness = max(1.0, undisturbed / USUAL)
    measured = {part.name: await _while_frozen(part, urgent) for part in (servers.workers[0], servers.processes["api"])}
    late = {
        name: (round(p95(seconds), 2), round(max(seconds), 2))
        for name, seconds in measured.items()
        if p95(seconds) > MOST_TIMEOUT * slowness or max(seconds) > ALL_TIMEOUT * slowness
    }
    assert late == {}, f"p95 and maximum in seconds; undisturbed p95 {undisturbed:.2f}"
    assert await broken(urgent.stack_database.rows, servers.vendor_control.calls_and_messages()) == {}


async def test_temporal_drops_the_polls_of_a_frozen_worker(servers: Servers) -> None:
    """Check that the polls are closed: each would take a task, which is then lost until it times out."""
    frozen, port = servers.workers[0], servers.proxies["to temporal"].port

    async def connections() -> int:
        return connections_to(port, frozen)

    assert await connections() > 0
    with frozen.frozen():
        await eventually(connections, lambda count: count == 0, within=DROP_TIMEOUT)
    await eventually(connections, lambda count: count > 0)


async def _while_frozen(part: StackProcess, urgent: UrgentSends) -> list[float]:
    """Keep it frozen until everything has been sent."""
    with part.frozen():
        return await urgent.seconds_until_sent()
