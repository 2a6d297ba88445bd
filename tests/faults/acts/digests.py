"""Many items for few people while everything dies: each is in exactly one digest, and every one of them arrives."""

import asyncio
from typing import Any

from tests.faults.acts.table import fault
from tests.faults.acts.workers import killed, started
from tests.faults.kinds import DIGEST, Json
from tests.faults.scene import Scene

PEOPLE, BATCH = 100, 1_000
OPEN = """
SELECT count(*) FROM notification WHERE id::text = ANY($1) AND (digest_id IS NULL OR finished_at IS NULL)
"""
# Of each item how often it is in a digest that was made, and which.
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
async def digest_while_all_die(scene: Scene) -> None:
    """10,000 items for 100 people while API and workers are killed: 100 digests with all items; an opt-out counts."""
    people = [scene.crowd.message(DIGEST, 0, "")[0]["recipient"] for _ in range(PEOPLE)]
    batches = [_batch(begin, people) for begin in range(0, scene.scale.items, BATCH)]
    half = len(batches) // 2
    ids = [id for batch in batches[:half] for id in await scene.crowd.batch_again(batch)]
    rest = asyncio.create_task(_all(scene, batches[half:]))
    await asyncio.gather(scene.part("api").kill(), killed(scene))
    await scene.part("api").start()
    ids += await rest
    opted_out = people[0]["recipient_id"]
    choices = {"global_channel_opt_in": {"webhook": False}}
    await scene.crowd.tenants[0].ok("PUT", f"/recipients/{opted_out}/preferences", choices)
    await started(scene)
    await scene.books.until(OPEN, ids, is_=0, within=scene.scale.deadline)
    scene.checks["every item in one digest"] = lambda: _astray(scene, ids)
    scene.checks["every digest but one arrives"] = lambda: _not_arrived(scene, ids)


async def _all(scene: Scene, batches: list[list[Json]]) -> list[str]:
    return [id for batch in batches for id in await scene.crowd.batch_again(batch)]


def _batch(begin: int, people: list[Json]) -> list[Json]:
    return [
        {
            "notification_type": DIGEST.key,
            "recipient": people[number % PEOPLE],
            "payload": {"number": number, "name": "Canary Ada"},
            "idempotency_key": f"digest-{people[0]['recipient_id']}-{number}",
        }
        for number in range(begin, begin + BATCH)
    ]


async def _astray(scene: Scene, ids: list[str]) -> list[dict[str, Any]]:
    """Whoever does not have one digest with just their numbers."""
    found = await scene.books.rows(IN_DIGESTS, ids)
    count = scene.scale.items // PEOPLE
    wrong = [row for row in found if row["made"] != 1 or not len(set(row["numbers"])) == len(row["numbers"]) == count]
    return wrong or ([] if len(found) == PEOPLE else [{"people with a digest": len(found)}])


async def _not_arrived(scene: Scene, ids: list[str]) -> list[dict[str, Any]]:
    told = {row["status"]: row["how_many"] for row in await scene.books.rows(MADE, ids)}
    arrived = sum(count for status, count in told.items() if status in ("SENT", "DELIVERED", "OPENED"))
    return [] if (arrived, told.get("SUPPRESSED")) == (PEOPLE - 1, 1) else [told]
