"""Repeat, reverse, advance and delay receipts."""

import asyncio
from datetime import timedelta

from faults.catalog.table import fault
from faults.pace import wait_seconds
from faults.scenario import Scenario
from faults.type_specs import BROWSER, ESCALATION, RECONCILE_EMAIL, RECONCILE_SMS
from testing.vendors.receipts import ReceiptStyle

WEEKS = timedelta(weeks=3)
OVER = "SELECT count(*) FROM notification WHERE id::text = ANY($1) AND finished_at IS NOT NULL"
AGED = """
WITH n AS (UPDATE notification SET created_at = created_at - $2::interval, finished_at = finished_at - $2::interval
            WHERE id::text = ANY($1)),
     d AS (UPDATE delivery SET created_at = created_at - $2::interval, sent_at = sent_at - $2::interval
            WHERE notification_id::text = ANY($1))
UPDATE attempt SET started_at = started_at - $2::interval, finished_at = finished_at - $2::interval,
       sent_at = sent_at - $2::interval WHERE notification_id::text = ANY($1)
"""
WRONG = "SELECT id::text, status FROM notification WHERE id::text = ANY($1) AND status <> ALL($2)"


def add_receipt_fault(name: str, what: str, style: ReceiptStyle) -> None:
    async def inject(scenario: Scenario) -> None:
        async with scenario.vendor_control.reporting(style):
            words = [scenario.rand.choice(("", "open")) for _ in range(scenario.scale.burst)]
            kinds = (RECONCILE_EMAIL, RECONCILE_SMS, ESCALATION, BROWSER)
            await asyncio.gather(
                *(scenario.load_generator.send(kinds[at % 4], at % 2, word) for at, word in enumerate(words))
            )
            await wait_seconds(scenario.scale.moment / 2)

    inject.__name__, inject.__doc__ = name, what
    fault(inject)


add_receipt_fault("receipts_duplicated", "Send every receipt three times.", ReceiptStyle.DUPLICATED)
add_receipt_fault("receipts_reversed", "Report opened before delivered.", ReceiptStyle.REVERSED)
add_receipt_fault(
    "receipts_early",
    "Send receipts before the response to the call, and so before Tocsin's own commit.",
    ReceiptStyle.EARLY,
)


@fault
async def receipts_weeks_late(scenario: Scenario) -> None:
    """Send receipts of messages that were sent, and finished, three weeks ago."""
    async with scenario.vendor_control.reporting(ReceiptStyle.WITHHELD):
        sent = await scenario.load_generator.burst(scenario.scale.burst, RECONCILE_SMS)
        ids = [each.id for each in sent]
        await scenario.stack_database.until(OVER, ids, is_=len(ids), within=30)
        await scenario.stack_database.rows(AGED, ids, WEEKS)
        scenario.load_generator.forget_keys(sent)  # keys are held for one day

    async def find_unapplied() -> list[str]:
        return [str(row) for row in await scenario.stack_database.rows(WRONG, ids, ["DELIVERED"])]

    scenario.checks["receipts_weeks_late: every receipt is applied"] = find_unapplied
