"""Give recipients hundreds of devices and measure another tenant's urgent sends."""

import asyncio
from typing import Any

from config.encryption import EncryptionSettings
from domain.stored_limits import MAX_DEVICES_PER_CHANNEL
from faults.catalog.floods import MAX_PASSWORD_SECONDS, MAX_SLOWDOWN, latency, measure_few_sends, p95
from faults.catalog.requests import TENANT
from faults.catalog.table import fault
from faults.load_generator import GeneratedSend
from faults.scenario import Scenario
from faults.type_specs import DEVICES
from faults.vendor.plan import FAILING_TOKEN
from storage.encryption import Encryption
from tests.storage.device_rows import REGISTER, device_rows

RECIPIENTS = 4
STORED = 900  # devices of each recipient, more than the API allows
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
async def many_devices(scenario: Scenario) -> None:
    """Send to four recipients with 900 devices: another tenant's passwords overtake them, and each uses 20 devices."""
    scenario.background_load.pause()
    await scenario.wait_until_all_ended()
    alone = await measure_few_sends(scenario, 1, password=True)
    sent = await _send_to_many_devices(scenario)
    during = await measure_few_sends(scenario, 1, password=True)
    scenario.background_load.resume()
    scenario.notes.append(f"passwords during {len(sent)} x {STORED} devices {latency(during)}, alone {latency(alone)}")
    scenario.checks["many_devices: the newest devices are used"] = lambda: _wrong(scenario, sent)
    limit = max(MAX_SLOWDOWN * p95(alone), MAX_PASSWORD_SECONDS)
    assert p95(during) <= limit, (
        f"passwords: p95 {p95(during):.3f} s during sends to many devices, at most {limit:.3f} s"
    )


async def _send_to_many_devices(scenario: Scenario) -> list[GeneratedSend]:
    run = f"{scenario.rand.getrandbits(32):08x}"
    recipients = [f"devices-{run}-{number}" for number in range(RECIPIENTS)]
    for recipient in recipients:
        await scenario.load_generator.tenants[0].ok("PUT", f"/recipients/{recipient}", {})
    tenant, encryption = await scenario.stack_database.one(TENANT), Encryption.from_settings(EncryptionSettings())
    for recipient in recipients:
        rows = device_rows(encryption, tenant, recipient, _tokens(recipient))
        await scenario.stack_database.rows(REGISTER.format(rows="$1"), rows)
    sends = (scenario.load_generator.send(DEVICES, recipient={"recipient_id": recipient}) for recipient in recipients)
    return list(await asyncio.gather(*sends))


def _tokens(recipient: str) -> list[str]:
    """Return tokens. The calls to every tenth one fail and are repeated."""
    words = [FAILING_TOKEN if number % 10 == 0 else "token" for number in range(1, STORED + 1)]
    return [f"{word}-{recipient}-{number}" for number, word in enumerate(words, start=1)]


async def _wrong(scenario: Scenario, sent: list[GeneratedSend]) -> list[dict[str, Any]]:
    return await scenario.stack_database.rows(
        WRONG, [each.id for each in sent], MAX_DEVICES_PER_CHANNEL, STORED - MAX_DEVICES_PER_CHANNEL
    )
