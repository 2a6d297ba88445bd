"""Vendors whose answers, records and receipts hold message ids that cannot be stored as they are."""

from tests.faults.catalog.providers import MAILS, TEXTS, check_everything_arrived, met, send_some
from tests.faults.catalog.table import fault
from tests.faults.pace import wait_seconds
from tests.faults.scenario import Scenario
from tests.faults.vendor.modes import POISONED_MODES

# What a worker logs when Postgres refuses what it is to record.
REFUSED = "cannot be recorded"


@fault
async def poisoned_vendor_answers(scenario: Scenario) -> None:
    """Message ids with NUL, of 4 kB, not UTF-8 or no string, in answers, look-ups and receipts: all are recorded."""
    sent = []
    for mode in POISONED_MODES:
        await scenario.close_circuits()  # some calls of the day before were reset
        async with scenario.vendor_control.with_mode(mode, "sendgrid", "twilio"):
            sent += (some := await send_some(scenario, (*MAILS, *TEXTS)))
            await wait_seconds(scenario.scale.moment / len(POISONED_MODES))
            await met(scenario, mode, some)
    check_everything_arrived(scenario, "poisoned_vendor_answers", sent)

    async def refused() -> list[str]:
        logs = "".join(worker.child.log.read_text() for worker in scenario.servers.workers)
        return [line for line in logs.splitlines() if REFUSED in line]

    scenario.checks["poisoned_vendor_answers: every answer is recorded"] = refused
