"""Test that the sandbox posts many events at once, and polls at most ten times a second."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from sqlalchemy import text

from dispatch.sandbox_receipt_poster import BATCH_SIZE, MIN_INTERVAL, SandboxReceiptPoster
from providers.sandbox import Sandbox
from providers.transport import outgoing_client
from storage import sandbox
from storage.database import Database
from storage.sandbox import PostgresSandboxStore, seconds_to_next
from storage.statements import Executor
from testing.vendors.http import Reply
from tests.polling import eventually
from tests.receivers import EventReceiver, open_event_receiver

pytestmark = pytest.mark.postgres
SECRET = b"key"
DUE = text("""
INSERT INTO sandbox_receipt (id, message_id, attempt_id, kind, at, due_at)
SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'delivered', now(), now()
  FROM generate_series(1, :count)
""")
WAITING = text("SELECT count(*) FROM sandbox_receipt WHERE posted_at IS NULL")


@pytest.fixture
async def receiver() -> AsyncIterator[EventReceiver]:
    async with open_event_receiver() as receiver:
        yield receiver


@pytest.fixture
async def reports(database: Database, receiver: EventReceiver) -> AsyncIterator[SandboxReceiptPoster]:
    """Run the poster while nothing is due."""
    async with database.transaction() as session:
        await session.execute(text("TRUNCATE sandbox_receipt"))
    async with outgoing_client() as client:
        reports = SandboxReceiptPoster(database, client, receiver.url, SECRET)
        running = asyncio.create_task(reports.run())
        try:
            yield reports
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


async def make_due(database: Database, count: int) -> None:
    async with database.transaction() as session:
        await session.execute(DUE, {"count": count})


async def waiting(database: Database) -> int:
    async with database.transaction() as session:
        return int((await session.execute(WAITING)).scalar_one())


async def all_posted(database: Database) -> None:
    await eventually(lambda: waiting(database), lambda count: count == 0)


async def test_due_receipts_are_posted_in_batches_of_100_events(
    database: Database, receiver: EventReceiver, reports: SandboxReceiptPoster
) -> None:
    await make_due(database, 250)
    reports.wake()
    await all_posted(database)
    read = Sandbox(PostgresSandboxStore(database), SECRET).parse_receipts
    posted = [read(request.headers, request.body) for request in receiver.requests]
    assert [len(receipts) for receipts in posted] == [BATCH_SIZE, BATCH_SIZE, 50]
    assert len({receipt.attempt_id for receipts in posted for receipt in receipts}) == 250
    assert isinstance(json.loads(receiver.requests[0].body)["events"], list)


async def test_the_poster_polls_at_most_ten_times_a_second(
    reports: SandboxReceiptPoster, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[float] = []

    async def seen(session: Executor) -> float | None:
        looks.append(time.monotonic())
        return await seconds_to_next(session)

    async def woken() -> int:
        reports.wake()
        return len(looks)

    monkeypatch.setattr(sandbox, "seconds_to_next", seen)
    await eventually(woken, lambda count: count >= 11)
    # Fewer than ten intervals only by the delay of the first one, which may be long on a busy machine.
    assert looks[10] - looks[0] >= 5 * MIN_INTERVAL


async def test_events_of_a_failed_post_are_posted_again(
    database: Database, receiver: EventReceiver, reports: SandboxReceiptPoster
) -> None:
    receiver.reply = Reply(status=503)
    await make_due(database, 3)
    reports.wake()
    await receiver.wait_for_requests(1)
    assert await waiting(database) == 3
    receiver.reply = Reply(status=204)
    async with database.transaction() as session:
        await session.execute(text("UPDATE sandbox_receipt SET due_at = now()"))  # in place of five seconds
    await all_posted(database)
    first, *_, last = [json.loads(request.body)["events"] for request in receiver.requests]
    assert sorted(each["reference"] for each in first) == sorted(each["reference"] for each in last)
