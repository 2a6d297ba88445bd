"""`deliver`: guard, send, record. Called again it never sends again, and whatever it is told arrives in the rows."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from dispatch.receipts import ReceiptApplier
from domain import clock
from domain.channels import Channel, DeviceKind
from domain.evidence import AttemptState
from domain.messages import DeliverResult, Result
from domain.reasons import line
from domain.statuses import DeliveryStatus, NotificationStatus
from providers.outcomes import Accepted, Refused
from storage import devices, erasures, preferences, receipts
from storage.database import Database
from storage.devices import NewDevice
from storage.outages import DATABASE_ERRORS
from storage.receipts import StoredReceipt
from tests.activities.conftest import Counter
from tests.polling import eventually
from tests.storage.databases import own_database
from tests.storage.locks import until_blocked
from tests.storage.sends import Desk, Sent, open_desk

pytestmark = pytest.mark.postgres
AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
R, N, D = Result, NotificationStatus, DeliveryStatus


async def attempts(sent: Sent) -> list[tuple[int, str, str | None]]:
    return sorted((row["number"], row["state"], row["error_type"]) for row in await sent.rows("attempt"))


async def kept(sent: Sent) -> int:
    return len(await sent.rows("sandbox_message"))


async def refused(counter: Counter, sent: Sent, status: DeliveryStatus | None, reason: str | None) -> None:
    """The guard said no: nobody was called, and there is no trace of a call."""
    before = await sent.row()
    told = await counter.deliver(sent.call())
    assert (told.result, told.stopped_as, line(told.why)) == (R.STOPPED, status, reason or "stopped")
    assert counter.sandbox.calls == []
    assert await sent.rows("attempt") == []
    assert await sent.row() == before


async def test_an_accepted_message_is_recorded_on_every_row_with_the_end(counter: Counter, sent: Sent) -> None:
    told = await counter.deliver(sent.call())
    assert (told.result, told.status, told.finished, told.recorded) == (R.ACCEPTED, N.SENT, True, True)
    assert await attempts(sent) == [(1, "accepted", None)]
    row = await sent.row()
    assert (row["status"], row["finished_at"] is not None) == ("SENT", True)
    [delivery] = await sent.rows("delivery")
    assert (delivery["status"], delivery["provider_message_id"]) == ("SENT", told.provider_message_id)
    assert [event["kind"] for event in await sent.rows("event")] == ["accepted", "rendered", "sent"]


@pytest.mark.parametrize("off", [timedelta(days=1), timedelta(days=-1)])
async def test_a_worker_whose_clock_is_a_day_off_records_when_it_was(
    counter: Counter, database: Database, monkeypatch: pytest.MonkeyPatch, off: timedelta
) -> None:
    """A step that waits for its goal counts from there."""
    monkeypatch.setattr(clock, "_ahead", off)
    lost = await (await open_desk(database, {"email": "ada+lost@example.com"})).send()
    await counter.deliver(lost.call())
    counter.sandbox.found = [Accepted(message_id=str(uuid4()))]
    found = await counter.look_up(lost.call())
    sent = await (await open_desk(database)).send()
    accepted = await counter.deliver(sent.call())
    for told in (accepted, found):
        assert told.sent_at is not None
        assert abs(datetime.now(UTC) - told.sent_at) < timedelta(minutes=1)


async def test_with_more_to_come_an_acceptance_does_not_end_it(counter: Counter, sent: Sent) -> None:
    told = await counter.deliver(sent.call(ends=False))
    assert (told.status, told.finished) == (N.SENT, False)
    assert (await sent.row())["finished_at"] is None


async def test_the_vendor_gets_our_reference_and_the_rendered_words(counter: Counter, sent: Sent) -> None:
    await counter.deliver(sent.call())
    [message] = counter.sandbox.calls
    assert (message.attempt_id, message.delivery_id) == (sent.attempt(), sent.delivery())
    assert (message.address, message.content) == ({"email": sent.desk.contact["email"]}, {"subject": "Hi"})


async def test_the_row_is_there_before_the_vendor_is_called(counter: Counter, sent: Sent) -> None:
    """I4, and no connection is held meanwhile: the row is committed."""
    seen: list[Any] = []

    async def look() -> None:
        seen.extend(await attempts(sent))

    counter.sandbox.afterwards = look
    await counter.deliver(sent.call())
    assert seen == [(1, "submitting", None)]


@pytest.mark.parametrize(
    ("word", "result", "state", "error_type"),
    [
        ("refuse", R.REFUSED, "refused", "refused"),
        ("error", R.NOT_ACCEPTED, "not_accepted", "temporary"),
        ("broken", R.PERMANENT, "not_accepted", "permanent"),
        ("lost", R.UNKNOWN, "unknown", "unknown"),
    ],
)
async def test_every_other_answer_leaves_the_notification_open(
    counter: Counter, database: Database, word: str, result: Result, state: str, error_type: str
) -> None:
    sent = await (await open_desk(database, {"email": f"ada+{word}@example.com"})).send()
    told = await counter.deliver(sent.call())
    assert (told.result, told.status, told.finished, told.recorded) == (result, N.PENDING, False, True)
    assert await attempts(sent) == [(1, state, error_type)]


@pytest.mark.parametrize("word", ["", "refuse", "error", "broken", "lost"])
async def test_called_again_it_answers_the_same_and_does_not_call_again(
    counter: Counter, database: Database, word: str
) -> None:
    sent = await (await open_desk(database, {"email": f"ada+{word}@example.com"})).send()
    first = await counter.deliver(sent.call())
    before = await sent.row()
    assert await counter.deliver(sent.call()) == first
    assert len(counter.sandbox.calls) == 1
    assert await sent.row() == before


async def test_a_row_found_submitting_is_unknown_and_nobody_is_called(counter: Counter, sent: Sent) -> None:
    """The worker that wrote it was killed before, during or after its call: nobody can tell."""
    await sent.claim()
    told = await counter.deliver(sent.call())
    assert (told.result, told.reason) == (R.UNKNOWN, "worker_lost")
    assert counter.sandbox.calls == []
    assert await attempts(sent) == [(1, "unknown", "unknown")]


async def test_a_row_found_submitting_whose_receipt_has_come_is_accepted(counter: Counter, sent: Sent) -> None:
    await sent.claim()
    await receive(sent, attempt_id=sent.attempt())
    told = await counter.deliver(sent.call())
    assert (told.result, told.status) == (R.ACCEPTED, N.DELIVERED)
    assert counter.sandbox.calls == []


async def test_an_idempotent_provider_is_called_again(counter: Counter, desk: Desk) -> None:
    sent = await desk.send(Channel.IN_APP)
    await sent.claim(channel=Channel.IN_APP, provider="in_app")
    told = await counter.deliver(sent.call(channel=Channel.IN_APP, provider="in_app"))
    assert told.result is R.ACCEPTED
    assert len(counter.inbox.calls) == 1
    assert len(await sent.rows("inbox_message")) == 1


async def test_a_second_worker_with_the_same_call_does_not_call(counter: Counter, sent: Sent) -> None:
    """The first is still in its call when the other, which took over, is done."""
    second: list[DeliverResult] = []

    async def take_over() -> None:
        counter.sandbox.afterwards = None
        second.append(await counter.deliver(sent.call()))

    counter.sandbox.afterwards = take_over
    first = await counter.deliver(sent.call())
    assert [told.result for told in second] == [R.UNKNOWN]
    assert first.result is R.ACCEPTED
    assert len(counter.sandbox.calls) == 1
    assert await attempts(sent) == [(1, "accepted", None)]
    assert (await sent.row())["status"] == "SENT"


async def test_an_endpoint_that_has_it_is_never_called_again(counter: Counter, sent: Sent) -> None:
    await counter.deliver(sent.call(ends=False))
    told = await counter.deliver(sent.call(2, ends=False))
    assert told.result is R.ACCEPTED
    assert len(counter.sandbox.calls) == 1
    assert await attempts(sent) == [(1, "accepted", None)]


async def test_an_endpoint_that_turns_out_to_have_it_is_not_called_again(counter: Counter, database: Database) -> None:
    """`at_least_once` would resend, but a receipt came during the backoff."""
    sent = await (await open_desk(database, {"email": "ada+lost@example.com"})).send()
    assert (await counter.deliver(sent.call())).result is R.UNKNOWN
    await receive(sent, attempt_id=sent.attempt())
    told = await counter.deliver(sent.call(2))
    assert (told.result, told.status) == (R.ACCEPTED, N.DELIVERED)
    assert await kept(sent) == len(counter.sandbox.calls) == 1


async def test_after_an_unknown_call_the_next_attempt_is_made(counter: Counter, database: Database) -> None:
    sent = await (await open_desk(database, {"email": "ada+lost@example.com"})).send()
    await counter.deliver(sent.call())
    told = await counter.deliver(sent.call(2))
    assert (told.result, told.status) == (R.ACCEPTED, N.SENT)
    assert await attempts(sent) == [(1, "unknown", "unknown"), (2, "accepted", None)]
    assert await kept(sent) == 2


async def test_devices_are_reached_one_by_one_and_one_is_enough(counter: Counter, desk: Desk) -> None:
    endpoints = []
    for name, token in (("phone", "t-refuse"), ("tablet", "t-1")):
        new = NewDevice(device=name, kind=DeviceKind.FCM, address={"token": token})
        async with desk.database.transaction() as session:
            saved = await devices.save(session, desk.tenant, desk.recipient_id, new)
        assert saved is not None
        endpoints.append(str(saved[0].id))
    sent = await desk.send(Channel.PUSH)
    calls = [sent.call(channel=Channel.PUSH, endpoint_id=endpoint, ends=False) for endpoint in endpoints]
    assert [(await counter.deliver(call)).result for call in calls] == [R.REFUSED, R.ACCEPTED]
    assert [(m.address, m.device_kind) for m in counter.sandbox.calls] == [
        ({"token": "t-refuse"}, DeviceKind.FCM),
        ({"token": "t-1"}, DeviceKind.FCM),
    ]
    assert [row["status"] for row in await sent.rows("delivery")] == ["SENT"]


async def phone(desk: Desk, token: str = "t-1") -> str:
    """The endpoint of the person's one phone."""
    new = NewDevice(device="phone", kind=DeviceKind.FCM, address={"token": token})
    async with desk.database.transaction() as session:
        saved = await devices.save(session, desk.tenant, desk.recipient_id, new)
    assert saved is not None
    return str(saved[0].id)


async def tokens(desk: Desk) -> list[str]:
    async with desk.database.transaction() as session:
        return [each.address["token"] for each in await devices.list_of(session, desk.tenant, desk.recipient_id)]


async def test_a_device_that_the_vendor_calls_dead_is_forgotten(counter: Counter, desk: Desk) -> None:
    sent, endpoint = await desk.send(Channel.PUSH), await phone(desk)
    counter.sandbox.answer = Refused(reason="unregistered", gone=True)
    told = await counter.deliver(sent.call(channel=Channel.PUSH, endpoint_id=endpoint))
    assert (told.result, told.reason) == (R.REFUSED, "unregistered")
    assert await tokens(desk) == []
    assert await attempts(sent) == [(1, "refused", "refused")]


async def test_a_device_that_is_merely_refused_is_kept(counter: Counter, desk: Desk) -> None:
    sent, endpoint = await desk.send(Channel.PUSH), await phone(desk)
    counter.sandbox.answer = Refused(reason="too_large")
    await counter.deliver(sent.call(channel=Channel.PUSH, endpoint_id=endpoint))
    assert await tokens(desk) == ["t-1"]


async def test_a_device_whose_token_was_renewed_during_the_call_is_kept(counter: Counter, desk: Desk) -> None:
    """The vendor's word was about the old token."""
    sent, endpoint = await desk.send(Channel.PUSH), await phone(desk)
    counter.sandbox.answer = Refused(reason="unregistered", gone=True)
    counter.sandbox.afterwards = lambda: phone(desk, "t-2")
    await counter.deliver(sent.call(channel=Channel.PUSH, endpoint_id=endpoint))
    assert await tokens(desk) == ["t-2"]


async def test_a_device_of_somebody_else_is_never_touched(counter: Counter, desk: Desk, database: Database) -> None:
    """The id of one person's device in the delivery of another is no address at all."""
    other = await open_desk(database)
    sent, endpoint = await desk.send(Channel.PUSH), await phone(other)
    counter.sandbox.answer = Refused(reason="unregistered", gone=True)
    told = await counter.deliver(sent.call(channel=Channel.PUSH, endpoint_id=endpoint))
    assert told.reason == "no_address"
    assert await tokens(other) == ["t-1"]


async def test_a_webhook_that_is_gone_has_no_device_to_forget(counter: Counter, database: Database) -> None:
    desk = await open_desk(database, {"webhook_url": "https://example.com/"})
    sent = await desk.send(Channel.WEBHOOK)
    counter.sandbox.answer = Refused(reason="status_410", gone=True)
    assert (await counter.deliver(sent.call(channel=Channel.WEBHOOK))).result is R.REFUSED


async def test_an_international_address_travels_with_its_ascii_form(counter: Counter, database: Database) -> None:
    address = {"email": "ada@exämple.de", "email_ascii": "ada@xn--exmple-cua.de"}
    sent = await (await open_desk(database, address)).send()
    await counter.deliver(sent.call())
    [message] = counter.sandbox.calls
    assert message.address == address
    row = await sent.row()
    assert (message.notification_type, message.created_at) == ("order.shipped", row["created_at"])


async def test_a_device_that_is_gone_is_no_address(counter: Counter, desk: Desk) -> None:
    sent = await desk.send(Channel.PUSH)
    told = await counter.deliver(sent.call(channel=Channel.PUSH, endpoint_id=str(uuid4())))
    assert (told.result, told.stopped_as, told.reason) == (R.STOPPED, D.FAILED, "no_address")
    assert await sent.rows("attempt") == []


async def test_a_cancel_is_obeyed(counter: Counter, sent: Sent) -> None:
    await sent.desk.query("UPDATE notification SET cancel_requested_at = now() WHERE id = :id", id=sent.id)
    await refused(counter, sent, D.CANCELED, "canceled")


async def test_an_expiry_is_obeyed_by_the_databases_clock(counter: Counter, sent: Sent) -> None:
    await sent.desk.query("UPDATE notification SET expires_at = now() WHERE id = :id", id=sent.id)
    await refused(counter, sent, D.EXPIRED, "expired")


async def test_an_opt_out_just_before_the_call_is_obeyed(counter: Counter, sent: Sent) -> None:
    await opt_out(sent)
    await refused(counter, sent, D.SKIPPED, "opted_out (global_channel_opt_in.email)")


async def test_an_opt_out_between_two_attempts_is_obeyed(counter: Counter, database: Database) -> None:
    sent = await (await open_desk(database, {"email": "ada+flaky@example.com"})).send()
    await counter.deliver(sent.call())
    await opt_out(sent)
    told = await counter.deliver(sent.call(2))
    assert (told.result, told.stopped_as) == (R.STOPPED, D.SKIPPED)
    assert len(counter.sandbox.calls) == 1
    assert await attempts(sent) == [(1, "not_accepted", "temporary")]


async def test_an_erasure_is_obeyed(counter: Counter, sent: Sent) -> None:
    async with sent.desk.database.transaction() as session:
        await erasures.erase(session, sent.desk.tenant, "ada")
    await refused(counter, sent, D.SKIPPED, "recipient_erased")


async def test_what_the_vendor_answers_about_somebody_who_is_erased_meanwhile_is_not_kept(
    counter: Counter, sent: Sent
) -> None:
    """It may quote the address. That it was sent stays."""

    async def erase() -> None:
        async with sent.desk.database.transaction() as session:
            await erasures.erase(session, sent.desk.tenant, "ada")

    counter.sandbox.answer = Accepted(message_id=str(uuid4()), response={"to": "ada@example.com"})
    counter.sandbox.afterwards = erase
    assert (await counter.deliver(sent.call())).result is R.ACCEPTED
    [attempt], [delivery] = await sent.rows("attempt"), await sent.rows("delivery")
    assert (attempt["state"], attempt["provider_response"]) == ("accepted", None)
    assert (delivery["status"], delivery["provider_response"]) == ("SENT", None)


async def test_a_contact_point_that_was_removed_is_obeyed(counter: Counter, sent: Sent) -> None:
    await sent.desk.query("UPDATE recipient SET contact = '{}' WHERE tenant = :tenant", tenant=sent.desk.tenant)
    await refused(counter, sent, D.FAILED, "no_address")


async def test_a_notification_that_is_over_is_left_alone(counter: Counter, sent: Sent) -> None:
    await sent.desk.query("UPDATE notification SET finished_at = now(), status = 'CANCELED' WHERE id = :id", id=sent.id)
    await refused(counter, sent, None, None)
    assert (await counter.deliver(sent.call())).finished


async def test_an_opt_out_that_is_committed_while_the_guard_waits_is_obeyed(counter: Counter, sent: Sent) -> None:
    desk = sent.desk
    async with desk.database.transaction() as session:
        await preferences.save(session, desk.tenant, "ada", {"email": False}, {}, None)
        waiting = asyncio.create_task(counter.deliver(sent.call()))
        await until_blocked(desk.database, waiting)
    told = await waiting
    assert (told.result, told.stopped_as) == (R.STOPPED, D.SKIPPED)
    assert counter.sandbox.calls == []
    assert await sent.rows("attempt") == []


async def test_an_opt_out_during_the_call_comes_too_late_and_is_not_held_up_by_it(counter: Counter, sent: Sent) -> None:
    counter.sandbox.afterwards = lambda: opt_out(sent)
    async with asyncio.timeout(60):
        assert (await counter.deliver(sent.call())).result is R.ACCEPTED


async def test_a_cancel_during_the_call_is_recorded_beside_its_answer(counter: Counter, sent: Sent) -> None:
    async def cancel() -> None:
        statement = "UPDATE notification SET cancel_requested_at = now(), revision = revision + 1 WHERE id = :id"
        await sent.desk.query(statement, id=sent.id)

    counter.sandbox.afterwards = cancel
    told = await counter.deliver(sent.call())
    assert (told.result, told.status) == (R.ACCEPTED, N.SENT)
    row = await sent.row()
    assert (row["status"], row["cancel_requested_at"] is not None) == ("SENT", True)


async def opt_out(sent: Sent) -> None:
    async with sent.desk.database.transaction() as session:
        await preferences.save(session, sent.desk.tenant, "ada", {"email": False}, {}, None)


async def receive(sent: Sent, kind: str = "delivered", *, apply: bool = True, **by: Any) -> None:
    fields: dict[str, Any] = {"attempt_id": None, "provider_message_id": None, **by}
    told = StoredReceipt(
        id=uuid4(), provider="sandbox", kind=kind, reason=None, occurred_at=AT, raw={"event": kind}, **fields
    )
    async with sent.desk.database.transaction() as session:
        await receipts.store(session, [told])
    if apply:
        await ReceiptApplier(sent.desk.database).apply_waiting()


async def message_id(sent: Sent) -> str:
    [message] = await sent.rows("sandbox_message")
    return str(message["id"])


@pytest.mark.parametrize("by_reference", [True, False], ids=["by our reference", "by the vendor's id"])
async def test_a_receipt_before_our_own_record_counts(counter: Counter, sent: Sent, by_reference: bool) -> None:
    async def early() -> None:
        by: dict[str, Any] = (
            {"attempt_id": sent.attempt()} if by_reference else {"provider_message_id": await message_id(sent)}
        )
        await receive(sent, **by)

    counter.sandbox.afterwards = early
    told = await counter.deliver(sent.call())
    assert (told.result, told.status, told.finished) == (R.ACCEPTED, N.DELIVERED, True)
    assert (await sent.row())["status"] == "DELIVERED"
    [attempt] = await sent.rows("attempt")
    assert (attempt["state"], attempt["delivered_at"]) == ("accepted", AT)
    assert (await sent.statuses())[-1] == "DELIVERED"


@pytest.mark.parametrize("by_reference", [True, False], ids=["by our reference", "by the vendor's id"])
async def test_a_bounce_before_our_own_record_lets_the_next_step_run(
    counter: Counter, sent: Sent, by_reference: bool
) -> None:
    async def early() -> None:
        by: dict[str, Any] = (
            {"attempt_id": sent.attempt()} if by_reference else {"provider_message_id": await message_id(sent)}
        )
        await receive(sent, "bounced", **by)

    counter.sandbox.afterwards = early
    told = await counter.deliver(sent.call())
    assert (told.result, told.reason, told.finished) == (R.REFUSED, "bounced", False)
    assert (await sent.row())["finished_at"] is None
    assert [row["status"] for row in await sent.rows("delivery")] == ["FAILED"]


async def test_an_early_receipt_is_applied_once(counter: Counter, sent: Sent) -> None:
    async def early() -> None:
        await receive(sent, provider_message_id=await message_id(sent), apply=False)

    counter.sandbox.afterwards = early
    told = await counter.deliver(sent.call())
    assert told.status is N.DELIVERED
    before = await sent.row()
    await sent.desk.query("UPDATE receipt SET next_try_at = now() WHERE applied_at IS NULL")
    await ReceiptApplier(sent.desk.database).apply_waiting()
    assert await sent.row() == before
    found = await sent.desk.query(
        "SELECT applied_at FROM receipt WHERE provider_message_id = :id", id=await message_id(sent)
    )
    assert [row["applied_at"] is not None for row in found] == [True]


@pytest.fixture
async def outage(database_url: str) -> AsyncIterator["Outage"]:
    async with own_database(database_url) as database:
        yield Outage(database_url, database)


class Outage:
    """A database of one's own that can go away: nobody gets in, and whoever is in is thrown out."""

    def __init__(self, server: str, database: Database) -> None:
        self._server = server.replace("+asyncpg", "", 1)
        self.database = database
        self._name = database.url.rpartition("/")[2]

    async def begin(self) -> None:
        await self._execute(f"ALTER DATABASE {self._name} ALLOW_CONNECTIONS false")
        terminate = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{self._name}'"
        await self._execute(terminate)

    async def end(self) -> None:
        await self._execute(f"ALTER DATABASE {self._name} ALLOW_CONNECTIONS true")

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self._server)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


async def test_an_answer_that_could_not_be_recorded_is_kept_by_the_workflow_and_recorded_later(
    outage: Outage,
) -> None:
    sent = await (await open_desk(outage.database)).send()
    worker = Database(outage.database.url, encryption=outage.database.encryption)
    counter = Counter(worker, outage.database)
    counter.sandbox.afterwards = outage.begin
    told = await counter.deliver(sent.call())
    assert (told.result, told.recorded, told.finished) == (R.ACCEPTED, False, False)
    assert told.provider_message_id
    await outage.end()

    async def recorded() -> DeliverResult | None:
        """As Temporal does: again, until the database is back."""
        try:
            return await counter.record(sent.call(), told)
        except DATABASE_ERRORS:
            return None

    late = await eventually(recorded, lambda answer: answer is not None)
    assert late is not None
    assert (late.result, late.status, late.finished, late.recorded) == (R.ACCEPTED, N.SENT, True, True)
    await worker.close()
    fresh = Database(outage.database.url, encryption=outage.database.encryption)
    again = replace(sent, desk=replace(sent.desk, database=fresh))
    assert await attempts(again) == [(1, "accepted", None)]
    assert (await again.row())["status"] == "SENT"
    assert await kept(again) == 1
    await fresh.close()


async def test_without_a_database_it_raises_for_temporal_to_retry_and_nobody_is_called(outage: Outage) -> None:
    sent = await (await open_desk(outage.database)).send()
    worker = Database(outage.database.url, encryption=outage.database.encryption)
    counter = Counter(worker, outage.database)
    await outage.begin()
    with pytest.raises(DATABASE_ERRORS):
        await counter.deliver(sent.call())
    assert counter.sandbox.calls == []
    await outage.end()
    await worker.close()


async def test_recorded_twice_an_answer_is_recorded_once(counter: Counter, sent: Sent) -> None:
    told = await counter.deliver(sent.call())
    before = await sent.row()
    again = await counter.record(sent.call(), replace(told, recorded=False))
    assert (again.result, again.status) == (R.ACCEPTED, N.SENT)
    assert await sent.row() == before


async def test_a_late_answer_ends_what_was_thought_unknown(counter: Counter, sent: Sent) -> None:
    """Another worker found the row and called it unknown, while the first one still had the answer in its hands."""
    await sent.claim()
    await sent.answer(AttemptState.UNKNOWN)
    late = DeliverResult(result=R.ACCEPTED, provider_message_id="m-late", recorded=False)
    told = await counter.record(sent.call(), late)
    assert (told.result, told.status) == (R.ACCEPTED, N.SENT)


async def test_a_call_that_takes_too_long_is_unknown(
    counter: Counter, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(counter.sandbox), "deadline", 0.3)
    sent = await (await open_desk(database, {"email": "ada+hang@example.com"})).send()
    async with asyncio.timeout(60):
        told = await counter.deliver(sent.call())
    assert (told.result, told.reason) == (R.UNKNOWN, "timeout")
    assert await attempts(sent) == [(1, "unknown", "unknown")]


async def test_the_delay_that_the_provider_names_is_returned(counter: Counter, database: Database) -> None:
    sent = await (await open_desk(database, {"email": "ada+throttle@example.com"})).send()
    assert (await counter.deliver(sent.call())).retry_after == timedelta(seconds=1)
