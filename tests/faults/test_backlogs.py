"""Send during backlogs of thousands: at a slow provider, at a hanging one, due in the same second.

Limits are multiples of the time of the same sends on the same machine without a backlog. On a busy machine they grow by
as much as a busy process is slower there.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import pytest

from faults.latency import machine_slowdown, measure_sends
from faults.load_generator import LoadGenerator, open_load_generator
from faults.servers import REAL_WORKER, Servers, running_servers
from faults.stack_database import StackDatabase
from faults.type_specs import TypeSpec, step
from testing.vendors.modes import VendorMode

pytestmark = [pytest.mark.postgres, pytest.mark.temporal, pytest.mark.long, pytest.mark.timeout(3600)]

LONG_RETRY = {"delivery_guarantee": "at_least_once", "give_up_after": "12h"}
TEXT = TypeSpec(key="slow-text", steps=(step("sms"),), more=LONG_RETRY)
MAIL = TypeSpec(key="hanging-mail", steps=(step("email"),), more=LONG_RETRY)
HOOK = TypeSpec(key="other-hook", steps=(step("webhook"),), more=LONG_RETRY)
SETTINGS = {"EMAIL_PROVIDERS": "sendgrid", "TWILIO_RATE": "1"}
PASSWORD = TypeSpec(key="password-hook", steps=(step("webhook"),), more={**LONG_RETRY, "priority": 1})
MEASURED = 15
AT_SLOW, AT_HANGING, AT_ONCE = 5_000, 500, 5_000
ORDINARY_TIMES, URGENT_TIMES = 3.0, 4.0
# Accepting them takes a part of it; their workflows are started in the rest.
DUE_IN = timedelta(seconds=60)
OPEN = """
SELECT count(*) FROM notification WHERE notification_type = $1 AND finished_at IS NULL
"""
BEING_STARTED = "SELECT count(*) FROM queue_entry WHERE started_at IS NULL"
START_TIMEOUT = 1_200.0
IS_PAST = "SELECT clock_timestamp() > CAST($1::text AS timestamptz)"


@dataclass(frozen=True, kw_only=True)
class BacklogStack:
    servers: Servers
    stack_database: StackDatabase
    load_generator: LoadGenerator

    async def seconds(self, type_spec: TypeSpec) -> float:
        """Return the median of some consecutive sends."""
        return median(await measure_sends(self.load_generator, self.stack_database, type_spec, MEASURED))


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[BacklogStack]:
    settings = dict.fromkeys(("api", "worker-1", "worker-2"), SETTINGS)
    async with (
        running_servers(tmp_path / "data", REAL_WORKER, settings, with_proxies=False) as servers,
        open_load_generator(servers) as load_generator,
    ):
        for type_spec in (TEXT, MAIL, HOOK, PASSWORD):
            await load_generator.tenants[0].add(type_spec)
        stack_database = StackDatabase(servers.info.database_url)
        yield BacklogStack(servers=servers, stack_database=stack_database, load_generator=load_generator)
        await stack_database.close()


async def test_backlogs_of_slow_providers_delay_other_sends_less_than_a_third(stack: BacklogStack) -> None:
    servers, load_generator = stack.servers, stack.load_generator
    await stack.seconds(HOOK)  # a warm-up
    idle, slowdown = await stack.seconds(HOOK), await machine_slowdown()
    async with servers.vendor_control.with_mode(VendorMode.HANGS, "sendgrid"):
        await load_generator.batch(AT_HANGING, MAIL)
        await load_generator.batch(AT_SLOW, TEXT)
        # Until then they take CPU time and slots, as any backlog does.
        await stack.stack_database.until(BEING_STARTED, is_=0, within=START_TIMEOUT)
        loaded = await stack.seconds(HOOK)
        left = [await stack.stack_database.one(OPEN, type_spec.key) for type_spec in (MAIL, TEXT)]
    assert min(left) > 0, f"a backlog was over before the last send: {left}"
    assert loaded <= ORDINARY_TIMES * idle * slowdown, f"{loaded:.2f} s, and {idle:.2f} s without; {slowdown:.1f}"


async def test_thousands_that_are_due_in_the_same_second_delay_no_password(stack: BacklogStack) -> None:
    await stack.seconds(PASSWORD)  # a warm-up
    idle, slowdown = await stack.seconds(PASSWORD), await machine_slowdown()
    due_at = (datetime.now(UTC) + DUE_IN).isoformat()
    await stack.load_generator.batch(AT_ONCE, HOOK, send_at=due_at)
    await stack.stack_database.until(IS_PAST, due_at, is_=True, within=2 * DUE_IN.total_seconds())
    loaded = await stack.seconds(PASSWORD)
    assert await stack.stack_database.one(OPEN, HOOK.key) > 0, "the backlog was over before the last send"
    assert loaded <= URGENT_TIMES * idle * slowdown, f"{loaded:.2f} s, and {idle:.2f} s without; {slowdown:.1f}"
