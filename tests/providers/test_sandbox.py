"""Test the sandbox: the faults of contact points, the count of calls, and the receipts."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from domain.channels import Channel, DeviceKind
from domain.chat_urls import ChatService
from domain.evidence import ReceiptKind
from domain.names import SANDBOX_CHANNEL
from domain.outgoing_messages import OutgoingMessage
from providers.base import ForgedReceipt, ProviderReceipt, UnreadableReceipt
from providers.outcomes import PermanentError, ProviderAcceptance, ProviderRefusal, TemporaryError, UnknownOutcome
from providers.sandbox import SIGNATURE_HEADER, TIMESTAMP_HEADER, Sandbox, SandboxMode, parse_mode, plan_receipts, sign
from storage.database import Database
from storage.sandbox import PostgresSandboxStore, claim_due_receipts, mark_posted, seconds_to_next
from tests.providers.harness import message_to
from tests.providers.harness_chat import chat_url
from tests.providers.test_email_options import OPTIONS
from tests.storage.sends import DatabaseTenant

pytestmark = pytest.mark.postgres

SAMPLES = Path(__file__).parent / "payloads" / "sandbox"
SECRET = b"key"

# As in docs/providers.md: a documented contract for users' tests.
WORDS = {
    "refuse": "0001",
    "error": "0002",
    "flaky": "0003",
    "throttle": "0004",
    "lost": "0005",
    "hang": "0006",
    "broken": "0007",
    "silent": "0008",
    "open": "0009",
    "bounce": "0010",
    "complain": "0011",
    "delay": "0012",
    "unsubscribe": "0013",
}
ACCEPTED, REFUSED, TEMPORARY, PERMANENT, UNKNOWN = (
    ProviderAcceptance,
    ProviderRefusal,
    TemporaryError,
    PermanentError,
    UnknownOutcome,
)


@pytest.fixture
def sandbox(database: Database) -> Sandbox:
    return Sandbox(PostgresSandboxStore(database), SECRET)


async def outcome(sandbox: Sandbox, message: OutgoingMessage) -> type:
    try:
        return type(await sandbox.send(message))
    except (TemporaryError, PermanentError, UnknownOutcome) as error:
        return type(error)


def test_the_words_and_digits_equal_the_documented_ones() -> None:
    assert {str(mode): digits for mode, digits in zip(SandboxMode, WORDS.values(), strict=True)} == WORDS


@pytest.mark.parametrize(("word", "digits"), WORDS.items())
def test_a_contact_point_of_any_channel_may_contain_a_sandbox_word(word: str, digits: str) -> None:
    asking: list[dict[str, Any]] = [
        {"email": f"ada+{word}@example.com"},
        {"email": f"ada+{word.upper()}@example.com"},
        {"token": f"t-{word}-1"},
        {"url": f"https://hooks.example.com/{word}"},
        *({"url": chat_url(service, word)} for service in ChatService),
        {"subscription": {"endpoint": f"https://push.example.com/{word}/1", "keys": {"auth": "x", "p256dh": "y"}}},
        {"phone": f"+44770090{digits}"},
    ]
    assert [parse_mode(address) for address in asking] == [SandboxMode(word)] * len(asking)


@pytest.mark.parametrize(
    "address",
    [
        {},
        {"email": "ada@example.com"},
        {"phone": "+447700900123"},
        {"phone": "+447700900014"},
        {"phone": "+447700000100"},
        {"token": "abc"},
        {"url": "https://hooks.example.com/in"},
        *({"url": chat_url(service, "T0k3n")} for service in ChatService),
        {"subscription": {"endpoint": "https://push.example.com/1", "keys": {"auth": "x", "p256dh": "y"}}},
    ],
)
def test_an_ordinary_contact_point_contains_no_sandbox_word(address: dict[str, Any]) -> None:
    assert parse_mode(address) is None


@pytest.mark.parametrize(
    ("word", "outcomes", "kept"),
    [
        ("", [ACCEPTED, ACCEPTED], 2),
        ("refuse", [REFUSED, REFUSED], 0),
        ("error", [TEMPORARY] * 4, 0),
        ("flaky", [TEMPORARY, TEMPORARY, ACCEPTED], 1),
        ("throttle", [TEMPORARY, ACCEPTED], 1),
        ("lost", [UNKNOWN, ACCEPTED], 2),
        ("broken", [PERMANENT, PERMANENT], 0),
        ("silent", [ACCEPTED], 1),
        ("open", [ACCEPTED], 1),
        ("bounce", [ACCEPTED], 1),
        ("complain", [ACCEPTED], 1),
        ("delay", [ACCEPTED], 1),
        ("unsubscribe", [ACCEPTED], 1),
    ],
)
async def test_one_delivery_gets_these_results_in_order(
    database_tenant: DatabaseTenant, sandbox: Sandbox, word: str, outcomes: list[type], kept: int
) -> None:
    message = await message_to(database_tenant, Channel.EMAIL, {"email": f"ada+{word}@example.com"})
    results = [await outcome(sandbox, replace(message, attempt_id=uuid4())) for _ in outcomes]
    assert results == outcomes
    assert len(await outbox(database_tenant, message)) == kept


async def outbox(database_tenant: DatabaseTenant, message: OutgoingMessage) -> list[dict[str, Any]]:
    return await database_tenant.query("SELECT * FROM sandbox_message WHERE delivery_id = :id", id=message.delivery_id)


async def test_an_email_keeps_its_options_without_file_contents_and_secret_links(
    database_tenant: DatabaseTenant, sandbox: Sandbox
) -> None:
    email = await message_to(database_tenant, Channel.EMAIL, {"email": "ada@example.com"})
    await sandbox.send(replace(email, email=OPTIONS))
    [row] = await outbox(database_tenant, email)
    assert row["email_options"] == {
        "sender": {"email": "orders@mail.example", "name": "Orders, Ltd"},
        "reply_to": {"email": "help@mail.example", "name": "Zoë"},
        "cc": ["bob@example.com", "cleo@example.com"],
        "bcc": ["archive@example.com"],
        "headers": {"X-Order": "4711", "In-Reply-To": "<first@mail.example>"},
        "attachments": [
            {"name": "Rechnung März.pdf", "content_type": "application/pdf", "size": 11},
            {"name": "visit.ics", "content_type": "text/calendar", "size": 32},
        ],
    }


async def test_a_message_other_than_an_email_has_no_email_options(
    database_tenant: DatabaseTenant, sandbox: Sandbox
) -> None:
    push = await message_to(database_tenant, Channel.PUSH, {"token": "abc"})
    await sandbox.send(push)
    [row] = await outbox(database_tenant, push)
    assert row["email_options"] is None


async def test_calls_are_counted_per_delivery_and_endpoint(database_tenant: DatabaseTenant, sandbox: Sandbox) -> None:
    phone = await message_to(database_tenant, Channel.PUSH, {"token": "throttle"})
    tablet = replace(phone, endpoint_id="tablet", attempt_id=uuid4())
    other = await message_to(database_tenant, Channel.PUSH, {"token": "throttle"})
    for message in (phone, tablet, other):
        assert await outcome(sandbox, message) is TemporaryError
        assert await outcome(sandbox, message) is ProviderAcceptance


async def test_a_throttled_call_has_a_retry_after_of_one_second(
    database_tenant: DatabaseTenant, sandbox: Sandbox
) -> None:
    with pytest.raises(TemporaryError) as caught:
        await sandbox.send(await message_to(database_tenant, Channel.SMS, {"phone": "+447700900004"}))
    assert caught.value.retry_after == 1


async def test_the_sandbox_store_keeps_delivered_messages_with_their_recipient(
    database_tenant: DatabaseTenant, sandbox: Sandbox
) -> None:
    message = await message_to(database_tenant, Channel.EMAIL, {"email": "ada@example.com"})
    accepted = await sandbox.send(message)
    assert isinstance(accepted, ProviderAcceptance)
    [row] = await outbox(database_tenant, message)
    assert str(row["id"]) == accepted.message_id
    assert (row["tenant"], row["recipient_id"], row["channel"]) == (database_tenant.tenant, "ada", "email")
    assert (row["address"], row["content"]) == ({"email": "ada@example.com"}, message.content)


@pytest.mark.parametrize(("word", "times"), [("", 1), ("lost", 1), ("refuse", 0), ("error", 0), ("broken", 0)])
async def test_a_lookup_finds_the_stored_message_of_an_attempt(
    database_tenant: DatabaseTenant, sandbox: Sandbox, word: str, times: int
) -> None:
    message = await message_to(database_tenant, Channel.EMAIL, {"email": f"ada+{word}@example.com"})
    await outcome(sandbox, message)
    again = replace(message, attempt_id=uuid4())
    assert await sandbox.look_up(again, datetime.now(UTC)) == []
    assert [found.message_id for found in await sandbox.look_up(message, datetime.now(UTC))] == [
        str(row["id"]) for row in await outbox(database_tenant, message)
    ]
    assert len(await outbox(database_tenant, message)) == times


async def test_only_a_message_with_receipts_is_announced(database_tenant: DatabaseTenant, sandbox: Sandbox) -> None:
    silent = await message_to(database_tenant, Channel.EMAIL, {"email": "ada+silent@example.com"})
    reported = await message_to(database_tenant, Channel.EMAIL, {"email": "ada@example.com"})
    heard: list[object] = []
    connection = await database_tenant.database.dedicated()
    try:
        await connection.add_listener(SANDBOX_CHANNEL, lambda *announced: heard.append(announced))
        for message in (silent, silent, reported):
            await sandbox.send(replace(message, attempt_id=uuid4()))
        await connection.execute("SELECT 1")  # earlier notifications arrive with the result
    finally:
        await connection.close()
    assert len(heard) == 1


async def test_each_call_is_recorded_with_its_message(database_tenant: DatabaseTenant, sandbox: Sandbox) -> None:
    message = await message_to(database_tenant, Channel.EMAIL, {"email": "ada@example.com"})
    for _ in range(2):
        await sandbox.send(replace(message, attempt_id=uuid4()))
    calls = await database_tenant.query(
        "SELECT attempt_id FROM sandbox_call WHERE delivery_id = :id", id=message.delivery_id
    )
    assert {row["attempt_id"] for row in calls} == {row["attempt_id"] for row in await outbox(database_tenant, message)}
    assert len(calls) == 2


async def test_the_sandbox_store_of_another_tenant_has_no_message(
    database_tenant: DatabaseTenant, sandbox: Sandbox
) -> None:
    message = await message_to(database_tenant, Channel.EMAIL, {"email": "ada@example.com"})
    await sandbox.send(message)
    assert await sandbox.look_up(replace(message, tenant=uuid4()), datetime.now(UTC)) == []


DELIVERED, OPENED = ReceiptKind.DELIVERED, ReceiptKind.OPENED


@pytest.mark.parametrize(
    ("word", "call", "reports"),
    [
        ("", 1, [(DELIVERED, 0.2)]),
        ("open", 1, [(DELIVERED, 0.2), (OPENED, 0.5)]),
        ("silent", 1, []),
        ("lost", 1, [(DELIVERED, 20.2)]),
        ("lost", 2, [(DELIVERED, 0.2)]),
        ("flaky", 3, [(DELIVERED, 0.2)]),
        ("bounce", 1, [(ReceiptKind.BOUNCED, 0.2)]),
        ("complain", 1, [(DELIVERED, 0.2), (ReceiptKind.COMPLAINED, 0.5)]),
        ("delay", 1, [(ReceiptKind.DELAYED, 0.2), (DELIVERED, 0.5)]),
        ("unsubscribe", 1, [(DELIVERED, 0.2), (ReceiptKind.UNSUBSCRIBED, 0.5)]),
    ],
)
def test_each_receipt_has_its_event_and_delay(word: str, call: int, reports: list[tuple[ReceiptKind, float]]) -> None:
    planned = plan_receipts(SandboxMode(word) if word else None, call)
    assert [(kind, after.total_seconds()) for kind, after in planned] == reports


async def due(database_tenant: DatabaseTenant, message: OutgoingMessage) -> dict[str, float]:
    rows = await database_tenant.query(
        "SELECT r.kind, extract(epoch FROM r.due_at - m.accepted_at) AS after FROM sandbox_receipt r"
        " JOIN sandbox_message m ON m.id = r.message_id WHERE r.attempt_id = :id",
        id=message.attempt_id,
    )
    return {row["kind"]: float(row["after"]) for row in rows}


@pytest.mark.parametrize(
    ("word", "after"),
    [
        ("", {"delivered": 0.2}),
        ("open", {"delivered": 0.2, "opened": 0.5}),
        ("silent", {}),
        ("complain", {"delivered": 0.2, "complained": 0.5}),
        ("lost", {"delivered": 20.2}),
    ],
)
async def test_reports_are_rows_that_are_due_then(
    database_tenant: DatabaseTenant, sandbox: Sandbox, word: str, after: dict[str, float]
) -> None:
    message = await message_to(database_tenant, Channel.EMAIL, {"email": f"ada+{word}@example.com"})
    await outcome(sandbox, message)
    assert await due(database_tenant, message) == pytest.approx(after, abs=0.05)


async def test_a_report_is_claimed_when_it_is_due_and_posted_once(
    database_tenant: DatabaseTenant, sandbox: Sandbox
) -> None:
    await database_tenant.query("TRUNCATE sandbox_receipt")
    message = await message_to(database_tenant, Channel.EMAIL, {"email": "ada+lost@example.com"})
    await outcome(sandbox, message)
    async with database_tenant.database.transaction() as session:
        assert await claim_due_receipts(session, 10) == []
        assert await seconds_to_next(session) == pytest.approx(20.2, abs=2)
    await database_tenant.query("UPDATE sandbox_receipt SET due_at = now()")
    async with database_tenant.database.transaction() as session:
        [claimed] = await claim_due_receipts(session, 10)
        assert (claimed.kind, claimed.attempt_id) == ("delivered", message.attempt_id)
    async with database_tenant.database.transaction() as session:
        assert await claim_due_receipts(session, 10) == []
        await mark_posted(session, [claimed.id])
        assert await seconds_to_next(session) is None


async def test_a_report_that_was_claimed_and_never_posted_is_due_again(
    database_tenant: DatabaseTenant, sandbox: Sandbox
) -> None:
    await database_tenant.query("TRUNCATE sandbox_receipt")
    await outcome(sandbox, await message_to(database_tenant, Channel.EMAIL, {"email": "ada@example.com"}))
    await database_tenant.query("UPDATE sandbox_receipt SET due_at = now()")
    async with database_tenant.database.transaction() as session:
        [first] = await claim_due_receipts(session, 10)
    await database_tenant.query("UPDATE sandbox_receipt SET due_at = due_at - interval '5 seconds'")
    async with database_tenant.database.transaction() as session:
        [again] = await claim_due_receipts(session, 10)
    assert first == again


async def test_a_scheduled_receipt_wakes_the_poster(database_tenant: DatabaseTenant, sandbox: Sandbox) -> None:
    heard: list[str] = []
    listener = await database_tenant.database.dedicated()
    try:
        await listener.add_listener("tocsin_sandbox", lambda *arguments: heard.append(str(arguments[2])))
        await outcome(sandbox, await message_to(database_tenant, Channel.EMAIL, {"email": "ada@example.com"}))
        await listener.execute("SELECT 1")
    finally:
        await listener.close()
    assert heard


def parsed(sandbox: Sandbox, body: bytes, *, at: datetime | None = None) -> list[ProviderReceipt]:
    timestamp = str(int((at or datetime.now(UTC)).timestamp()))
    return sandbox.parse_receipts({TIMESTAMP_HEADER: timestamp, SIGNATURE_HEADER: sign(SECRET, timestamp, body)}, body)


@pytest.mark.parametrize(("name", "kinds"), [("delivered", [DELIVERED]), ("opened", [OPENED])])
def test_a_sample_is_read(sandbox: Sandbox, name: str, kinds: list[ReceiptKind]) -> None:
    receipts = parsed(sandbox, (SAMPLES / f"{name}.json").read_bytes())
    assert [receipt.kind for receipt in receipts] == kinds
    assert receipts[0].attempt_id == UUID("816f0b9f-7ffd-5131-839d-9576d8637861")
    assert receipts[0].provider_message_id == "01a2041c-2825-70ac-9106-1b4b468e858e"


def test_a_batch_is_read_one_by_one(sandbox: Sandbox) -> None:
    receipts = parsed(sandbox, (SAMPLES / "batch.json").read_bytes())
    assert [receipt.kind for receipt in receipts] == [DELIVERED, ReceiptKind.BOUNCED, ReceiptKind.UNKNOWN]
    assert [receipt.reason for receipt in receipts] == [None, "mailbox_full", None]
    assert (receipts[1].attempt_id, receipts[1].occurred_at) == (None, datetime(2026, 3, 1, 12, 0, 1, tzinfo=UTC))
    assert receipts[2].raw["altitude"] == 12


GOOD = {"event": "delivered", "message_id": "m", "at": "2026-03-01T12:00:00Z", "reference": str(UUID(int=1))}


@pytest.mark.parametrize(
    "event",
    [
        {**GOOD, "at": "yesterday"},
        {**GOOD, "at": 1_700_000_000},
        {**GOOD, "at": "2026-03-01T12:00:00"},
        {**GOOD, "reference": "not-a-uuid"},
        {**GOOD, "reference": 5},
        {**GOOD, "event": ["delivered"]},
        {"event": "delivered"},
        {"at": "2026-03-01T12:00:00Z"},
        "delivered",
        None,
        [],
    ],
)
def test_an_event_that_the_sandbox_would_not_write_is_unreadable(sandbox: Sandbox, event: Any) -> None:
    assert parsed(sandbox, json.dumps({"events": [GOOD]}).encode())
    with pytest.raises(UnreadableReceipt):
        parsed(sandbox, json.dumps({"events": [GOOD, event]}).encode())


@pytest.mark.parametrize("timestamp", ["", "now", "-5", "1.5", "٣", "9" * 400])
def test_a_time_that_is_no_number_of_seconds_is_forged(sandbox: Sandbox, timestamp: str) -> None:
    headers = {TIMESTAMP_HEADER: timestamp, SIGNATURE_HEADER: sign(SECRET, timestamp, b"{}")}
    with pytest.raises(ForgedReceipt):
        sandbox.parse_receipts(headers, b"{}")


@pytest.mark.parametrize("signature", ["", "é", "0" * 64])
def test_a_signature_of_any_text_is_compared_and_refused(sandbox: Sandbox, signature: str) -> None:
    timestamp = str(int(datetime.now(UTC).timestamp()))
    with pytest.raises(ForgedReceipt):
        sandbox.parse_receipts({TIMESTAMP_HEADER: timestamp, SIGNATURE_HEADER: signature}, b"{}")


@pytest.mark.parametrize(("minutes", "taken"), [(4.9, True), (-4.9, True), (5.1, False), (-5.1, False)])
def test_five_minutes_either_way_are_tolerated(sandbox: Sandbox, minutes: float, taken: bool) -> None:
    body = (SAMPLES / "delivered.json").read_bytes()
    at = datetime.now(UTC) - timedelta(minutes=minutes)
    if taken:
        assert parsed(sandbox, body, at=at)
    else:
        with pytest.raises(ForgedReceipt):
            parsed(sandbox, body, at=at)


def test_the_sandbox_supports_all_devices_and_channels_except_the_inbox() -> None:
    assert Sandbox.channels == set(Channel) - {Channel.IN_APP}
    assert Sandbox.device_kinds == set(DeviceKind)
