"""Measure how fast sends are accepted, compared with the bare endpoint, while no worker runs and nothing is started."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from benchmarks.bare import PATH, READY
from benchmarks.clients import prepare_content
from benchmarks.figures import Figures
from benchmarks.http_load import RepeatedRequest, request_rate
from benchmarks.messages import build_send
from benchmarks.servers import BenchmarkServers, run_process, start_second_api
from embedded.ports import free_port

WARM_UP = 50
IN_FLIGHT = 16
BATCHES_IN_FLIGHT = 2
# Each round alternates this often between the three requests, which take about one second each.
REPETITIONS = 3


@dataclass(frozen=True, kw_only=True)
class AcceptSize:
    """Per round: three times `count` requests to either endpoint, and three times `batches` of `items` sends."""

    count: int = 400
    batches: int = 2
    items: int = 1_000


class AcceptMeasures:
    """Measure acceptance. `bare_url` is the URL of the bare endpoint."""

    def __init__(self, servers: BenchmarkServers, bare_url: str, size: AcceptSize) -> None:
        base, body = f"{servers.places.api_url}/api/v1/notifications", build_send(3)
        batch = json.dumps({"items": [body] * size.items}).encode()
        single = json.dumps(body).encode()
        self._size = size
        self._bare = RepeatedRequest(url=bare_url, body=single)
        self._send = RepeatedRequest(url=f"{base}/send", body=single, api_key=servers.api_key)
        self._batch = RepeatedRequest(url=f"{base}/send-batch", body=batch, api_key=servers.api_key)

    async def warm_up(self) -> None:
        for request in (self._bare, self._send):
            await request_rate(request, min(WARM_UP, self._size.count), IN_FLIGHT)

    async def measure(self, figures: Figures) -> None:
        """Measure one round. Each rate is the average over all alternations of the round."""
        count, batches = self._size.count, self._size.batches
        seconds = {"bare_rate": 0.0, "accept_rate_single": 0.0, "accept_rate_batch": 0.0}
        for _ in range(REPETITIONS):
            seconds["bare_rate"] += count / await request_rate(self._bare, count, IN_FLIGHT)
            seconds["accept_rate_single"] += count / await request_rate(self._send, count, IN_FLIGHT)
            seconds["accept_rate_batch"] += batches / await request_rate(self._batch, batches, BATCHES_IN_FLIGHT)
        for name, passed in seconds.items():
            rows = batches * self._size.items if name == "accept_rate_batch" else count
            figures.add(name, [REPETITIONS * rows / passed])


@asynccontextmanager
async def start_accept_measures(servers: BenchmarkServers, size: AcceptSize) -> AsyncIterator[AcceptMeasures]:
    """Run an API with its own database, and the bare endpoint on the same database."""
    port = free_port()
    async with start_second_api(servers, "accept") as own:
        await prepare_content(own)
        async with run_process(own, "bare", "-m", "benchmarks.bare", own.dsn, str(port), ready=READY):
            measures = AcceptMeasures(own, f"http://127.0.0.1:{port}{PATH}", size)
            await measures.warm_up()
            yield measures
