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
# For each item, the digests that contain it and their number.
IN_DIGESTS = """
SELECT d.recipient_id, count(DISTINCT m.id) AS made, array_agg((item->>'number')::int ORDER BY (item->>'number')::int)
       AS numbers
  FROM digest d JOIN notification m ON m.id = d.notification_id, jsonb_array_elements(m.event_payload->'items') item
 WHERE d.id IN (SELECT digest_id FROM notification WHERE id::text = ANY($1))
 GROUP BY d.recipient_id
"""
MADE = """
SELECT m.status, count(*) AS how_many FROM digest d JOIN notification m ON m.id = d.notification_id
 WHERE d.id IN (SELECT digest_id FROM notification WHERE id::text = ANY($1)) GROUP BY 1
"""


@fault
async def digests_while_processes_die(scenario: Scenario) -> None:
    """Kill API and workers while 10,000 items for 100 recipients arrive: 100 complete digests; an opt-out applies."""
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
    scenario.checks["every item in one digest"] = lambda: _recipients_without_their_digest(scenario, ids)
    scenario.checks["every digest but one arrives"] = lambda: _not_arrived(scenario, ids)


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


async def _recipients_without_their_digest(scenario: Scenario, ids: list[str]) -> list[dict[str, Any]]:
    """Return the recipients without exactly one digest of exactly their numbers."""
    found = await scenario.stack_database.rows(IN_DIGESTS, ids)
    count = scenario.scale.items // RECIPIENT_COUNT
    wrong = [row for row in found if row["made"] != 1 or not len(set(row["numbers"])) == len(row["numbers"]) == count]
    return wrong or ([] if len(found) == RECIPIENT_COUNT else [{"recipients with a digest": len(found)}])


async def _not_arrived(scenario: Scenario, ids: list[str]) -> list[dict[str, Any]]:
    counts = {row["status"]: row["how_many"] for row in await scenario.stack_database.rows(MADE, ids)}
    arrived = sum(count for status, count in counts.items() if status in ("SENT", "DELIVERED", "OPENED"))
    return [] if (arrived, counts.get("SUPPRESSED")) == (RECIPIENT_COUNT - 1, 1) else [counts]
