"""Recipients with hundreds of devices beside another tenant's urgent sends."""

import asyncio
from typing import Any

from config_encryption import EncryptionSettings
from domain.stored_limits import DEVICES_USED
from storage.encryption import Encryption
from tests.faults.acts.crowds import AT_MOST, SOON, few, p95, told
from tests.faults.acts.requests import TENANT
from tests.faults.acts.table import fault
from tests.faults.crowd import Sent
from tests.faults.kinds import DEVICES
from tests.faults.scene import Scene
from tests.storage.device_rows import REGISTER, device_rows

RECIPIENTS = 4
STORED = 900  # devices of each, more than the API allows
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
    tenant, encryption = await scene.books.one(TENANT), Encryption.of(EncryptionSettings())
    for recipient in people:
        rows = device_rows(encryption, tenant, recipient, _tokens(recipient))
        await scene.books.rows(REGISTER.format(rows="$1"), rows)
    sends = (scene.crowd.send(DEVICES, recipient={"recipient_id": recipient}) for recipient in people)
    return list(await asyncio.gather(*sends))


def _tokens(recipient: str) -> list[str]:
    """Every tenth call fails with a temporary error and is made again."""
    words = ["token-error" if number % 10 == 0 else "token" for number in range(1, STORED + 1)]
    return [f"{word}-{recipient}-{number}" for number, word in enumerate(words, start=1)]


async def _wrong(scene: Scene, sent: list[Sent]) -> list[dict[str, Any]]:
    return await scene.books.rows(WRONG, [each.id for each in sent], DEVICES_USED, STORED - DEVICES_USED)
