"""Vendors whose answers, records and receipts hold message ids that cannot be stored as they are."""

from tests.faults.acts.providers import MAILS, TEXTS, met, nothing_lost, some_of
from tests.faults.acts.table import fault
from tests.faults.pace import lasting
from tests.faults.scene import Scene
from tests.faults.vendor.moods import POISON

# What a worker logs when Postgres refuses what it is to record.
REFUSED = "cannot be recorded"


@fault
async def poisoned_vendor_answers(scene: Scene) -> None:
    """Message ids with NUL, of 4 kB, not UTF-8 or no string, in answers, look-ups and receipts: all are recorded."""
    sent = []
    for mood in POISON:
        await scene.close_circuits()  # some calls of the day before were reset
        async with scene.desk.day(mood, "sendgrid", "twilio"):
            sent += (some := await some_of(scene, (*MAILS, *TEXTS)))
            await lasting(scene.scale.moment / len(POISON))
            await met(scene, mood, some)
    nothing_lost(scene, "poisoned_vendor_answers", sent)

    async def refused() -> list[str]:
        logs = "".join(worker.child.log.read_text() for worker in scene.servers.workers)
        return [line for line in logs.splitlines() if REFUSED in line]

    scene.checks["poisoned_vendor_answers: every answer is recorded"] = refused
