"""Cancel and opt out while a message is being sent."""

import asyncio
import time

from faults.catalog.table import fault
from faults.load_generator import GeneratedSend
from faults.pace import wait_seconds
from faults.scenario import Scenario
from faults.type_specs import RECONCILE_EMAIL, RECONCILE_SMS

MAX_DELAY = 1.5
RACES = 2  # bursts
ATTEMPTS = """
SELECT id::text AS attempt, notification_id::text AS id FROM attempt WHERE notification_id::text = ANY($1)
"""
STARTED = """
SELECT a.id::text, extract(epoch FROM a.started_at) AS at FROM attempt a WHERE a.notification_id::text = $1
"""


@fault
async def cancel_races_with_send(scenario: Scenario) -> None:
    """Cancel at random moments: a `stopped` message was never sent, an `already_sent` one was."""
    responses: dict[str, str] = {}

    async def race() -> None:
        sent = await scenario.load_generator.send(RECONCILE_SMS, 0, "silent")
        await wait_seconds(scenario.rand.uniform(0, MAX_DELAY))
        response = await scenario.load_generator.tenants[0].ok("POST", f"/notifications/{sent.id}/cancel")
        responses[sent.id] = response["channels"]["sms"]

    await asyncio.gather(*(race() for _ in range(RACES * scenario.scale.burst)))

    async def find_wrong_responses() -> list[str]:
        rows = await scenario.stack_database.rows(ATTEMPTS, list(responses))
        of = {row["attempt"]: row["id"] for row in rows}
        kept = {of[reference] for reference in scenario.vendor_control.references("kept") if reference in of}
        return [
            f"{id}: {word}"
            for id, word in responses.items()
            if (word == "stopped" and id in kept) or (word == "already_sent" and id not in kept)
        ]

    scenario.notes.append("canceled: " + ", ".join(f"{word} {count}" for word, count in _counted(responses)))
    scenario.checks["cancel_races_with_send: the response was correct"] = find_wrong_responses


def _counted(responses: dict[str, str]) -> list[tuple[str, int]]:
    words = list(responses.values())
    return [(word, words.count(word)) for word in sorted(set(words))]


@fault
async def opt_out_races_with_send(scenario: Scenario) -> None:
    """Opt out at random moments: no call starts after an opt-out was committed, except calls already in flight."""
    committed: dict[str, float] = {}

    async def race() -> None:
        sent: GeneratedSend = await scenario.load_generator.send(RECONCILE_EMAIL, 1, "silent")
        await wait_seconds(scenario.rand.uniform(0, MAX_DELAY))
        path = f"/recipients/{sent.recipient}/preferences"
        await scenario.load_generator.tenants[1].ok("PATCH", path, {"global_channel_opt_in": {"email": False}})
        committed[sent.id] = time.time()

    await asyncio.gather(*(race() for _ in range(RACES * scenario.scale.burst)))

    async def find_late_calls() -> list[str]:
        found = []
        for id, moment in committed.items():
            found += [row["id"] for row in await scenario.stack_database.rows(STARTED, id) if float(row["at"]) > moment]
        return found

    scenario.checks["I8 opt_out_races_with_send: no call after the opt-out"] = find_late_calls
