"""Collect many items for few recipients during kills: each item is in exactly one digest, and every digest arrives."""

import asyncio
from typing import Any

from domain.json_types import Json
from faults.catalog.table import fault
from faults.catalog.workers import kill_workers, start_workers
from faults.scenario import Scenario
from faults.type_specs import DIGEST

RECIPIENT_COUNT, BATCH = 100, 1_000
OPEN = """
SELECT count(*) FROM notification WHERE id::text = ANY($1) AND (digest_id IS NULL OR finished_at IS NULL)
"""
# The numbers of the items in the digests of each recipient.
IN_DIGESTS = """
SELECT d.recipient_id, array_agg((item->>'number')::int) AS numbers
  FROM digest d JOIN notification m ON m.id = d.notification_id, jsonb_array_elements(m.event_payload->'items') item
 WHERE d.id IN (SELECT digest_id FROM notification WHERE id::text = ANY($1))
 GROUP BY d.recipient_id
"""
# Windows that opened before an earlier window of their recipient ended: their first item should be in that window.
# A batch that is being stored while the window closes may open the next one up to 5 s before that end.
OVERLAPPING = """
SELECT later.recipient_id, later.opened_at, earlier.closes_at
  FROM digest later
  JOIN digest earlier ON later.tenant = earlier.tenant AND later.digest_key = earlier.digest_key
       AND later.id <> earlier.id AND later.opened_at >= earlier.opened_at
       AND later.opened_at < earlier.closes_at - interval '5 s'
 WHERE later.id IN (SELECT digest_id FROM notification WHERE id::text = ANY($1))
"""
STATUSES = """
SELECT d.recipient_id, m.status FROM digest d JOIN notification m ON m.id = d.notification_id
 WHERE d.id IN (SELECT digest_id FROM notification WHERE id::text = ANY($1)) ORDER BY d.opened_at
"""
ARRIVED = ("SENT", "DELIVERED", "OPENED")


@fault
async def digests_while_processes_die(scenario: Scenario) -> None:
    """Kill API and workers while 10,000 items for 100 recipients arrive: each joins its window; an opt-out applies."""
    recipients = [scenario.load_generator.message(DIGEST, 0, "")[0]["recipient"] for _ in range(RECIPIENT_COUNT)]
    batches = [_batch(begin, recipients) for begin in range(0, scenario.scale.items, BATCH)]
    half = len(batches) // 2
    ids = [id for batch in batches[:half] for id in await scenario.load_generator.send_batch_until_accepted(batch)]
    rest = asyncio.create_task(_all(scenario, batches[half:]))
    await asyncio.gather(scenario.stack_process("api").kill(), kill_workers(scenario))
    await scenario.stack_process("api").start()
    ids += await rest
    opted_out = recipients[0]["recipient_id"]
    choices = {"global_channel_opt_in": {"webhook": False}}
    await scenario.load_generator.tenants[0].ok("PUT", f"/recipients/{opted_out}/preferences", choices)
    await start_workers(scenario)
    await scenario.stack_database.until(OPEN, ids, is_=0, within=scenario.scale.deadline)
    scenario.checks["every item is in exactly one digest"] = lambda: _recipients_with_other_items(scenario, ids)
    scenario.checks["every item is in its window's digest"] = lambda: scenario.stack_database.rows(OVERLAPPING, ids)
    scenario.checks["every digest arrives, except after an opt-out"] = lambda: _not_arrived(scenario, ids, opted_out)


async def _all(scenario: Scenario, batches: list[list[Json]]) -> list[str]:
    return [id for batch in batches for id in await scenario.load_generator.send_batch_until_accepted(batch)]


def _batch(begin: int, recipients: list[Json]) -> list[Json]:
    return [
        {
            "notification_type": DIGEST.key,
            "recipient": recipients[number % RECIPIENT_COUNT],
            "payload": {"number": number, "name": "Canary Ada"},
            "idempotency_key": f"digest-{recipients[0]['recipient_id']}-{number}",
        }
        for number in range(begin, begin + BATCH)
    ]


async def _recipients_with_other_items(scenario: Scenario, ids: list[str]) -> list[dict[str, Any]]:
    """Return the recipients whose digests do not contain exactly their items. A slow machine needs several windows."""
    found = await scenario.stack_database.rows(IN_DIGESTS, ids)
    expected = {frozenset(range(first, scenario.scale.items, RECIPIENT_COUNT)) for first in range(RECIPIENT_COUNT)}
    count = scenario.scale.items // RECIPIENT_COUNT
    wrong = [row for row in found if len(row["numbers"]) != count or frozenset(row["numbers"]) not in expected]
    return wrong or ([] if len(found) == RECIPIENT_COUNT else [{"recipients with a digest": len(found)}])


async def _not_arrived(scenario: Scenario, ids: list[str], opted_out: str) -> list[dict[str, Any]]:
    """Return the digests with a wrong status: all must arrive, except the last one of the recipient that opted out."""
    digests = await scenario.stack_database.rows(STATUSES, ids)
    last = [digest["status"] for digest in digests if digest["recipient_id"] == opted_out][-1:]
    missing = [digest for digest in digests if digest["status"] not in ARRIVED and digest["recipient_id"] != opted_out]
    return missing if last == ["SUPPRESSED"] else [{"statuses after the opt-out": last}, *missing]
