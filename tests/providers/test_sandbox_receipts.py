"""Test the receipts of the sandbox: planned, due, posted, and read."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from domain.channels import Channel
from domain.evidence import ReceiptKind
from domain.outgoing_messages import OutgoingMessage
from providers.base import ForgedReceipt, ProviderReceipt, UnreadableReceipt
from providers.sandbox import SIGNATURE_HEADER, TIMESTAMP_HEADER, Sandbox, SandboxMode, plan_receipts, sign
from storage.database import Database
from storage.sandbox import PostgresSandboxStore, claim_due_receipts, mark_posted, seconds_to_next
from tests.providers.harness import message_to
from tests.providers.harness_own import SandboxBench, sandbox_outcome
from tests.storage.sends import DatabaseTenant

pytestmark = pytest.mark.postgres
SAMPLES = Path(__file__).parent / "payloads" / "sandbox"


@pytest.fixture
def sandbox(database: Database) -> Sandbox:
    return Sandbox(PostgresSandboxStore(database), SandboxBench.SECRET)


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
    await sandbox_outcome(sandbox, message)
    assert await due(database_tenant, message) == pytest.approx(after, abs=0.05)


async def test_a_report_is_claimed_when_it_is_due_and_posted_once(
    database_tenant: DatabaseTenant, sandbox: Sandbox
) -> None:
    await database_tenant.query("TRUNCATE sandbox_receipt")
    message = await message_to(database_tenant, Channel.EMAIL, {"email": "ada+lost@example.com"})
    await sandbox_outcome(sandbox, message)
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
    await sandbox_outcome(sandbox, await message_to(database_tenant, Channel.EMAIL, {"email": "ada@example.com"}))
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
        await sandbox_outcome(sandbox, await message_to(database_tenant, Channel.EMAIL, {"email": "ada@example.com"}))
        await listener.execute("SELECT 1")
    finally:
        await listener.close()
    assert heard


def parsed(sandbox: Sandbox, body: bytes, *, at: datetime | None = None) -> list[ProviderReceipt]:
    timestamp = str(int((at or datetime.now(UTC)).timestamp()))
    return sandbox.parse_receipts(
        {TIMESTAMP_HEADER: timestamp, SIGNATURE_HEADER: sign(SandboxBench.SECRET, timestamp, body)}, body
    )


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
    headers = {TIMESTAMP_HEADER: timestamp, SIGNATURE_HEADER: sign(SandboxBench.SECRET, timestamp, b"{}")}
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
