"""One process of each kind is stopped by SIGSTOP while another runs: urgent sends hardly take longer.

The limits are those of a machine with nothing else to do. A run without a fault measures how slow this one is.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from tests.faults.books import Books
from tests.faults.crowd import open_crowd
from tests.faults.invariants import broken
from tests.faults.latency import p95
from tests.faults.part import Part
from tests.faults.residue import connections_to
from tests.faults.servers import Servers
from tests.faults.urgent import URGENT, UrgentSends, api_client, second_api
from tests.polling import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.temporal, pytest.mark.long]

MOST_WITHIN, ALL_WITHIN = 5.0, 20.0
# p95 of an undisturbed urgent send, on a machine for which the limits are meant.
USUAL = 0.5
# Temporal promises five seconds (`frontend.keepAliveTime`), and a minute by default.
DROPPED_WITHIN = 20.0


@pytest.fixture
async def urgent(servers: Servers, books: Books) -> AsyncIterator[UrgentSends]:
    async with open_crowd(servers) as crowd, AsyncExitStack() as stack:
        await crowd.tenants[0].add(URGENT)
        parts = [servers.parts["api"], await stack.enter_async_context(second_api(servers))]
        apis = [await stack.enter_async_context(api_client(servers, part)) for part in parts]
        yield UrgentSends(apis=apis, books=books, crowd=crowd)


async def test_urgent_sends_go_out_in_seconds_while_a_worker_or_an_api_is_frozen(
    servers: Servers, urgent: UrgentSends
) -> None:
    undisturbed = p95(await urgent.seconds_until_sent())
    slowness = max(1.0, undisturbed / USUAL)
    measured = {part.name: await _while_frozen(part, urgent) for part in (servers.workers[0], servers.parts["api"])}
    late = {
        name: (round(p95(seconds), 2), round(max(seconds), 2))
        for name, seconds in measured.items()
        if p95(seconds) > MOST_WITHIN * slowness or max(seconds) > ALL_WITHIN * slowness
    }
    assert late == {}, f"p95 and maximum in seconds; undisturbed p95 {undisturbed:.2f}"
    assert await broken(urgent.books.rows, servers.desk.books()) == {}


async def test_temporal_drops_the_polls_of_a_frozen_worker(servers: Servers) -> None:
    """Each of them would take a task, which is then lost until it times out."""
    frozen, port = servers.workers[0], servers.wires["to temporal"].port

    async def connections() -> int:
        return connections_to(port, frozen)

    assert await connections() > 0
    with frozen.frozen():
        await eventually(connections, lambda count: count == 0, within=DROPPED_WITHIN)
    await eventually(connections, lambda count: count > 0)


async def _while_frozen(part: Part, urgent: UrgentSends) -> list[float]:
    """It stays frozen until everything has been sent, so that it cannot help."""
    with part.frozen():
        return await urgent.seconds_until_sent()
