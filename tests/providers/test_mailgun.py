"""Test Mailgun: the request, the result of each response, lookups, and the webhooks that are accepted."""

import base64
import json
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from domain.email_options import EmailAttachment, EmailOptions
from domain.evidence import ReceiptKind
from domain.outgoing_messages import OutgoingMessage
from providers.base import ForgedReceipt, ProviderReceipt, UnreadableReceipt
from providers.email_fields import recipient_digest
from providers.mailgun.adapter import Mailgun, MailgunSettings
from providers.mailgun.lookup import PAGE_SIZE, REFERENCE
from providers.mailgun.options import COPY_DIGEST, build_fields
from providers.outcomes import (
    LookupRefused,
    PermanentError,
    ProviderAcceptance,
    ProviderError,
    ProviderRefusal,
    TemporaryError,
    UnknownOutcome,
)
from services.receipts import stored_receipt_of as stored
from testing.vendors.http import Reply
from testing.vendors.mailgun import API_KEY, FakeMailgun
from testing.vendors.modes import VendorMode
from tests.providers.harness_mailgun import MailgunBench
from tests.providers.published_schemas import schema_problems

SAMPLES = Path(__file__).parent / "payloads" / "mailgun"
EVENTS = json.loads((SAMPLES / "events.json").read_text())
ATTEMPT = UUID(EVENTS[0]["user-variables"][REFERENCE])
COPIES = EmailOptions(cc=("bob@example.com",), bcc=("archive@example.com",))


@pytest.fixture
async def bench() -> AsyncIterator[MailgunBench]:
    async with MailgunBench.running() as bench:
        yield bench


def good(bench: MailgunBench, **changes: Any) -> OutgoingMessage:
    return replace(bench.message_in_mode(VendorMode.GOOD), **changes)


def form(bench: MailgunBench) -> dict[str, Any]:
    """Return the fields of the last request, as the published schema names them."""
    fields: dict[str, list[str]] = defaultdict(list)
    for name, value in bench.vendor.log.requests[-1].multipart:
        fields[name].append(value.decode())
    return {name: values if name in ("to", "o:tag") else values[0] for name, values in fields.items()}


def parsed(bench: MailgunBench, event: Any, at: datetime | None = None) -> ProviderReceipt:
    headers, body = bench.signed_receipt(json.dumps(event).encode(), at or datetime.now(UTC))
    [receipt] = bench.provider.parse_receipts(headers, body)
    return receipt


def callback(signature: Any, event: Any = EVENTS[1]) -> bytes:
    return json.dumps({"signature": signature, "event-data": event}).encode()


async def test_the_request_is_as_documented(bench: MailgunBench) -> None:
    message = good(bench)
    await bench.provider.send(message)
    [request] = bench.vendor.log.requests
    assert request.target == "/v3/mail.example/messages.mime"
    assert base64.b64decode(request.headers["authorization"].removeprefix("Basic ")).decode() == f"api:{API_KEY}"
    fields = form(bench)
    mail = message_from_bytes(fields.pop("message").encode(), policy=policy.default)
    assert fields == {
        "to": [message.address["email"]],
        f"v:{REFERENCE}": str(message.attempt_id),
        "o:tracking": "no",
    }
    assert (mail["From"], mail["Subject"]) == ('"The shop, Ltd" <shop@example.com>', "Hi")


async def test_a_request_with_all_options_fits_the_published_schema(bench: MailgunBench) -> None:
    attachment = EmailAttachment(name="März.pdf", content_type="application/pdf", content=b"%PDF \x00\xff")
    message = good(
        bench,
        email=replace(COPIES, attachments=(attachment,)),
        tags=("a", "A", "b", "é", "c", "d", "x" * 129),
        expires_at=datetime.now(UTC) + timedelta(hours=1, minutes=30, seconds=30),
    )
    await bench.provider.send(message)
    fields = form(bench)
    digest = recipient_digest(message.attempt_id, message.address["email"])
    assert (fields["o:tag"], fields["o:deliver-within"]) == (["A", "b", "c"], "1h30m")
    assert fields["to"] == [message.address["email"], "bob@example.com", "archive@example.com"]
    assert fields[f"v:{COPY_DIGEST}"] == digest
    assert "archive@example.com" not in fields["message"]
    published = {"v:my-var" if name.startswith("v:") else name: value for name, value in fields.items()}
    assert schema_problems("mailgun/mailgun", "SendRequest", published) == []
    assert schema_problems("mailgun/mailgun", "SendRequest", published | {"o:tracking": "never"})


@pytest.mark.parametrize(("left", "window"), [(-5, "0h5m"), (61, "0h5m"), (86_500, None), (3_630, "1h0m")])
async def test_mailgun_tries_until_a_message_expires(bench: MailgunBench, left: int, window: str | None) -> None:
    expires_at = datetime.now(UTC) + timedelta(seconds=left)
    assert build_fields(good(bench, expires_at=expires_at)).get("o:deliver-within") == window


async def test_a_type_may_leave_tracking_to_the_account(bench: MailgunBench) -> None:
    await bench.provider.send(good(bench, vendor_tracking=True))
    assert "o:tracking" not in form(bench)


async def test_an_international_address_is_sent(bench: MailgunBench) -> None:
    address = {"email": "pepé+good@müller.de", "email_ascii": "pepé+good@xn--mller-kva.de"}
    assert isinstance(await bench.provider.send(good(bench, address=address)), ProviderAcceptance)
    assert bench.email().to == ["pepé+good@xn--mller-kva.de"]


async def test_two_attempts_of_a_delivery_have_two_ids(bench: MailgunBench) -> None:
    """Mailgun's own id is the Message-ID, which they share."""
    first = good(bench)
    second = replace(first, attempt_id=uuid4())
    ids = []
    for message in (first, second):
        accepted = await bench.provider.send(message)
        assert isinstance(accepted, ProviderAcceptance)
        ids.append(accepted.message_id)
    found = [await bench.provider.look_up(message, datetime.now(UTC)) for message in (first, second)]
    assert [[match.message_id for match in matches] for matches in found] == [[ids[0]], [ids[1]]]
    assert ids[0] == f"{first.delivery_id}@example.com/{first.attempt_id}" != ids[1]
    assert await bench.provider.look_up(replace(first, attempt_id=uuid4()), datetime.now(UTC)) == []


@pytest.mark.parametrize(
    ("text", "options", "reason"),
    [
        ("'to' parameter is not a valid address. please check documentation", EmailOptions(), "invalid_address"),
        ("to parameter is not a valid address. please check documentation.", COPIES, "bad_request"),
        ("Send options (parameters starting with o:, h:, or v:) are limited to 16KB", EmailOptions(), "bad_request"),
        ("Need at least one of 'text', 'html', 'amp-html' or 'template'", EmailOptions(), "empty_message"),
    ],
)
async def test_a_400_is_about_the_recipient_or_the_message(
    bench: MailgunBench, text: Any, options: EmailOptions, reason: str
) -> None:
    bench.vendor.reply = Reply(status=400, body={"message": text})
    result = await bench.provider.send(good(bench, email=options))
    assert isinstance(result, ProviderRefusal)
    assert result == ProviderRefusal(reason=reason, response={"status": 400})


@pytest.mark.parametrize(
    ("status", "text", "error", "reason"),
    [
        (400, "from parameter is missing", PermanentError, "sender_refused"),
        (400, "an undocumented problem", PermanentError, "unexpected_answer"),
        (400, None, PermanentError, "unexpected_answer"),
        (400, "Please add the address to authorized recipients", PermanentError, "unverified_recipient"),
        (401, "Forbidden", PermanentError, "credentials_refused"),
        (401, "Please activate your Mailgun account", PermanentError, "account_suspended"),
        (402, "Request failed", PermanentError, "unexpected_answer"),
        (403, "Domain mail.example is not allowed to send: disabled", PermanentError, "account_suspended"),
        (404, "Domain not found: mail.example", PermanentError, "account_not_found"),
        (405, "not allowed", PermanentError, "unexpected_answer"),
        (500, "Domain mail.example is not allowed to send", UnknownOutcome, "server_error"),
        (503, "", UnknownOutcome, "server_error"),
    ],
)
async def test_every_other_status_proves_a_result(
    bench: MailgunBench, status: int, text: str | None, error: type[ProviderError], reason: str
) -> None:
    bench.vendor.reply = Reply(status=status, body={"message": text})
    with pytest.raises(error) as caught:
        await bench.provider.send(good(bench))
    assert caught.value.reason == reason


async def test_a_message_that_is_too_large_is_refused(bench: MailgunBench) -> None:
    bench.vendor.reply = Reply(status=413)
    assert await bench.provider.send(good(bench)) == ProviderRefusal(reason="too_large", response={"status": 413})


@pytest.mark.parametrize(
    ("status", "text", "headers", "least", "most"),
    [
        (429, "account-requests-per-sec limit exceeded, try again after 120 seconds", {}, 120, 120),
        (429, "limit exceeded, try again after 120 seconds", {"Retry-After": "7"}, 7, 7),
        (420, "recipient limit exceeded, try again after {later:%a, %d %b %Y %H:%M:%S} UTC", {}, 500, 600),
        (420, "recipient limit exceeded, try again after Mon, 25 Aug 2025 07:00:31 UTC", {}, 1, 1),
        (420, "recipient limit exceeded, try again after lunch", {}, None, None),
        (429, "", {}, None, None),
    ],
)
async def test_a_throttled_call_waits_as_long_as_mailgun_asks(
    bench: MailgunBench, status: int, text: str, headers: dict[str, str], least: float | None, most: float | None
) -> None:
    text = text.format(later=datetime.now(UTC) + timedelta(seconds=600))
    bench.vendor.reply = Reply(status=status, body={"message": text}, headers=headers)
    with pytest.raises(TemporaryError, match="throttled") as caught:
        await bench.provider.send(good(bench))
    delay = caught.value.retry_after
    assert (delay is None) is (least is None)
    assert delay is None or (least or 0) <= delay <= (most or 0)


async def test_every_vendor_term_has_its_receipt_kind(bench: MailgunBench) -> None:
    receipts = [parsed(bench, event) for event in EVENTS]
    assert [(receipt.raw["event"], receipt.kind, receipt.reason) for receipt in receipts] == [
        ("accepted", ReceiptKind.UNKNOWN, None),
        ("delivered", ReceiptKind.DELIVERED, None),
        ("opened", ReceiptKind.OPENED, None),
        ("clicked", ReceiptKind.CLICKED, None),
        ("unsubscribed", ReceiptKind.UNSUBSCRIBED, None),
        ("complained", ReceiptKind.COMPLAINED, None),
        ("rejected", ReceiptKind.FAILED, "unverified_recipient"),
        ("failed", ReceiptKind.FAILED, "bounced_before"),
        ("failed", ReceiptKind.BOUNCED, "invalid_address"),
        ("failed", ReceiptKind.BOUNCED, "mailbox_disabled"),
        ("failed", ReceiptKind.FAILED, "validity_expired"),
        ("failed", ReceiptKind.DELAYED, "mailbox_full"),
    ]
    assert {receipt.attempt_id for receipt in receipts} == {ATTEMPT}
    assert {receipt.occurred_at for receipt in receipts} == {datetime(2018, 6, 22, 18, 29, 59, 626182, UTC)}


async def test_an_event_of_a_copy_proves_nothing_about_the_recipient(bench: MailgunBench) -> None:
    variables = {REFERENCE: str(ATTEMPT), COPY_DIGEST: recipient_digest(ATTEMPT, "ada@example.com")}
    bounced, rejected = ({**EVENTS[index], "user-variables": variables} for index in (8, 6))
    events = [{**bounced, "recipient": "bob@example.com"}, bounced, rejected]
    assert [(receipt.kind, receipt.reason) for receipt in (parsed(bench, event) for event in events)] == [
        (ReceiptKind.UNKNOWN, None),
        (ReceiptKind.BOUNCED, "invalid_address"),
        (ReceiptKind.FAILED, "unverified_recipient"),
    ]


@pytest.mark.parametrize("variables", [None, [], "text", {}, {REFERENCE: 7}, {REFERENCE: "another system's"}])
async def test_an_event_of_another_sender_is_of_no_attempt(bench: MailgunBench, variables: Any) -> None:
    receipt = parsed(bench, {**EVENTS[1], "user-variables": variables})
    message_id = EVENTS[1]["message"]["headers"]["message-id"]
    assert (receipt.attempt_id, receipt.provider_message_id) == (None, message_id)


async def test_a_repeated_event_with_another_token_is_the_same_receipt(bench: MailgunBench) -> None:
    first, again = (parsed(bench, EVENTS[1]) for _ in range(2))
    assert first.token != again.token
    assert stored("mailgun", first).id == stored("mailgun", again).id


async def test_another_event_with_a_copied_signature_has_the_used_token(bench: MailgunBench) -> None:
    """The signature does not cover the event. The database stores one receipt for each token."""
    signature = bench.vendor.sign(str(int(time.time())), "t" * 50)
    rows = [stored("mailgun", *bench.provider.parse_receipts({}, callback(signature, event))) for event in EVENTS[1:3]]
    assert rows[0].id != rows[1].id
    assert rows[0].token == rows[1].token is not None


async def test_the_signature_is_that_of_the_vendors_package(
    bench: MailgunBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`SecurityGuard.verify_webhook` of the package mailgun 1.10.0 accepts these values."""
    signature = {
        "timestamp": "1767225600",
        "token": "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a697887",
        "signature": "cce75d31bd25504445a93ec31a38d0060cebbd89924b5ddccd595704c0d57ef0",
    }
    bench.provider = bench.adapter(webhook_signing_key=SecretStr("f3c1c6d7e2a94b0f8e5d"))
    monkeypatch.setattr(time, "time", lambda: 1767225700.0)
    assert bench.provider.parse_receipts({}, callback(signature))
    for name, value in signature.items():
        with pytest.raises(ForgedReceipt):
            bench.provider.parse_receipts({}, callback(signature | {name: value[:-1] + "1"}))


async def test_the_signature_of_the_parent_account_is_accepted(bench: MailgunBench) -> None:
    signature = bench.vendor.sign(str(int(time.time())), "t" * 50)
    own = bench.forger.sign(signature["timestamp"], signature["token"])
    assert bench.provider.parse_receipts({}, callback(own | {"parent-signature": signature["signature"]}))


@pytest.mark.parametrize(
    ("age", "accepted"),
    [
        (timedelta(hours=7, minutes=59), True),
        (timedelta(hours=8, minutes=1), False),
        (-timedelta(minutes=4), True),
        (-timedelta(minutes=6), False),
    ],
)
async def test_a_signature_is_good_while_mailgun_repeats(bench: MailgunBench, age: timedelta, accepted: bool) -> None:
    at = datetime.now(UTC) - age
    if accepted:
        assert parsed(bench, EVENTS[1], at)
    else:
        with pytest.raises(ForgedReceipt):
            parsed(bench, EVENTS[1], at)


@pytest.mark.parametrize("signature", [None, 7, "text", [], {}, {"token": 7}, {"token": ""}, {"token": "t"}])
async def test_a_signature_that_is_none_is_forged(bench: MailgunBench, signature: Any) -> None:
    with pytest.raises(ForgedReceipt):
        bench.provider.parse_receipts({}, callback(signature))


@pytest.mark.parametrize("timestamp", ["soon", "", "-1", "9" * 400])
async def test_a_signed_time_that_is_none_is_forged(bench: MailgunBench, timestamp: str) -> None:
    with pytest.raises(ForgedReceipt):
        bench.provider.parse_receipts({}, callback(bench.vendor.sign(timestamp, "t" * 50)))


async def test_a_signed_time_in_other_digits_is_forged(bench: MailgunBench) -> None:
    arabic = str(int(time.time())).translate({ord("0") + digit: ord("\u0660") + digit for digit in range(10)})
    with pytest.raises(ForgedReceipt, match="not a number"):
        bench.provider.parse_receipts({}, callback(bench.vendor.sign(arabic, "t" * 50)))


async def test_a_signature_without_a_token_is_forged(bench: MailgunBench) -> None:
    """Its receipt would have no token that counts once."""
    with pytest.raises(ForgedReceipt, match="missing"):
        bench.provider.parse_receipts({}, callback(bench.vendor.sign(str(int(time.time())), "")))


async def test_every_receipt_is_refused_without_a_signing_key(bench: MailgunBench) -> None:
    bench.provider = bench.adapter(webhook_signing_key=SecretStr(""))
    signature = FakeMailgun(secret="").sign(str(int(time.time())), "t" * 50)
    with pytest.raises(ForgedReceipt, match="TOCSIN_MAILGUN_WEBHOOK_SIGNING_KEY"):
        bench.provider.parse_receipts({}, callback(signature))


def test_a_stored_callback_gets_the_only_status_that_mailgun_does_not_repeat() -> None:
    """https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/webhook-retries"""
    assert Mailgun.receipt_status == 200


@pytest.mark.parametrize(
    "change",
    [
        {"event": None},
        {"event": []},
        {"timestamp": "1e999"},
        {"timestamp": 10**30},
        {"event": "failed", "delivery-status": 7},
        {"event": "rejected", "reject": 7},
    ],
    ids=str,
)
async def test_an_undocumented_event_is_unreadable_or_unknown(bench: MailgunBench, change: Any) -> None:
    if change == {"event": None}:
        assert parsed(bench, EVENTS[1] | change).kind is ReceiptKind.UNKNOWN
    else:
        with pytest.raises(UnreadableReceipt):
            parsed(bench, EVENTS[1] | change)


@pytest.mark.parametrize(
    ("body", "error", "reason"),
    [
        ({"domain": {"state": "unverified", "is_disabled": False}}, PermanentError, "domain_not_verified"),
        ({"domain": {"state": "active", "is_disabled": True}}, PermanentError, "domain_disabled"),
        ({"domain": {"state": "disabled"}}, PermanentError, "domain_disabled"),
        ({"domain": None}, TemporaryError, "malformed_response"),
    ],
)
async def test_a_check_reports_a_domain_that_may_not_send(
    bench: MailgunBench, body: Any, error: type[ProviderError], reason: str
) -> None:
    assert await bench.provider.check() == "the API key is valid and the domain is active"
    bench.vendor.lookup_override = Reply(status=200, body=body)
    with pytest.raises(error, match=reason):
        await bench.provider.check()


@pytest.mark.parametrize(
    ("status", "error", "reason"),
    [
        (403, LookupRefused, "events_not_available"),
        (401, PermanentError, "credentials_refused"),
        (404, PermanentError, "account_not_found"),
    ],
)
async def test_a_key_that_may_only_send_finds_nothing(
    bench: MailgunBench, status: int, error: type[ProviderError], reason: str
) -> None:
    bench.vendor.lookup_override = Reply(status=status, body={"message": "Forbidden"})
    with pytest.raises(error, match=reason):
        await bench.provider.look_up(good(bench), datetime.now(UTC))


async def test_a_query_and_its_events_fit_the_published_schema(bench: MailgunBench) -> None:
    message = good(bench, email=COPIES)
    await bench.provider.send(message)
    [found] = await bench.provider.look_up(message, datetime.now(UTC))
    assert found.message_id == f"{message.delivery_id}@example.com/{message.attempt_id}"
    query: dict[str, Any] = bench.vendor.log.lookups[-1].query
    assert schema_problems("mailgun/mailgun", "EventsQuery", query | {"limit": int(query["limit"])}) == []
    assert message.address["email"] not in str(query)
    [events] = bench.vendor.events.values()
    assert len(events) == 3
    for event in events:
        event.pop("recipient")  # in every example of an event, but not in its schema
        assert schema_problems("mailgun/mailgun", "EventResponse", event) == []


@pytest.mark.parametrize(
    "items",
    [
        None,
        [7],
        [{"user-variables": {REFERENCE: str(ATTEMPT)}}],
        [{"user-variables": {}}] * PAGE_SIZE,
    ],
    ids=["none", "no objects", "no id", "a full page without it"],
)
async def test_an_incomplete_list_proves_nothing(bench: MailgunBench, items: Any) -> None:
    bench.vendor.lookup_override = Reply(status=200, body={"items": items})
    with pytest.raises(TemporaryError, match="malformed_response"):
        await bench.provider.look_up(good(bench, attempt_id=ATTEMPT), datetime.now(UTC))


def test_settings_are_read_by_the_names_of_the_docs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in (("API_KEY", API_KEY), ("DOMAIN", "mail.example"), ("FROM", "shop@example.com")):
        monkeypatch.setenv(f"TOCSIN_MAILGUN_{name}", value)
    monkeypatch.setenv("TOCSIN_MAILGUN_WEBHOOK_SIGNING_KEY", "a key")
    read = MailgunSettings.read()
    assert (read.api_key, read.domain, read.sender) == (SecretStr(API_KEY), "mail.example", "shop@example.com")
    assert (read.webhook_signing_key, read.base_url) == (SecretStr("a key"), "https://api.mailgun.net")


async def test_no_secret_is_in_a_text_of_the_adapter(bench: MailgunBench) -> None:
    shown = repr(bench.settings) + repr(bench.provider)
    assert API_KEY not in shown
    assert bench.vendor.secret not in shown
