"""Simulate failing vendors with real responses on a real connection, then outages, and measure how the backlog
drains.
"""

import asyncio
import time
from collections import Counter
from itertools import dropwhile
from typing import Any

from faults.background_load import running_background_load
from faults.catalog.table import fault, outage
from faults.environment import RESUME_RATE
from faults.load_generator import GeneratedSend
from faults.pace import wait_seconds
from faults.scenario import Scenario
from faults.type_specs import (
    BROWSER,
    CHAT,
    ONCE_PUSH,
    PASSWORD,
    RECONCILE_EMAIL,
    RECONCILE_SMS,
    RESEND_EMAIL,
    RESEND_PUSH,
    RESEND_SMS,
    TypeSpec,
)
from faults.vendor.control import HTTP_VENDORS, PUSH_AND_CHAT
from testing.vendors.modes import VendorMode
from tests.polling import eventually

MAILS, TEXTS = (RECONCILE_EMAIL, RESEND_EMAIL), (RECONCILE_SMS, RESEND_SMS, PASSWORD)
PUSHES = (RESEND_PUSH, ONCE_PUSH)
STATE = "SELECT state FROM provider_health WHERE provider = $1"
OPENED = "SELECT count(*) FROM provider_health WHERE provider = ANY($1) AND state <> 'closed'"
REASON = "SELECT reason FROM provider_health WHERE provider = $1 AND state <> 'closed'"
REFUSED = "SELECT DISTINCT provider FROM attempt WHERE reason = 'connect_failed' AND started_at >= to_timestamp($1)"
# A worker killed during a call by the next fault leaves an IN_DOUBT notification, which is recorded and not lost.
LOST = """
SELECT id::text, status, failure_reason FROM notification
 WHERE id::text = ANY($1) AND status NOT IN ('SENT', 'DELIVERED', 'OPENED', 'IN_DOUBT')
"""
# Each is the only provider for some address. A few emails may all go to one of two providers.
CALLED_VENDORS = ("twilio", *PUSH_AND_CHAT)
MAILS_PER_SECOND, TEXTS_PER_SECOND = 5.0, 3.0
# Calls per second that the other senders of the run, and repetitions, may add.
OTHER_CALLS_PER_SECOND = 8
SHOWN = 15  # seconds
LOOKED_AT = 6.0  # seconds of measurement after a recovery


async def send_some(scenario: Scenario, kinds: tuple[TypeSpec, ...]) -> list[GeneratedSend]:
    """Send a burst over all types and both tenants, with and without receipts."""
    sends = [
        scenario.load_generator.send(kinds[number % len(kinds)], number % 2, scenario.rand.choice(("", "silent")))
        for number in range(scenario.scale.burst)
    ]
    return list(await asyncio.gather(*sends))


def add_vendor_fault(name: str, what: str, *modes: VendorMode) -> None:
    """Add a fault that sets these modes, one after the other, for all HTTP vendors."""

    async def inject(scenario: Scenario) -> None:
        for mode in modes:
            began = time.time()
            async with scenario.vendor_control.with_mode(mode, *HTTP_VENDORS):
                await send_some(scenario, (*MAILS, *TEXTS, *PUSHES, BROWSER, CHAT))
                await wait_seconds(scenario.scale.moment / len(modes))
                await wait_for_calls(scenario, mode, began)

    inject.__name__, inject.__doc__ = name, what
    fault(inject)


async def wait_for_calls(
    scenario: Scenario, mode: VendorMode, since: float, vendors: tuple[str, ...] = CALLED_VENDORS
) -> None:
    """Wait until each vendor has logged a call in this mode since then. If no server listens, wait for rows."""

    async def called() -> set[str]:
        if mode is VendorMode.CLOSED:
            return {row["provider"] for row in await scenario.stack_database.rows(REFUSED, since)}
        calls = scenario.vendor_control.ledger.of("call")
        return {entry["provider"] for entry in calls if entry["mode"] == mode and entry["at"] >= since}

    await eventually(called, lambda names: names >= set(vendors), within=20)


THROTTLED = (
    VendorMode.THROTTLES_SECONDS,
    VendorMode.THROTTLES_DATE,
    VendorMode.THROTTLES_ABSURD,
    VendorMode.THROTTLES_BARE,
)
add_vendor_fault(
    "throttled", "Return 429 with Retry-After in seconds, as a date, as nonsense, and without it.", *THROTTLED
)
add_vendor_fault("server_error", "Return 500 for everything, and accept nothing.", VendorMode.FAILS)
add_vendor_fault("accepted_then_500", "Accept the message and return 500.", VendorMode.ACCEPTS_AND_FAILS)
add_vendor_fault("accepted_then_reset", "Accept the message and reset the connection.", VendorMode.LOSES)
add_vendor_fault("accepted_then_hang", "Accept the message and never respond.", VendorMode.ACCEPTS_AND_HANGS)
add_vendor_fault("slow_loris", "Accept the message and send the response one byte at a time.", VendorMode.DRIPS)
add_vendor_fault("malformed_response", "Return 2xx with an unreadable body.", VendorMode.GARBLES)
add_vendor_fault("redirected", "Return 307 to another address.", VendorMode.REDIRECTS)
add_vendor_fault("ten_megabytes", "Return 2xx with ten megabytes.", VendorMode.FLOODS)
add_vendor_fault("connection_refused", "No server listens on the vendor's port.", VendorMode.CLOSED)


@fault
async def credentials_revoked(scenario: Scenario) -> None:
    """Refuse the credentials for a time: circuits open, and another provider sends the email."""
    async with scenario.vendor_control.with_mode(VendorMode.BREAKS, "sendgrid", *PUSH_AND_CHAT):
        await send_some(scenario, (*PUSHES, BROWSER, CHAT))
        sent = await send_some(scenario, MAILS) + await send_some(scenario, MAILS)
        await eventually(
            lambda: scenario.stack_database.one(REASON, "sendgrid"), lambda why: why == "credentials_refused"
        )
        await eventually(lambda: scenario.stack_database.one(OPENED, ["fcm", "apns"]), lambda count: count == 2)
    check_everything_arrived(scenario, "credentials_revoked", sent)


@outage
async def outage_of_one_of_two(scenario: Scenario) -> None:
    """Stop one of two email providers for 20 s under load: the other sends everything, and no burst follows."""
    async with running_background_load(
        lambda: scenario.load_generator.send(RECONCILE_EMAIL, word="silent"), MAILS_PER_SECOND, scenario.rand
    ) as load:
        async with scenario.vendor_control.with_mode(VendorMode.CLOSED, "sendgrid"):
            began = time.time()
            await wait_seconds(scenario.scale.outage)
        back = time.time()
        # A circuit that was open for long is probed less and less often.
        await eventually(
            lambda: scenario.stack_database.one(STATE, "sendgrid"),
            lambda state: state == "closed",
            scenario.scale.deadline,
        )
        closed = time.time()
        await wait_seconds(LOOKED_AT)
    carried, returned = (
        calls_per_second(scenario, "smtp", began, back),
        calls_per_second(scenario, "sendgrid", back, time.time()),
    )
    scenario.notes.append(
        f"sendgrid unavailable for {back - began:.0f} s: smtp sent {sum(carried) / len(carried):.1f}/s; circuit closed "
        f"{closed - back:.0f} s after the return, calls at sendgrid in each second: "
        f"{format_counts(returned, closed - back)}"
    )
    assert max(returned) <= 2 * MAILS_PER_SECOND + OTHER_CALLS_PER_SECOND, f"a burst of calls: {returned}"
    check_everything_arrived(scenario, "outage_of_one_of_two", load.sent)


@outage
async def outage_of_the_only_one(scenario: Scenario) -> None:
    """Stop the only SMS provider for 20 s under load: the backlog drains at the resume rate, and nothing is lost."""
    async with running_background_load(
        lambda: scenario.load_generator.send(RECONCILE_SMS, word="silent"), TEXTS_PER_SECOND, scenario.rand
    ) as load:
        async with scenario.vendor_control.with_mode(VendorMode.CLOSED, "twilio"):
            began = time.time()
            await wait_seconds(scenario.scale.outage)
        back = time.time()
    await scenario.wait_for_attempts(load.sent, len(load.sent), "accepted", within=scenario.scale.deadline)
    drain = calls_per_second(scenario, "twilio", back, time.time())
    scenario.notes.append(
        f"twilio unavailable for {back - began:.0f} s, {len(load.sent)} texts; "
        f"calls in each second, from the first after its return: {format_counts(drain)}"
    )
    assert max(drain) <= RESUME_RATE * 1.2 + OTHER_CALLS_PER_SECOND, f"a burst of calls: {drain}"
    check_everything_arrived(scenario, "outage_of_the_only_one", load.sent)


def calls_per_second(scenario: Scenario, provider: str, since: float, until: float) -> list[int]:
    """Count the calls in each second of the interval, by the vendor log."""
    seen = Counter(int(entry["at"] - since) for entry in scenario.vendor_control.ledger.of("call", provider))
    return [seen[second] for second in range(max(1, int(until - since)))]


def format_counts(counts: list[int], since: float = 0.0) -> str:
    """List the counts from the first second with a call after `since` seconds."""
    shown = list(dropwhile(lambda count: not count, counts[int(since) :]))
    return " ".join(map(str, shown[:SHOWN])) + (" ..." if len(shown) > SHOWN else "")


def check_everything_arrived(scenario: Scenario, name: str, sent: list[GeneratedSend]) -> None:
    async def lost() -> list[dict[str, Any]]:
        return await scenario.stack_database.rows(LOST, [each.id for each in sent])

    scenario.checks[f"{name}: everything arrived"] = lost
