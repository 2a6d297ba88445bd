"""Return message ids that Postgres cannot store unchanged, in responses, records and receipts."""

import time

from faults.catalog.providers import MAILS, PUSHES, TEXTS, check_everything_arrived, send_some, wait_for_calls
from faults.catalog.table import fault
from faults.pace import wait_seconds
from faults.scenario import Scenario
from testing.vendors.modes import POISONED_MODES

# A worker logs this when Postgres refuses a record.
REFUSED = "cannot be recorded"


@fault
async def poisoned_vendor_responses(scenario: Scenario) -> None:
    """Return message ids with NUL, of 4 kB, not UTF-8 or not a string, in any response: all are recorded."""
    sent = []
    for mode in POISONED_MODES:
        began = time.time()
        await scenario.close_circuits()  # calls of the previous mode were reset
        async with scenario.vendor_control.with_mode(mode, "sendgrid", "twilio", "fcm"):
            sent += await send_some(scenario, (*MAILS, *TEXTS, *PUSHES))
            await wait_seconds(scenario.scale.moment / len(POISONED_MODES))
            await wait_for_calls(scenario, mode, began, ("twilio", "fcm"))
    check_everything_arrived(scenario, "poisoned_vendor_responses", sent)

    async def find_refused_records() -> list[str]:
        logs = "".join(worker.child.log.read_text() for worker in scenario.servers.workers)
        return [line for line in logs.splitlines() if REFUSED in line]

    scenario.checks["poisoned_vendor_responses: every response is recorded"] = find_refused_records
