"""Kill and stop workers at moments that the vendor log and the rows prove."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from faults.catalog.table import fault, outage
from faults.load_generator import GeneratedSend
from faults.pace import wait_seconds
from faults.scenario import Scenario
from faults.stack_process import StackProcess
from faults.type_specs import BROWSER, CHAT, ONCE_PUSH, RECONCILE_SMS, RESEND_PUSH
from faults.vendor.control import PUSH_AND_CHAT
from testing.vendors.modes import VendorMode

TAKEN_OVER = "SELECT count(*) FROM attempt WHERE notification_id::text = ANY($1) AND reason = 'worker_lost'"
# At least this share of a burst is in flight at the same moment. On a slow machine the first calls time out before the
# last begin.
MINIMUM_HELD_SHARE = 0.25


async def kill_workers(scenario: Scenario) -> None:
    await asyncio.gather(*(worker.kill() for worker in scenario.servers.workers))


async def start_workers(scenario: Scenario) -> None:
    await asyncio.gather(*(worker.start() for worker in scenario.servers.workers))


async def send_sms_burst(scenario: Scenario) -> list[GeneratedSend]:
    """Send at once to recipients without receipts: only Tocsin's rows and a lookup show the outcome."""
    return await scenario.load_generator.burst(
        scenario.scale.burst, RECONCILE_SMS, scenario.rand.randrange(2), "silent", priority=1
    )


async def send_to_devices_and_chats(scenario: Scenario) -> None:
    """Send where nothing shows the outcome of a call that was cut off: the guarantee decides."""
    types, few = (RESEND_PUSH, ONCE_PUSH, BROWSER, CHAT), max(1, scenario.scale.burst // 6)
    await asyncio.gather(*(scenario.load_generator.burst(few, each, number % 2) for number, each in enumerate(types)))


def minimum_held(sent: list[GeneratedSend]) -> int:
    return max(1, int(len(sent) * MINIMUM_HELD_SHARE))


@asynccontextmanager
async def burst_in_flight(
    scenario: Scenario, mode: VendorMode = VendorMode.HOLDS
) -> AsyncIterator[list[GeneratedSend]]:
    """Send bursts to vendors in that mode, and continue while many of their calls are in flight. Yield the SMS."""
    async with scenario.vendor_control.with_mode(mode, "twilio", *PUSH_AND_CHAT):
        await send_to_devices_and_chats(scenario)
        sent = await send_sms_burst(scenario)
        await asyncio.gather(
            scenario.vendor_control.wait_for_held_calls("twilio", minimum_held(sent)),
            scenario.vendor_control.wait_for_each(PUSH_AND_CHAT),
        )
        yield sent


def check_no_unknown_outcome(scenario: Scenario, name: str, sent: list[GeneratedSend]) -> None:
    async def unknown() -> list[str]:
        count = await scenario.count(sent, "unknown")
        return [f"{count} unknown"] if count else []

    scenario.checks[f"{name}: no outcome is unknown"] = unknown


@fault
async def killed_before_the_row(scenario: Scenario) -> None:
    """Kill the workers with -9 while they wait to write the attempt: no call was made, and no outcome is unknown."""
    async with scenario.stack_database.locked("attempt"):
        sent = await send_sms_burst(scenario)
        await scenario.stack_database.waiting("attempt", minimum_held(sent))
        await kill_workers(scenario)
    await start_workers(scenario)
    check_no_unknown_outcome(scenario, "killed_before_the_row", sent)


@fault
async def killed_after_the_row(scenario: Scenario) -> None:
    """Kill the workers with -9 when the row is written and the vendor has not accepted the message."""
    async with burst_in_flight(scenario, VendorMode.HANGS):
        await kill_workers(scenario)
    await start_workers(scenario)


@fault
async def killed_during_the_call(scenario: Scenario) -> None:
    """Kill the workers with -9 while the vendor, which has the message, holds the response."""
    async with burst_in_flight(scenario):
        await kill_workers(scenario)
    await start_workers(scenario)


@fault
async def killed_after_the_response(scenario: Scenario) -> None:
    """Kill the workers with -9 when the vendor has responded and the attempt row is locked."""
    async with AsyncExitStack() as lifted:
        async with burst_in_flight(scenario) as sent:
            await lifted.enter_async_context(scenario.stack_database.locked("attempt"))
        await scenario.stack_database.waiting("attempt", minimum_held(sent))
        await kill_workers(scenario)
    await start_workers(scenario)


@fault
async def killed_after_the_commit(scenario: Scenario) -> None:
    """Kill the workers with -9 when the outcome is committed and Temporal does not have it."""
    async with AsyncExitStack() as lifted:
        async with burst_in_flight(scenario) as sent:
            lifted.enter_context(scenario.stack_process("temporal").frozen())
        # On a slow machine, some calls time out before their response.
        await scenario.wait_for_attempts(sent, minimum_held(sent), "accepted", "unknown")
        await kill_workers(scenario)
    await start_workers(scenario)


@fault
async def stopped_past_the_timeout(scenario: Scenario) -> None:
    """Freeze a worker (SIGSTOP) during its calls until another has taken over; then SIGCONT."""
    first, second = scenario.servers.workers
    await second.stop()
    async with AsyncExitStack() as lifted:
        async with burst_in_flight(scenario) as sent:
            lifted.enter_context(first.frozen())
        await second.start()
        ids = [each.id for each in sent]
        await scenario.stack_database.until_true(lambda: _any(scenario, ids), within=40)


async def _any(scenario: Scenario, ids: list[str]) -> bool:
    return bool(await scenario.stack_database.one(TAKEN_OVER, ids))


@fault
async def stopped_by_sigterm(scenario: Scenario) -> None:
    """Send SIGTERM to all workers under load: they finish their calls, and no outcome is unknown."""
    async with burst_in_flight(scenario) as sent:
        stopping = [asyncio.create_task(_stopped(worker)) for worker in scenario.servers.workers]
        await wait_seconds(0.3)
    codes = await asyncio.gather(*stopping)
    await start_workers(scenario)
    assert codes == [0, 0], f"exit codes {codes}"
    check_no_unknown_outcome(scenario, "stopped_by_sigterm", sent)


async def _stopped(worker: StackProcess) -> int | None:
    return await worker.stop()


@outage
async def all_workers_down(scenario: Scenario) -> None:
    """Stop all workers for 20 s, minutes in the long run: everything is accepted, and sent afterwards."""
    await kill_workers(scenario)
    sent = await send_sms_burst(scenario)
    await wait_seconds(scenario.scale.outage)
    assert await scenario.count(sent, "accepted") == 0
    await start_workers(scenario)
