"""Send urgent notifications at a steady rate to two API processes, and measure each until it is SENT."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle, islice

import httpx2

from config.sources import PREFIX
from domain.json_types import Json
from embedded.ports import free_port
from embedded.readiness import responds_ok
from faults.environment import HOST
from faults.latency import seconds_until_sent
from faults.load_generator import LoadGenerator
from faults.pace import wait_seconds
from faults.servers import Servers
from faults.stack_database import StackDatabase
from faults.stack_process import StackProcess
from faults.type_specs import RECONCILE_SMS

# Not at_most_once: on a slow machine the response to a call may come too late, and such a send then ends IN_DOUBT.
URGENT = replace(RECONCILE_SMS, key="urgent", more={**RECONCILE_SMS.more, "priority": 1, "give_up_after": "1h"})
ASK_OTHER_AFTER = 1.0  # seconds without a response


@dataclass(frozen=True, kw_only=True)
class UrgentSends:
    """Make `rate` sends per second for `seconds`. Each is SENT within `deadline`, or the test has failed anyway."""

    apis: Sequence[httpx2.AsyncClient]
    stack_database: StackDatabase
    load_generator: LoadGenerator
    rate: float = 4.0
    seconds: float = 10.0
    deadline: float = 240.0

    async def seconds_until_sent(self) -> list[float]:
        """Return the seconds of each send, from its first request."""
        requests = []
        for number in range(int(self.rate * self.seconds)):
            body, key = self.load_generator.message(URGENT, 0, "silent")
            requests.append(asyncio.create_task(self._send(number, body, key)))
            await wait_seconds(1 / self.rate)
        asked_at = dict(await asyncio.gather(*requests))
        return await seconds_until_sent(self.stack_database, asked_at, self.deadline)

    async def _send(self, number: int, body: Json, key: str) -> tuple[str, float]:
        """Call one API process and then another, like a load balancer. Return the id and the time of the first
        request.
        """
        asked_at = time.time()
        for api in islice(cycle(self.apis), number % len(self.apis), None):
            try:
                response = await api.post("/notifications/send", json=body, headers={"Idempotency-Key": key})
            except httpx2.TransportError:
                continue
            if response.status_code == 202:
                return str(response.json()["id"]), asked_at
            assert response.status_code in (409, 503), response.text
            await wait_seconds(ASK_OTHER_AFTER / 10)
        raise AssertionError("every API process failed")


@asynccontextmanager
async def second_api(servers: Servers) -> AsyncIterator[StackProcess]:
    """Run another API process of the same servers."""
    first, port = servers.processes["api"].child, free_port()
    settings = {**(first.env or {}), f"{PREFIX}API_PORT": str(port), f"{PREFIX}PUBLIC_URL": servers.info.api_url}
    child = replace(first, name="api-2", log=first.log.with_name("api-2.log"), env=settings)
    part = StackProcess(child, lambda: partial(responds_ok, HOST, port, "/readyz"))
    await part.start()
    try:
        yield part
    finally:
        await part.stop()


def api_client(servers: Servers, part: StackProcess) -> httpx2.AsyncClient:
    """Create a client with a short timeout, after which the caller uses another API process."""
    port = (part.child.env or {})[f"{PREFIX}API_PORT"]
    headers = {"Authorization": f"Bearer {servers.info.api_key}"}
    url = f"http://{HOST}:{port}/api/v1"
    return httpx2.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=ASK_OTHER_AFTER)
