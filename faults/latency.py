"""Measure how long sends take from the request until they are SENT, by this machine's clock, which all processes
share.
"""

import asyncio
import time
from statistics import quantiles

from faults.load_generator import LoadGenerator
from faults.stack_database import StackDatabase
from faults.type_specs import TypeSpec

# The ids are compared as UUIDs, by the index: a scan of a backlog would delay the sends that are measured.
SENT_AT = """
SELECT notification_id::text AS id, extract(epoch FROM min(at))::float8 AS at FROM event
 WHERE notification_id = ANY($1::text[]::uuid[]) AND status IN ('SENT', 'DELIVERED') GROUP BY notification_id
"""
# None as soon as all are SENT; until then the states of the others, for the message of a failing test.
UNSENT = f"""
SELECT string_agg(concat_ws(' ', n.id, n.status, n.failure_reason, (
         SELECT string_agg(concat_ws(' ', a.state, a.reason), ', ' ORDER BY a.number) FROM attempt a
          WHERE a.notification_id = n.id)), '; ')
  FROM notification n WHERE n.id = ANY($1::text[]::uuid[]) AND n.id::text NOT IN (SELECT id FROM ({SENT_AT}) sent)
"""


async def seconds_until_sent(stack_database: StackDatabase, since: dict[str, float], within: float) -> list[float]:
    """Wait until all are SENT. Return the seconds since the given time of each."""
    ids = list(since)
    await stack_database.until(UNSENT, ids, is_=None, within=within)
    return [float(row["at"]) - since[row["id"]] for row in await stack_database.rows(SENT_AT, ids)]


async def measure_sends(
    load_generator: LoadGenerator, stack_database: StackDatabase, type_spec: TypeSpec, count: int, within: float = 60
) -> list[float]:
    """Return the seconds of this many consecutive sends."""
    seconds = []
    for _ in range(count):
        asked_at = time.time()
        sent = await load_generator.send(type_spec)
        seconds += await seconds_until_sent(stack_database, {sent.id: asked_at}, within)
    return seconds


def p95(seconds: list[float]) -> float:
    return quantiles(seconds, n=20, method="inclusive")[-1]


async def machine_slowdown(cpu_seconds: float = 0.5) -> float:
    """Return how many times longer a busy process takes than on an idle machine; 1 at least.

    An idle process gets the CPU at once even on a busy machine; a busy process does not. So on a busy machine, sends
    during a backlog are slower than sends without one.
    """
    return await asyncio.to_thread(_machine_slowdown, cpu_seconds)


def _machine_slowdown(cpu_seconds: float) -> float:
    began, spent = time.monotonic(), time.thread_time()
    while time.thread_time() - spent < cpu_seconds:
        pass
    return max(1.0, (time.monotonic() - began) / cpu_seconds)
