"""Recipients with hundreds of devices beside another tenant's urgent sends."""

import asyncio
from typing import Any

from domain.stored_limits import DEVICES_USED
from tests.faults.acts.crowds import AT_MOST, SOON, few, p95, told
from tests.faults.acts.requests import TENANT
from tests.faults.acts.table import fault
from tests.faults.crowd import Sent
from tests.faults.kinds import DEVICES
from tests.faults.scene import Scene

RECIPIENTS = 4
STORED = 900  # devices of each, more than the API allows
# Every tenth call fails with a temporary error and is made again.
REGISTER = """
INSERT INTO device (id, tenant, recipient_id, device, kind, address, created_at, updated_at)
SELECT gen_random_uuid(), $1, recipient_id, 'device-' || number, 'fcm',
       jsonb_build_object('token', CASE number % 10 WHEN 0 THEN 'token-error-' ELSE 'token-' END
                                   || recipient_id || '-' || number),
       now() - number * interval '1 minute', now() - number * interval '1 minute'
  FROM unnest($2::text[]) recipient_id, generate_series(1, $3::integer) number
"""
WRONG = """
SELECT n.id::text, n.status, count(DISTINCT a.endpoint_id) AS used,
       max((e.detail->>'skipped')::integer) AS skipped
  FROM notification n LEFT JOIN attempt a ON a.notification_id = n.id
  LEFT JOIN event e ON e.notification_id = n.id AND e.kind = 'devices_skipped'
 WHERE n.id::text = ANY($1) GROUP BY n.id
HAVING n.status NOT IN ('SENT', 'DELIVERED', 'OPENED') OR count(DISTINCT a.endpoint_id) <> $2
    OR max((e.detail->>'skipped')::integer) IS DISTINCT FROM $3
"""


@fault
async def many_devices(scene: Scene) -> None:
    """Sends to four recipients with 900 devices each: another tenant's passwords pass, and 20 devices each are used."""
    scene.trickle.pause()
    await scene.quiet()
    alone = await few(scene, 1, password=True)
    sent = await _to_many_devices(scene)
    beside = await few(scene, 1, password=True)
    scene.trickle.resume()
    scene.notes.append(f"passwords beside {len(sent)} x {STORED} devices {told(beside)}, alone {told(alone)}")
    scene.checks["many_devices: the newest are used"] = lambda: _wrong(scene, sent)
    limit = max(AT_MOST * p95(alone), SOON)
    assert p95(beside) <= limit, f"passwords: p95 {p95(beside):.3f} s beside many devices, at most {limit:.3f} s"


async def _to_many_devices(scene: Scene) -> list[Sent]:
    run = f"{scene.dice.getrandbits(32):08x}"
    people = [f"devices-{run}-{number}" for number in range(RECIPIENTS)]
    for recipient in people:
        await scene.crowd.tenants[0].ok("PUT", f"/recipients/{recipient}", {})
    tenant = await scene.books.one(TENANT)
    await scene.books.rows(REGISTER, tenant, people, STORED)
    sends = (scene.crowd.send(DEVICES, recipient={"recipient_id": recipient}) for recipient in people)
    return list(await asyncio.gather(*sends))


async def _wrong(scene: Scene, sent: list[Sent]) -> list[dict[str, Any]]:
    return await scene.books.rows(WRONG, [each.id for each in sent], DEVICES_USED, STORED - DEVICES_USED)
