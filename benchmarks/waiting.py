"""Measure the cost of notifications that only wait: CPU of an idle system, and of the same one with waiting sends."""

import asyncio
import time

from benchmarks.clients import Clients
from benchmarks.cpu import cpu_seconds
from benchmarks.figures import Figures
from benchmarks.measures import MeasurementTimeout
from benchmarks.messages import TEMPLATE
from benchmarks.servers import BenchmarkServers

PRODUCT_PROCESSES = ("api", "worker")
SERVER_PROCESSES = ("temporal", "postgres")
START_TIMEOUT = 180.0
POLL_INTERVAL = 0.2
GOAL_TYPE = {
    "route": [{"channels": ["email"], "until": "opened", "within": "3d"}, {"channels": ["in_app"]}],
    "templates": {"email": "bench", "in_app": "bench"},
}

# Half wait for their time, half for a receipt that the sandbox does not send.
COUNT_WAITING = """
SELECT count(*) FROM notification n JOIN queue_entry q ON q.notification_id = n.id WHERE q.started_at IS NOT NULL
   AND (send_at > now() OR EXISTS (
        SELECT 1 FROM delivery d WHERE d.notification_id = n.id AND d.awaited_evidence IS NOT NULL))
"""
# As if they had waited for an hour without a check: the sweep's worst case.
MARK_OVERDUE = (
    "UPDATE queue_entry SET started_at = now() - interval '1 h', next_at = now() WHERE started_at IS NOT NULL"
)


class WaitingMeasures:
    """Measure with prepared clients."""

    def __init__(self, servers: BenchmarkServers, clients: Clients) -> None:
        self._records = servers.records
        self._clients = clients
        self._database = clients.database

    async def measure(self, count: int, seconds: float, figures: Figures) -> None:
        """Add `cpu_…` figures, as a share of one core, of Tocsin's processes and the servers, each over `seconds`."""
        await self._measure_window("idle", seconds, figures)
        await self._send(count)
        await self._measure_window("waiting", seconds, figures)
        await self._database.execute(MARK_OVERDUE)
        await self._measure_window("waiting_swept", seconds, figures)

    async def _measure_window(self, name: str, seconds: float, figures: Figures) -> None:
        began, before = time.monotonic(), self._read_cpu()
        await asyncio.sleep(seconds)
        passed, after = time.monotonic() - began, self._read_cpu()
        for part, spent in after.items():
            figures.add(f"cpu_{name}_{part}", [(spent - before[part]) / passed])

    def _read_cpu(self) -> dict[str, float]:
        spent = {name: cpu_seconds(self._records, name) for name in (*PRODUCT_PROCESSES, *SERVER_PROCESSES)}
        return {
            "ours": sum(spent[name] for name in PRODUCT_PROCESSES),
            "servers": sum(spent[name] for name in SERVER_PROCESSES),
        }

    async def _send(self, count: int) -> None:
        await self._clients.call("POST", "/templates", {**TEMPLATE, "channel": "in_app"})
        await self._clients.call("PUT", "/notification-types/bench-goal", GOAL_TYPE)
        in_an_hour = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3_600))
        send_fields = {"recipient_id": "ada", "payload": {"name": "Ada", "number": 4711}}
        scheduled = {"notification_type": "bench", "send_at": in_an_hour, **send_fields}
        with_goal = {"notification_type": "bench-goal", **send_fields}
        items = [scheduled if number % 2 else with_goal for number in range(count)]
        await self._clients.call("POST", "/notifications/send-batch", {"items": items})
        deadline = time.monotonic() + START_TIMEOUT
        while (waiting := await self._database.fetchval(COUNT_WAITING)) < count:
            if time.monotonic() > deadline:
                raise MeasurementTimeout(f"{waiting} of {count} wait after {START_TIMEOUT:g} s")
            await asyncio.sleep(POLL_INTERVAL)
