"""Test `deliver`: guard, send, record. A repeated call never sends again, and every outcome is recorded."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from dispatch.receipt_applier import ReceiptApplier
from domain import clock
from domain.channels import Channel, DeviceKind
from domain.evidence import AttemptState, CallResult
from domain.messages import DeliverResult, NoCallResult
from domain.reasons import reason_line
from domain.statuses import DeliveryStatus, NotificationStatus
from providers.outcomes import ProviderAcceptance, ProviderRefusal
from storage import devices, erasures, preferences, receipts
from storage.connections import DATABASE_ERRORS
from storage.database import Database
from storage.devices import NewDevice
from storage.receipts import StoredReceipt
from tests.activities.conftest import ActivityWorker
from tests.polling import eventually
from tests.storage.databases import own_database
from tests.storage.locks import until_blocked
from tests.storage.sends import DatabaseSend, DatabaseTenant, open_database_tenant

pytestmark = pytest.mark.postgres
AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
R, N, D = CallResult, NotificationStatus, DeliveryStatus


async def attempts(sent: DatabaseSend) -> list[tuple[int, str, str | None]]:
    return sorted((row["number"], row["state"], row["error_type"]) for row in await sent.rows("attempt"))


async def count_attempts(sent: DatabaseSend) -> int:
    return len(await sent.rows("sandbox_message"))


async def assert_refused(
    activity_worker: ActivityWorker, sent: DatabaseSend, status: DeliveryStatus | None, reason: str | None
) -> None:
    """Assert that the guard refused: no call was made, and no attempt was recorded."""
    before = await sent.row()
    outcome = await activity_worker.deliver(sent.call())
    assert (outcome.result, outcome.stopped_status, reason_line(outcome.full_reason)) == (
        NoCallResult.STOPPED,
        status,
        reason or "stopped",
    )
    assert activity_worker.sandbox.calls == []
    assert await sent.rows("attempt") == []
    assert await sent.row() == before


async def test_an_accepted_message_is_recorded_on_every_row_with_the_end(
    activity_worker: ActivityWorker, sent: DatabaseSend
) -> None:
    outcome = await activity_worker.deliver(sent.call())
    assert (outcome.result, outcome.status, outcome.finished, outcome.recorded) == (R.ACCEPTED, N.SENT, True, True)
    assert await attempts(sent) == [(1, "accepted", None)]
    row = await sent.row()
    assert (row["status"], row["finished_at"] is not None) == ("SENT", True)
    [delivery] = await sent.rows("delivery")
    assert (delivery["status"], delivery["provider_message_id"]) == ("SENT", outcome.provider_message_id)
    assert [event["kind"] for event in await sent.rows("event")] == ["accepted", "rendered", "sent"]


@pytest.mark.parametrize("off", [timedelta(days=1), timedelta(days=-1)])
async def test_a_worker_with_a_wrong_clock_records_database_time(
    activity_worker: ActivityWorker, database: Database, monkeypatch: pytest.MonkeyPatch, off: timedelta
) -> None:
    """A step that waits for its goal counts from there."""
    monkeypatch.setattr(clock, "_offset", off)
    lost = await (await open_database_tenant(database, {"email": "ada+lost@example.com"})).send()
    await activity_worker.deliver(lost.call())
    activity_worker.sandbox.found = [ProviderAcceptance(message_id=str(uuid4()))]
    found = await activity_worker.look_up(lost.call())
    sent = await (await open_database_tenant(database)).send()
    accepted = await activity_worker.deliver(sent.call())
    for outcome in (accepted, found):
        assert outcome.sent_at is not None
        assert abs(datetime.now(UTC) - outcome.sent_at) < timedelta(minutes=1)


async def test_with_more_to_come_an_acceptance_does_not_end_it(
    activity_worker: ActivityWorker, sent: DatabaseSend
) -> None:
    outcome = await activity_worker.deliver(sent.call(finishes_notification=False))
    assert (outcome.status, outcome.finished) == (N.SENT, False)
    assert (await sent.row())["finished_at"] is None


async def test_the_vendor_gets_the_reference_and_the_rendered_content(
    activity_worker: ActivityWorker, sent: DatabaseSend
) -> None:
    await activity_worker.deliver(sent.call())
    [message] = activity_worker.sandbox.calls
    assert (message.attempt_id, message.delivery_id) == (sent.attempt(), sent.delivery())
    assert (message.address, message.content) == ({"email": sent.database_tenant.contact["email"]}, {"subject": "Hi"})


async def test_the_row_is_there_before_the_vendor_is_called(
    activity_worker: ActivityWorker, sent: DatabaseSend
) -> None:
    """I4: the row is committed, and no connection is held during the call."""
    seen: list[Any] = []

    async def look() -> None:
        seen.extend(await attempts(sent))

    activity_worker.sandbox.after_send = look
    await activity_worker.deliver(sent.call())
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
async def test_every_other_result_leaves_the_notification_open(
    activity_worker: ActivityWorker, database: Database, word: str, result: CallResult, state: str, error_type: str
) -> None:
    sent = await (await open_database_tenant(database, {"email": f"ada+{word}@example.com"})).send()
    outcome = await activity_worker.deliver(sent.call())
    assert (outcome.result, outcome.status, outcome.finished, outcome.recorded) == (result, N.PENDING, False, True)
    assert await attempts(sent) == [(1, state, error_type)]


@pytest.mark.parametrize("word", ["", "refuse", "error", "broken", "lost"])
async def test_a_repeated_call_returns_the_same_outcome_without_a_call(
    activity_worker: ActivityWorker, database: Database, word: str
) -> None:
    sent = await (await open_database_tenant(database, {"email": f"ada+{word}@example.com"})).send()
    first = await activity_worker.deliver(sent.call())
    before = await sent.row()
    assert await activity_worker.deliver(sent.call()) == first
    assert len(activity_worker.sandbox.calls) == 1
    assert await sent.row() == before


async def test_a_submitting_row_is_unknown_and_makes_no_call(
    activity_worker: ActivityWorker, sent: DatabaseSend
) -> None:
    """The worker that wrote it was killed before, during or after its call."""
    await sent.claim()
    outcome = await activity_worker.deliver(sent.call())
    assert (outcome.result, outcome.reason) == (R.UNKNOWN, "worker_lost")
    assert activity_worker.sandbox.calls == []
    assert await attempts(sent) == [(1, "unknown", "unknown")]


async def test_a_submitting_row_with_a_receipt_is_accepted(activity_worker: ActivityWorker, sent: DatabaseSend) -> None:
    await sent.claim()
    await receive(sent, attempt_id=sent.attempt())
    outcome = await activity_worker.deliver(sent.call())
    assert (outcome.result, outcome.status) == (R.ACCEPTED, N.DELIVERED)
    assert activity_worker.sandbox.calls == []


async def test_an_idempotent_provider_is_called_again(
    activity_worker: ActivityWorker, database_tenant: DatabaseTenant
) -> None:
    sent = await database_tenant.send(Channel.IN_APP)
    await sent.claim(channel=Channel.IN_APP, provider="in_app")
    outcome = await activity_worker.deliver(sent.call(channel=Channel.IN_APP, provider="in_app"))
    assert outcome.result is R.ACCEPTED
    assert len(activity_worker.inbox.calls) == 1
    assert len(await sent.rows("inbox_message")) == 1


async def test_a_second_worker_with_the_same_call_does_not_call(
    activity_worker: ActivityWorker, sent: DatabaseSend
) -> None:
    """The first is still in its call when the other, which took over, is done."""
    second: list[DeliverResult] = []

    async def take_over() -> None:
        activity_worker.sandbox.after_send = None
        second.append(await activity_worker.deliver(sent.call()))

    activity_worker.sandbox.after_send = take_over
    first = await activity_worker.deliver(sent.call())
    assert [outcome.result for outcome in second] == [R.UNKNOWN]
    assert first.result is R.ACCEPTED
    assert len(activity_worker.sandbox.calls) == 1
    assert await attempts(sent) == [(1, "accepted", None)]
    assert (await sent.row())["status"] == "SENT"


async def test_an_endpoint_with_the_message_is_never_called_again(
    activity_worker: ActivityWorker, sent: DatabaseSend
) -> None:
    await activity_worker.deliver(sent.call(finishes_notification=False))
    outcome = await activity_worker.deliver(sent.call(2, finishes_notification=False))
    assert outcome.result is R.ACCEPTED
    assert len(activity_worker.sandbox.calls) == 1
    assert await attempts(sent) == [(1, "accepted", None)]


async def test_an_endpoint_with_a_late_acceptance_is_not_called_again(
    activity_worker: ActivityWorker, database: Database
) -> None:
    """`at_least_once` would resend, but a receipt came during the backoff."""
    sent = await (await open_database_tenant(database, {"email": "ada+lost@example.com"})).send()
    assert (await activity_worker.deliver(sent.call())).result is R.UNKNOWN
    await receive(sent, attempt_id=sent.attempt())
    outcome = await activity_worker.deliver(sent.call(2))
    assert (outcome.result, outcome.status) == (R.ACCEPTED, N.DELIVERED)
    assert await count_attempts(sent) == len(activity_worker.sandbox.calls) == 1


async def test_after_an_unknown_call_the_next_attempt_is_made(
    activity_worker: ActivityWorker, database: Database
) -> None:
    sent = await (await open_database_tenant(database, {"email": "ada+lost@example.com"})).send()
    await activity_worker.deliver(sent.call())
    outcome = await activity_worker.deliver(sent.call(2))
    assert (outcome.result, outcome.status) == (R.ACCEPTED, N.SENT)
    assert await attempts(sent) == [(1, "unknown", "unknown"), (2, "accepted", None)]
    assert await count_attempts(sent) == 2


async def test_devices_are_reached_one_by_one_and_one_is_enough(
    activity_worker: ActivityWorker, database_tenant: DatabaseTenant
) -> None:
    endpoints = []
    for name, token in (("phone", "t-refuse"), ("tablet", "t-1")):
        new = NewDevice(device=name, kind=DeviceKind.FCM, address={"token": token})
        async with database_tenant.database.transaction() as session:
            saved = await devices.save(session, database_tenant.tenant, database_tenant.recipient_id, new)
        assert saved is not None
        endpoints.append(str(saved[0].id))
    sent = await database_tenant.send(Channel.PUSH)
    calls = [
        sent.call(channel=Channel.PUSH, endpoint_id=endpoint, finishes_notification=False) for endpoint in endpoints
    ]
    assert [(await activity_worker.deliver(call)).result for call in calls] == [R.REFUSED, R.ACCEPTED]
    assert [(m.address, m.device_kind) for m in activity_worker.sandbox.calls] == [
        ({"token": "t-refuse"}, DeviceKind.FCM),
        ({"token": "t-1"}, DeviceKind.FCM),
    ]
    assert [row["status"] for row in await sent.rows("delivery")] == ["SENT"]


async def phone(database_tenant: DatabaseTenant, token: str = "t-1") -> str:
    """Return the endpoint of the recipient's one phone."""
    new = NewDevice(device="phone", kind=DeviceKind.FCM, address={"token": token})
    async with database_tenant.database.transaction() as session:
        saved = await devices.save(session, database_tenant.tenant, database_tenant.recipient_id, new)
    assert saved is not None
    return str(saved[0].id)


async def tokens(database_tenant: DatabaseTenant) -> list[str]:
    async with database_tenant.database.transaction() as session:
        return [
            each.address["token"]
            for each in await devices.list_devices(session, database_tenant.tenant, database_tenant.recipient_id)
        ]


async def test_a_device_with_an_invalid_token_is_removed(
    activity_worker: ActivityWorker, database_tenant: DatabaseTenant
) -> None:
    sent, endpoint = await database_tenant.send(Channel.PUSH), await phone(database_tenant)
    activity_worker.sandbox.answer = ProviderRefusal(reason="unregistered", is_gone=True)
    outcome = await activity_worker.deliver(sent.call(channel=Channel.PUSH, endpoint_id=endpoint))
    assert (outcome.result, outcome.reason) == (R.REFUSED, "unregistered")
    assert await tokens(database_tenant) == []
    assert await attempts(sent) == [(1, "refused", "refused")]


async def test_a_device_that_is_merely_refused_is_kept(
    activity_worker: ActivityWorker, database_tenant: DatabaseTenant
) -> None:
    sent, endpoint = await database_tenant.send(Channel.PUSH), await phone(database_tenant)
    activity_worker.sandbox.answer = ProviderRefusal(reason="too_large")
    await activity_worker.deliver(sent.call(channel=Channel.PUSH, endpoint_id=endpoint))
    assert await tokens(database_tenant) == ["t-1"]


async def test_a_device_whose_token_was_renewed_during_the_call_is_kept(
    activity_worker: ActivityWorker, database_tenant: DatabaseTenant
) -> None:
    """The vendor's report was about the old token."""
    sent, endpoint = await database_tenant.send(Channel.PUSH), await phone(database_tenant)
    activity_worker.sandbox.answer = ProviderRefusal(reason="unregistered", is_gone=True)
    activity_worker.sandbox.after_send = lambda: phone(database_tenant, "t-2")
    await activity_worker.deliver(sent.call(channel=Channel.PUSH, endpoint_id=endpoint))
    assert await tokens(database_tenant) == ["t-2"]


async def test_a_device_of_another_recipient_is_never_changed(
    activity_worker: ActivityWorker, database_tenant: DatabaseTenant, database: Database
) -> None:
    """The id of a device of one recipient is no address in the delivery of another."""
    other = await open_database_tenant(database)
    sent, endpoint = await database_tenant.send(Channel.PUSH), await phone(other)
    activity_worker.sandbox.answer = ProviderRefusal(reason="unregistered", is_gone=True)
    outcome = await activity_worker.deliver(sent.call(channel=Channel.PUSH, endpoint_id=endpoint))
    assert outcome.reason == "no_address"
    assert await tokens(other) == ["t-1"]


async def test_an_unregistered_webhook_removes_no_device(activity_worker: ActivityWorker, database: Database) -> None:
    database_tenant = await open_database_tenant(database, {"webhook_url": "https://example.com/"})
    sent = await database_tenant.send(Channel.WEBHOOK)
    activity_worker.sandbox.answer = ProviderRefusal(reason="status_410", is_gone=True)
    assert (await activity_worker.deliver(sent.call(channel=Channel.WEBHOOK))).result is R.REFUSED


async def test_an_international_address_travels_with_its_ascii_form(
    activity_worker: ActivityWorker, database: Database
) -> None:
    address = {"email": "ada@exämple.de", "email_ascii": "ada@xn--exmple-cua.de"}
    sent = await (await open_database_tenant(database, address)).send()
    await activity_worker.deliver(sent.call())
    [message] = activity_worker.sandbox.calls
    assert message.address == address
    row = await sent.row()
    assert (message.notification_type, message.created_at) == ("order.shipped", row["created_at"])


async def test_a_removed_device_is_no_address(activity_worker: ActivityWorker, database_tenant: DatabaseTenant) -> None:
    sent = await database_tenant.send(Channel.PUSH)
    outcome = await activity_worker.deliver(sent.call(channel=Channel.PUSH, endpoint_id=str(uuid4())))
    assert (outcome.result, outcome.stopped_status, outcome.reason) == (NoCallResult.STOPPED, D.FAILED, "no_address")
    assert await sent.rows("attempt") == []


async def test_a_cancel_is_obeyed(activity_worker: ActivityWorker, sent: DatabaseSend) -> None:
    await sent.database_tenant.query("UPDATE notification SET cancel_requested_at = now() WHERE id = :id", id=sent.id)
    await assert_refused(activity_worker, sent, D.CANCELED, "canceled")


async def test_an_expiry_is_obeyed_by_the_databases_clock(activity_worker: ActivityWorker, sent: DatabaseSend) -> None:
    await sent.database_tenant.query("UPDATE notification SET expires_at = now() WHERE id = :id", id=sent.id)
    await assert_refused(activity_worker, sent, D.EXPIRED, "expired")


async def test_an_opt_out_just_before_the_call_is_obeyed(activity_worker: ActivityWorker, sent: DatabaseSend) -> None:
    await opt_out(sent)
    await assert_refused(activity_worker, sent, D.SKIPPED, "opted_out (global_channel_opt_in.email)")


async def test_an_opt_out_between_two_attempts_is_obeyed(activity_worker: ActivityWorker, database: Database) -> None:
    sent = await (await open_database_tenant(database, {"email": "ada+flaky@example.com"})).send()
    await activity_worker.deliver(sent.call())
    await opt_out(sent)
    outcome = await activity_worker.deliver(sent.call(2))
    assert (outcome.result, outcome.stopped_status) == (NoCallResult.STOPPED, D.SKIPPED)
    assert len(activity_worker.sandbox.calls) == 1
    assert await attempts(sent) == [(1, "not_accepted", "temporary")]


async def test_an_erasure_is_obeyed(activity_worker: ActivityWorker, sent: DatabaseSend) -> None:
    async with sent.database_tenant.database.transaction() as session:
        await erasures.erase_at_once(session, sent.database_tenant.tenant, "ada")
    await assert_refused(activity_worker, sent, D.SKIPPED, "recipient_erased")


async def test_the_response_about_a_recipient_erased_during_the_call_is_not_stored(
    activity_worker: ActivityWorker, sent: DatabaseSend
) -> None:
    """It may quote the address. The fact that it was sent stays."""

    async def erase() -> None:
        async with sent.database_tenant.database.transaction() as session:
            await erasures.erase_at_once(session, sent.database_tenant.tenant, "ada")

    activity_worker.sandbox.answer = ProviderAcceptance(message_id=str(uuid4()), response={"to": "ada@example.com"})
    activity_worker.sandbox.after_send = erase
    assert (await activity_worker.deliver(sent.call())).result is R.ACCEPTED
    [attempt], [delivery] = await sent.rows("attempt"), await sent.rows("delivery")
    assert (attempt["state"], attempt["provider_response"]) == ("accepted", None)
    assert (delivery["status"], delivery["provider_response"]) == ("SENT", None)


async def test_a_contact_point_that_was_removed_is_obeyed(activity_worker: ActivityWorker, sent: DatabaseSend) -> None:
    await sent.database_tenant.query(
        "UPDATE recipient SET contact = '{}' WHERE tenant = :tenant", tenant=sent.database_tenant.tenant
    )
    await assert_refused(activity_worker, sent, D.FAILED, "no_address")


async def test_a_notification_that_is_over_is_left_alone(activity_worker: ActivityWorker, sent: DatabaseSend) -> None:
    await sent.database_tenant.query(
        "UPDATE notification SET finished_at = now(), status = 'CANCELED' WHERE id = :id", id=sent.id
    )
    await assert_refused(activity_worker, sent, None, None)
    assert (await activity_worker.deliver(sent.call())).finished


async def test_an_opt_out_that_is_committed_while_the_guard_waits_is_obeyed(
    activity_worker: ActivityWorker, sent: DatabaseSend
) -> None:
    database_tenant = sent.database_tenant
    async with database_tenant.database.transaction() as session:
        await preferences.save(session, database_tenant.tenant, "ada", {"email": False}, {}, None)
        waiting = asyncio.create_task(activity_worker.deliver(sent.call()))
        await until_blocked(database_tenant.database, waiting)
    outcome = await waiting
    assert (outcome.result, outcome.stopped_status) == (NoCallResult.STOPPED, D.SKIPPED)
    assert activity_worker.sandbox.calls == []
    assert await sent.rows("attempt") == []


async def test_an_opt_out_during_the_call_does_not_wait_for_it(
    activity_worker: ActivityWorker, sent: DatabaseSend
) -> None:
    activity_worker.sandbox.after_send = lambda: opt_out(sent)
    async with asyncio.timeout(60):
        assert (await activity_worker.deliver(sent.call())).result is R.ACCEPTED


async def test_a_cancel_during_the_call_is_recorded_with_its_outcome(
    activity_worker: ActivityWorker, sent: DatabaseSend
) -> None:
    async def cancel() -> None:
        statement = "UPDATE notification SET cancel_requested_at = now(), revision = revision + 1 WHERE id = :id"
        await sent.database_tenant.query(statement, id=sent.id)

    activity_worker.sandbox.after_send = cancel
    receipt = await activity_worker.deliver(sent.call())
    assert (receipt.result, receipt.status) == (R.ACCEPTED, N.SENT)
    row = await sent.row()
    assert (row["status"], row["cancel_requested_at"] is not None) == ("SENT", True)


async def opt_out(sent: DatabaseSend) -> None:
    async with sent.database_tenant.database.transaction() as session:
        await preferences.save(session, sent.database_tenant.tenant, "ada", {"email": False}, {}, None)


async def receive(sent: DatabaseSend, kind: str = "delivered", *, apply: bool = True, **by: Any) -> None:
    fields: dict[str, Any] = {"attempt_id": None, "provider_message_id": None, **by}
    outcome = StoredReceipt(
        id=uuid4(), provider="sandbox", kind=kind, reason=None, occurred_at=AT, raw={"event": kind}, **fields
    )
    async with sent.database_tenant.database.transaction() as session:
        await receipts.store(session, [outcome])
    if apply:
        await ReceiptApplier(sent.database_tenant.database).apply_waiting()


async def message_id(sent: DatabaseSend) -> str:
    [message] = await sent.rows("sandbox_message")
    return str(message["id"])


@pytest.mark.parametrize("by_reference", [True, False], ids=["by our reference", "by the vendor's id"])
async def test_a_receipt_before_the_recorded_outcome_counts(
    activity_worker: ActivityWorker, sent: DatabaseSend, by_reference: bool
) -> None:
    async def early() -> None:
        by: dict[str, Any] = (
            {"attempt_id": sent.attempt()} if by_reference else {"provider_message_id": await message_id(sent)}
        )
        await receive(sent, **by)

    activity_worker.sandbox.after_send = early
    outcome = await activity_worker.deliver(sent.call())
    assert (outcome.result, outcome.status, outcome.finished) == (R.ACCEPTED, N.DELIVERED, True)
    assert (await sent.row())["status"] == "DELIVERED"
    [attempt] = await sent.rows("attempt")
    assert (attempt["state"], attempt["delivered_at"]) == ("accepted", AT)
    assert (await sent.statuses())[-1] == "DELIVERED"


@pytest.mark.parametrize("by_reference", [True, False], ids=["by our reference", "by the vendor's id"])
async def test_a_bounce_before_the_recorded_outcome_starts_the_next_step(
    activity_worker: ActivityWorker, sent: DatabaseSend, by_reference: bool
) -> None:
    async def early() -> None:
        by: dict[str, Any] = (
            {"attempt_id": sent.attempt()} if by_reference else {"provider_message_id": await message_id(sent)}
        )
        await receive(sent, "bounced", **by)

    activity_worker.sandbox.after_send = early
    outcome = await activity_worker.deliver(sent.call())
    assert (outcome.result, outcome.reason, outcome.finished) == (R.REFUSED, "bounced", False)
    assert (await sent.row())["finished_at"] is None
    assert [row["status"] for row in await sent.rows("delivery")] == ["FAILED"]


async def test_an_early_receipt_is_applied_once(activity_worker: ActivityWorker, sent: DatabaseSend) -> None:
    async def early() -> None:
        await receive(sent, provider_message_id=await message_id(sent), apply=False)

    activity_worker.sandbox.after_send = early
    outcome = await activity_worker.deliver(sent.call())
    assert outcome.status is N.DELIVERED
    before = await sent.row()
    await sent.database_tenant.query("UPDATE receipt SET next_attempt_at = now() WHERE applied_at IS NULL")
    await ReceiptApplier(sent.database_tenant.database).apply_waiting()
    assert await sent.row() == before
    found = await sent.database_tenant.query(
        "SELECT applied_at FROM receipt WHERE provider_message_id = :id", id=await message_id(sent)
    )
    assert [row["applied_at"] is not None for row in found] == [True]


@pytest.fixture
async def outage(database_url: str) -> AsyncIterator["Outage"]:
    async with own_database(database_url) as database:
        yield Outage(database_url, database)


class Outage:
    """Provide a separate database that can refuse and close connections."""

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


async def test_an_unrecorded_outcome_is_kept_by_the_workflow_and_recorded_later(
    outage: Outage,
) -> None:
    sent = await (await open_database_tenant(outage.database)).send()
    worker = Database(outage.database.url, encryption=outage.database.encryption)
    activity_worker = ActivityWorker(worker, outage.database)
    activity_worker.sandbox.after_send = outage.begin
    outcome = await activity_worker.deliver(sent.call())
    assert (outcome.result, outcome.recorded, outcome.finished) == (R.ACCEPTED, False, False)
    assert outcome.provider_message_id
    await outage.end()

    async def recorded() -> DeliverResult | None:
        """Retry as Temporal does, until the database is available."""
        try:
            return await activity_worker.record(sent.call(), outcome)
        except DATABASE_ERRORS:
            return None

    late = await eventually(recorded, lambda answer: answer is not None)
    assert late is not None
    assert (late.result, late.status, late.finished, late.recorded) == (R.ACCEPTED, N.SENT, True, True)
    await worker.close()
    fresh = Database(outage.database.url, encryption=outage.database.encryption)
    again = replace(sent, database_tenant=replace(sent.database_tenant, database=fresh))
    assert await attempts(again) == [(1, "accepted", None)]
    assert (await again.row())["status"] == "SENT"
    assert await count_attempts(again) == 1
    await fresh.close()


async def test_a_database_outage_raises_for_a_retry_without_a_call(outage: Outage) -> None:
    sent = await (await open_database_tenant(outage.database)).send()
    worker = Database(outage.database.url, encryption=outage.database.encryption)
    activity_worker = ActivityWorker(worker, outage.database)
    await outage.begin()
    with pytest.raises(DATABASE_ERRORS):
        await activity_worker.deliver(sent.call())
    assert activity_worker.sandbox.calls == []
    await outage.end()
    await worker.close()


async def test_an_outcome_recorded_twice_is_recorded_once(activity_worker: ActivityWorker, sent: DatabaseSend) -> None:
    outcome = await activity_worker.deliver(sent.call())
    before = await sent.row()
    again = await activity_worker.record(sent.call(), replace(outcome, recorded=False))
    assert (again.result, again.status) == (R.ACCEPTED, N.SENT)
    assert await sent.row() == before


async def test_a_late_outcome_ends_an_unknown_attempt(activity_worker: ActivityWorker, sent: DatabaseSend) -> None:
    """Another worker found the row and recorded unknown, before the first one recorded its outcome."""
    await sent.claim()
    await sent.answer(AttemptState.UNKNOWN)
    late = DeliverResult(result=R.ACCEPTED, provider_message_id="m-late", recorded=False)
    outcome = await activity_worker.record(sent.call(), late)
    assert (outcome.result, outcome.status) == (R.ACCEPTED, N.SENT)


async def test_a_call_that_takes_too_long_is_unknown(
    activity_worker: ActivityWorker, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(activity_worker.sandbox), "deadline", 0.3)
    sent = await (await open_database_tenant(database, {"email": "ada+hang@example.com"})).send()
    async with asyncio.timeout(60):
        outcome = await activity_worker.deliver(sent.call())
    assert (outcome.result, outcome.reason) == (R.UNKNOWN, "timeout")
    assert await attempts(sent) == [(1, "unknown", "unknown")]


async def test_the_delay_that_the_provider_names_is_returned(
    activity_worker: ActivityWorker, database: Database
) -> None:
    sent = await (await open_database_tenant(database, {"email": "ada+throttle@example.com"})).send()
    assert (await activity_worker.deliver(sent.call())).retry_after == timedelta(seconds=1)
