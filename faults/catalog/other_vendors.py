"""Send through the vendors that no other fault uses: Mailgun, SES, Resend and Vonage."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from faults.catalog.providers import MAILS, TEXTS, send_some, wait_for_calls
from faults.catalog.table import fault
from faults.catalog.workers import kill_workers, start_workers
from faults.scenario import Scenario
from faults.vendor.control import OTHER_VENDORS
from testing.vendors.modes import VendorMode

# The usual vendors stay, for the sends that were planned before.
POOLS = {
    "EMAIL_PROVIDERS": "mailgun=32,ses=32,resend=32,sendgrid=2,smtp=2",
    "SMS_PROVIDERS": "vonage,twilio",
}


@fault
async def other_vendors_lose_responses(scenario: Scenario) -> None:
    """Send by Mailgun, SES, Resend and Vonage: they reset connections after acceptance, then workers are killed."""
    async with _other_pools(scenario):
        began = time.time()
        async with scenario.vendor_control.with_mode(VendorMode.LOSES, *OTHER_VENDORS):
            await _send_many(scenario)
            await wait_for_calls(scenario, VendorMode.LOSES, began, OTHER_VENDORS)
        await scenario.close_circuits()
        async with scenario.vendor_control.with_mode(VendorMode.HOLDS, *OTHER_VENDORS):
            await _send_many(scenario)
            await scenario.vendor_control.wait_for_each(OTHER_VENDORS)
            await kill_workers(scenario)
        await start_workers(scenario)


async def _send_many(scenario: Scenario) -> None:
    """Send so many emails that each provider of the pool gets some."""
    await asyncio.gather(send_some(scenario, (*MAILS, *TEXTS)), send_some(scenario, MAILS))


@asynccontextmanager
async def _other_pools(scenario: Scenario) -> AsyncIterator[None]:
    """Change the pools of both workers, and wait at the end until nothing is planned with these providers."""
    await _change_settings(scenario, **POOLS)
    try:
        yield
    finally:
        await scenario.servers.restart_dead_processes()
        scenario.background_load.pause()
        await scenario.wait_until_all_ended()
        await _change_settings(scenario)
        scenario.background_load.resume()


async def _change_settings(scenario: Scenario, **settings: str) -> None:
    await asyncio.gather(*(worker.change_settings(**settings) for worker in scenario.servers.workers))
