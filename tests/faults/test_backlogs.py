"""Sends beside thousands of others: at a slow provider, at one that hangs, due in the same second.

Limits are multiples of what the same sends take on the same machine while nothing else is sent. On a machine on which
others work they are larger by as much as a busy process is slower there.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import pytest

from tests.faults.books import Books
from tests.faults.crowd import Crowd, open_crowd
from tests.faults.kinds import Kind, step
from tests.faults.latency import crowding, seconds_each
from tests.faults.servers import REAL_WORKER, Servers, serving
from tests.faults.vendor.moods import Mood

pytestmark = [pytest.mark.postgres, pytest.mark.temporal, pytest.mark.long, pytest.mark.timeout(3600)]

PATIENT = {"delivery_guarantee": "at_least_once", "give_up_after": "12h"}
TEXT = Kind(key="slow-text", steps=(step("sms"),), more=PATIENT)
MAIL = Kind(key="hanging-mail", steps=(step("email"),), more=PATIENT)
HOOK = Kind(key="other-hook", steps=(step("webhook"),), more=PATIENT)
SETTINGS = {"EMAIL_PROVIDERS": "sendgrid", "TWILIO_RATE": "1"}
PASSWORD = Kind(key="password-hook", steps=(step("webhook"),), more={**PATIENT, "priority": 1})
MEASURED = 15
AT_SLOW, AT_HANGING, AT_ONCE = 5_000, 500, 5_000
ORDINARY_TIMES, URGENT_TIMES = 3.0, 4.0
# Accepting them takes a part of it; their workflows are started in the rest.
DUE_IN = timedelta(seconds=60)
OPEN = """
SELECT count(*) FROM notification WHERE notification_type = $1 AND finished_at IS NULL
"""
BEING_STARTED = "SELECT count(*) FROM queue_entry WHERE started_at IS NULL"
STARTED_WITHIN = 1_200.0
IS_PAST = "SELECT clock_timestamp() > CAST($1::text AS timestamptz)"


@dataclass(frozen=True, kw_only=True)
class Stage:
    servers: Servers
    books: Books
    crowd: Crowd

    async def seconds(self, kind: Kind) -> float:
        """The median of some sends, one after the other."""
        return median(await seconds_each(self.crowd, self.books, kind, MEASURED))


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    settings = dict.fromkeys(("api", "worker-1", "worker-2"), SETTINGS)
    async with serving(tmp_path / "data", REAL_WORKER, settings) as servers, open_crowd(servers) as crowd:
        for kind in (TEXT, MAIL, HOOK, PASSWORD):
            await crowd.tenants[0].add(kind)
        books = Books(servers.info.database_url)
        yield Stage(servers=servers, books=books, crowd=crowd)
        await books.close()


async def test_backlogs_at_a_slow_and_at_a_hanging_provider_delay_no_send_by_a_third(stage: Stage) -> None:
    servers, crowd = stage.servers, stage.crowd
    await stage.seconds(HOOK)  # a warm-up
    idle, crowded = await stage.seconds(HOOK), await crowding()
    async with servers.desk.day(Mood.STALL, "sendgrid"):
        await crowd.batch(AT_HANGING, MAIL)
        await crowd.batch(AT_SLOW, TEXT)
        # Until then they take CPU time and slots, as any backlog does.
        await stage.books.until(BEING_STARTED, is_=0, within=STARTED_WITHIN)
        beside = await stage.seconds(HOOK)
        left = [await stage.books.one(OPEN, kind.key) for kind in (MAIL, TEXT)]
    assert min(left) > 0, f"a backlog was over before the last send: {left}"
    assert beside <= ORDINARY_TIMES * idle * crowded, f"{beside:.2f} s, and {idle:.2f} s without; {crowded:.1f}"


async def test_thousands_that_are_due_in_the_same_second_delay_no_password(stage: Stage) -> None:
    await stage.seconds(PASSWORD)  # a warm-up
    idle, crowded = await stage.seconds(PASSWORD), await crowding()
    due_at = (datetime.now(UTC) + DUE_IN).isoformat()
    await stage.crowd.batch(AT_ONCE, HOOK, send_at=due_at)
    await stage.books.until(IS_PAST, due_at, is_=True, within=2 * DUE_IN.total_seconds())
    beside = await stage.seconds(PASSWORD)
    assert await stage.books.one(OPEN, HOOK.key) > 0, "the backlog was over before the last send"
    assert beside <= URGENT_TIMES * idle * crowded, f"{beside:.2f} s, and {idle:.2f} s without; {crowded:.1f}"
