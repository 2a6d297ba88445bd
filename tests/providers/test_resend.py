"""Test Resend: requests, the meaning of each error, repeated requests, and verified receipts."""

import base64
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from domain.email_options import EmailAttachment, EmailOptions, Mailbox
from domain.evidence import CallResult, ReceiptKind
from domain.outgoing_messages import OutgoingMessage
from providers.base import ForgedReceipt, ProviderReceipt, UnreadableReceipt
from providers.email_fields import recipient_digest
from providers.outcomes import PermanentError, ProviderAcceptance, ProviderRefusal, TemporaryError, UnknownOutcome
from providers.resend.options import COPY_DIGEST, REFERENCE
from services.provider_calls import send_once as send
from testing.vendors.http import Reply
from testing.vendors.modes import VendorMode
from testing.vendors.resend import error
from tests.providers.harness_resend import ResendBench
from tests.providers.published_schemas import schema_problems

SAMPLES = Path(__file__).parent / "payloads" / "resend"
ATTEMPT = UUID("816f0b9f-7ffd-5131-839d-9576d8637861")
R, K = CallResult, ReceiptKind


def sample(name: str) -> Any:
    return json.loads((SAMPLES / f"{name}.json").read_text())


OPENAPI = sample("emails_openapi")
EVENTS: dict[str, Any] = {event["type"].removeprefix("email."): event for event in sample("events")}
ALL_OPTIONS = EmailOptions(
    sender=Mailbox(email="orders@mail.example", name='Zoë "Z", Orders <Ltd>'),
    reply_to=Mailbox(email="help@mail.example"),
    cc=("bob@example.com",),
    bcc=("archive@example.com",),
    headers={"X-Order": "4711"},
    attachments=(EmailAttachment(name="a.txt", content_type="text/plain", content=b"A"),),
    unsubscribe_url="https://tocsin.example/unsubscribe/t",
)


@pytest.fixture
async def bench() -> AsyncIterator[ResendBench]:
    async with ResendBench.running() as bench:
        yield bench


def raw(event: Any) -> bytes:
    return json.dumps(event, separators=(",", ":")).encode()


def parsed(bench: ResendBench, body: bytes, at: datetime | None = None) -> list[ProviderReceipt]:
    return bench.provider.parse_receipts(bench.signed(body, at or datetime.now(UTC)), body)


def problems(schema: str, value: Any) -> list[str]:
    """Return what is wrong by the vendor's OpenAPI document."""
    return schema_problems("resend/emails", schema, value)


async def sent(bench: ResendBench, **changes: Any) -> tuple[OutgoingMessage, dict[str, Any]]:
    """Send, and return the message with its request."""
    message = replace(bench.message_in_mode(VendorMode.GOOD), **changes)
    outcome = await bench.provider.send(message)
    assert isinstance(outcome, ProviderAcceptance), outcome
    return message, bench.vendor.log.requests[-1].json


@pytest.mark.parametrize("options", [EmailOptions(), ALL_OPTIONS], ids=["no options", "all options"])
async def test_a_request_satisfies_the_published_schema(bench: ResendBench, options: EmailOptions) -> None:
    _, request = await sent(bench, email=options, tags=("orders",))
    assert problems("SendEmailRequest", request) == []
    assert [problems("Attachment", each) for each in request.get("attachments", [])] == [[]] * len(options.attachments)
    assert [problems("Tag", each) for each in request["tags"]] == [[]] * len(request["tags"])
    assert problems("SendEmailRequest", {**request, "to": []})
    assert problems("Tag", {"name": "orders", "content": "true"})


async def test_the_attempt_id_is_the_key_and_a_tag(bench: ResendBench) -> None:
    message, request = await sent(bench)
    [headers] = [request.headers for request in bench.vendor.log.requests]
    assert headers["idempotency-key"] == str(message.attempt_id)
    assert request["tags"] == [{"name": REFERENCE, "value": str(message.attempt_id)}]
    [parameter] = OPENAPI["paths"]["/emails"]["post"]["parameters"]
    assert (parameter["name"], parameter["schema"]["maxLength"]) == ("Idempotency-Key", 256)


async def test_an_email_with_copies_names_its_recipient_by_a_digest(bench: ResendBench) -> None:
    message, request = await sent(bench, email=EmailOptions(bcc=("eve@example.com",)))
    digest = recipient_digest(message.attempt_id, message.address["email"])
    assert {tag["name"]: tag["value"] for tag in request["tags"]}[COPY_DIGEST] == digest


async def test_tags_that_the_vendor_would_refuse_are_omitted(bench: ResendBench) -> None:
    tags = ("orders", "größe", "a b", "", "x" * 257, "orders", REFERENCE, *(f"t{number}" for number in range(80)))
    _, request = await sent(bench, tags=tags)
    names = [tag["name"] for tag in request["tags"]]
    assert (len(names), names[:3]) == (75, [REFERENCE, "orders", "t0"])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("", "orders@mail.example"),
        ("Zoë", "Zoë <orders@mail.example>"),
        ('"Z", Orders <Ltd>', "Z Orders Ltd <orders@mail.example>"),
        ("A\r\nBcc: x", "A Bcc x <orders@mail.example>"),
        (", ", "orders@mail.example"),
    ],
)
async def test_a_name_needs_no_quotes(bench: ResendBench, name: str, expected: str) -> None:
    mailbox = Mailbox(email="orders@mail.example", name=name)
    _, request = await sent(bench, email=EmailOptions(sender=mailbox, reply_to=mailbox))
    assert (request["from"], request["reply_to"]) == (expected, [expected])


async def test_a_line_break_in_a_subject_becomes_a_space(bench: ResendBench) -> None:
    _, request = await sent(bench, content={**ResendBench.content, "subject": "Your\r\norder"})
    assert request["subject"] == "Your order"


@pytest.mark.parametrize("part", ["html", "text"])
async def test_an_empty_part_is_omitted(bench: ResendBench, part: str) -> None:
    _, request = await sent(bench, content={**ResendBench.content, part: ""})
    assert part not in request


async def test_an_international_domain_is_sent_in_its_ascii_form(bench: ResendBench) -> None:
    address = {"email": "a+good@müller.de", "email_ascii": "a+good@xn--mller-kva.de"}
    _, request = await sent(bench, address=address)
    assert request["to"] == ["a+good@xn--mller-kva.de"]


async def test_the_message_id_is_that_of_the_response(bench: ResendBench) -> None:
    assert problems("SendEmailResponse", {"id": "49a3999c"}) == []
    bench.vendor.reply = Reply(status=200, body={"id": "49a3999c"})
    outcome = await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert outcome == ProviderAcceptance(message_id="49a3999c", response={"status": 200})


# What each error of payloads/resend/errors.json proves, in the same order.
EXPECTED_ERRORS = [
    (R.REFUSED, "bad_request"),
    (R.REFUSED, "bad_request"),
    *[(R.PERMANENT, "credentials_refused")] * 7,
    (R.PERMANENT, "account_suspended"),
    (R.PERMANENT, "sender_refused"),
    (R.PERMANENT, "sender_refused"),
    (R.PERMANENT, "unexpected_answer"),
    (R.PERMANENT, "unexpected_answer"),
    (R.UNKNOWN, "repeat_in_progress"),
    (R.UNKNOWN, "repeat_refused"),
    (R.REFUSED, "invalid_address"),
    (R.PERMANENT, "sender_refused"),
    (R.REFUSED, "bad_request"),
    (R.PERMANENT, "sender_refused"),
    (R.REFUSED, "bad_request"),
    (R.REFUSED, "bad_request"),
    (R.PERMANENT, "quota_exceeded"),
    (R.PERMANENT, "quota_exceeded"),
    (R.NOT_ACCEPTED, "throttled"),
    (R.REFUSED, "content_refused"),
    (R.UNKNOWN, "server_error"),
    (R.NOT_ACCEPTED, "unavailable"),
]


@pytest.mark.parametrize(
    ("body", "result", "reason"),
    [(body, *expected) for body, expected in zip(sample("errors"), EXPECTED_ERRORS, strict=True)],
    ids=lambda value: f"{value['statusCode']} {value['name']}" if isinstance(value, dict) else None,
)
async def test_each_documented_error_proves_a_result(
    bench: ResendBench, body: dict[str, Any], result: CallResult, reason: str
) -> None:
    bench.vendor.reply = Reply(status=body["statusCode"], body=body)
    outcome = await send(bench.provider, bench.message_in_mode(VendorMode.GOOD))
    assert (outcome.result, outcome.reason) == (result, reason)
    assert body["message"] not in repr(outcome.response)


@pytest.mark.parametrize(
    ("reply", "result", "reason"),
    [
        (Reply(status=413), R.REFUSED, "too_large"),
        (Reply(status=422, body=b"\xff"), R.PERMANENT, "unexpected_answer"),
        (error(422, "new_error", "New"), R.PERMANENT, "unexpected_answer"),
        (error(409, "resource_locked", "Locked"), R.PERMANENT, "unexpected_answer"),
        (Reply(status=503, body=b"<html>"), R.UNKNOWN, "server_error"),
        (Reply(status=403, body=[]), R.PERMANENT, "credentials_refused"),
    ],
)
async def test_an_undocumented_error_proves_what_its_status_does(
    bench: ResendBench, reply: Reply, result: CallResult, reason: str
) -> None:
    bench.vendor.reply = reply
    outcome = await send(bench.provider, bench.message_in_mode(VendorMode.GOOD))
    assert (outcome.result, outcome.reason) == (result, reason)


@pytest.mark.parametrize(
    ("headers", "delay"),
    [
        ({"retry-after": "7", "ratelimit-reset": "3"}, 7.0),
        ({"ratelimit-reset": "3"}, 3.0),
        ({"ratelimit-reset": "soon"}, None),
        ({}, None),
    ],
)
@pytest.mark.parametrize("name", ["rate_limit_exceeded", "concurrent_idempotent_requests"])
async def test_a_throttled_or_concurrent_request_states_the_delay(
    bench: ResendBench, name: str, headers: Mapping[str, str], delay: float | None
) -> None:
    is_throttled = name == "rate_limit_exceeded"
    reply = error(429 if is_throttled else 409, name, "Later")
    bench.vendor.reply = replace(reply, headers=headers)
    with pytest.raises(TemporaryError if is_throttled else UnknownOutcome) as caught:
        await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert caught.value.retry_after == delay


async def test_a_repeated_request_has_the_same_bytes_and_sends_nothing(bench: ResendBench) -> None:
    """The time passes between them, and the adapter is that of another process."""
    message = replace(bench.message_in_mode(VendorMode.LOSES), email=ALL_OPTIONS, tags=("orders", "b"))
    with pytest.raises(UnknownOutcome):
        await bench.provider.send(message)
    bench.vendor.mode_of = None
    again = await bench.adapter().send(replace(message))
    first, second = bench.vendor.log.requests
    assert isinstance(again, ProviderAcceptance)
    assert (first.body, bench.vendor.log.kept[str(message.attempt_id)]) == (second.body, 1)


async def test_a_changed_request_with_the_same_key_is_unknown(bench: ResendBench) -> None:
    message, _ = await sent(bench)
    with pytest.raises(UnknownOutcome, match="repeat_refused"):
        await bench.provider.send(replace(message, address={"email": "b+good@example.com"}))
    assert bench.vendor.log.kept[str(message.attempt_id)] == 1


async def test_a_check_accepts_a_key_that_may_only_send(bench: ResendBench) -> None:
    assert await bench.provider.check() == "the API key is valid and may send mail"
    bench.vendor.is_sending_key = True
    assert await bench.provider.check() == "the API key is valid and may only send mail"


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (error(400, "validation_error", "API key is invalid"), "credentials_refused"),
        (error(403, "restricted_api_key", "API key is not active"), "credentials_refused"),
        (error(403, "suspended_api_key", "This API key is suspended"), "account_suspended"),
        (error(400, "validation_error", "Something else"), "unexpected_answer"),
    ],
)
async def test_a_check_reports_what_is_wrong_with_the_key(bench: ResendBench, reply: Reply, reason: str) -> None:
    bench.vendor.lookup_override = reply
    with pytest.raises(PermanentError, match=f"^{reason}$"):
        await bench.provider.check()


EXPECTED_KINDS = {
    "sent": (K.UNKNOWN, None),
    "scheduled": (K.UNKNOWN, None),
    "delivery_delayed": (K.DELAYED, None),
    "delivered": (K.DELIVERED, None),
    "opened": (K.OPENED, None),
    "clicked": (K.CLICKED, None),
    "bounced": (K.BOUNCED, "invalid_address"),
    "complained": (K.COMPLAINED, None),
    "failed": (K.FAILED, "quota_exceeded"),
    "suppressed": (K.FAILED, "bounced_before"),
}


@pytest.mark.parametrize("name", EVENTS)
def test_each_sample_satisfies_the_published_schema(name: str) -> None:
    title = "".join(word.capitalize() for word in name.split("_"))
    assert problems(f"Email{title}Event", EVENTS[name]) == []


@pytest.mark.parametrize("name", EVENTS)
async def test_each_documented_event_is_a_receipt_of_the_attempt(bench: ResendBench, name: str) -> None:
    [receipt] = parsed(bench, raw(EVENTS[name]))
    assert (receipt.kind, receipt.reason) == EXPECTED_KINDS[name]
    assert (receipt.attempt_id, receipt.provider_message_id) == (ATTEMPT, EVENTS[name]["data"]["email_id"])
    assert receipt.occurred_at == datetime(2026, 11, 22, 23, 41, 12, 126_000, tzinfo=UTC)
    assert receipt.raw == EVENTS[name]


@pytest.mark.parametrize(
    ("kind", "sub_type", "replies", "reason"),
    [
        ("Permanent", "General", ["smtp; 550 5.1.1 user unknown"], "invalid_address"),
        ("Permanent", "General", ["smtp; 550 5.7.1 <ada@example.com> refused"], "refused_by_policy"),
        ("Permanent", "General", [], "refused_recipient"),
        ("Permanent", "General", ["smtp; 550 5.1.1 a", "smtp; 550 5.1.1 b"], "refused_recipient"),
        ("Permanent", "NoEmail", None, "refused_recipient"),
        ("Permanent", "Suppressed", None, "bounced_before"),
        ("Transient", "General", ["smtp; 550 5.1.1 user unknown"], "refused_recipient"),
        ("Transient", "General", [], "unknown_error"),
        ("Transient", "MailboxFull", ["smtp; 552 5.2.2 full"], "mailbox_full"),
        ("Transient", "MessageTooLarge", [], "too_large"),
        ("Transient", "ContentRejected", [], "content_refused"),
        ("Transient", "AttachmentRejected", [], "content_refused"),
        ("Undetermined", "Undetermined", [], "unknown_error"),
        ("New", "New", ["no status"], "unknown_error"),
    ],
)
async def test_a_bounce_has_the_reason_of_its_type_or_of_the_reply(
    bench: ResendBench, kind: str, sub_type: str, replies: list[str] | None, reason: str
) -> None:
    bounce = {"type": kind, "subType": sub_type, "message": "ada@example.com", "diagnosticCode": replies}
    event = {**EVENTS["bounced"], "data": {**EVENTS["bounced"]["data"], "bounce": bounce}}
    [receipt] = parsed(bench, raw(event))
    assert receipt.reason == reason


@pytest.mark.parametrize(
    ("name", "details", "reason"),
    [
        ("suppressed", {"reason": "previous_complaint"}, "complained_before"),
        ("suppressed", {"type": "OnAccountSuppressionList"}, "refused_recipient"),
        ("suppressed", None, "refused_recipient"),
        ("failed", {"reason": "something_new"}, "unknown_error"),
        ("failed", None, "unknown_error"),
        ("bounced", None, "unknown_error"),
    ],
)
async def test_a_failure_without_a_known_cause_suppresses_nothing(
    bench: ResendBench, name: str, details: Any, reason: str
) -> None:
    field = {"suppressed": "suppressed", "failed": "failed", "bounced": "bounce"}[name]
    event = {**EVENTS[name], "data": {**EVENTS[name]["data"], field: details}}
    [receipt] = parsed(bench, raw(event))
    assert receipt.reason == reason


@pytest.mark.parametrize(
    ("impacted", "kind"),
    [
        (["Ada <ADA@example.com>"], K.BOUNCED),
        (["ada@example.com", "bob@example.com"], K.BOUNCED),
        (["bob@example.com"], K.UNKNOWN),
        ([], K.UNKNOWN),
    ],
)
async def test_an_event_about_a_copy_proves_nothing(bench: ResendBench, impacted: list[str], kind: ReceiptKind) -> None:
    tags = {REFERENCE: str(ATTEMPT), COPY_DIGEST: recipient_digest(ATTEMPT, "ada@example.com")}
    event = {**EVENTS["bounced"], "data": {**EVENTS["bounced"]["data"], "to": impacted, "tags": tags}}
    [receipt] = parsed(bench, raw(event))
    assert receipt.kind is kind


@pytest.mark.parametrize("tags", [None, {}, {REFERENCE: "another system's"}])
async def test_an_email_of_another_sender_is_matched_by_its_id_alone(bench: ResendBench, tags: Any) -> None:
    event = {**EVENTS["delivered"], "data": {**EVENTS["delivered"]["data"], "tags": tags}}
    [receipt] = parsed(bench, raw(event))
    assert (receipt.attempt_id, receipt.provider_message_id) == (None, event["data"]["email_id"])


@pytest.mark.parametrize("name", ["email.received", "contact.created", "domain.updated", "suppression.added"])
async def test_events_that_are_not_about_a_sent_email_are_not_stored(bench: ResendBench, name: str) -> None:
    assert parsed(bench, raw({"type": name, "created_at": "2026-11-22T23:41:12.126Z", "data": {}})) == []


@pytest.mark.parametrize("missing", ["created_at", "data", "email_id", "to"])
async def test_an_event_without_a_documented_field_is_unreadable(bench: ResendBench, missing: str) -> None:
    event = json.loads(json.dumps(EVENTS["delivered"]))
    (event["data"] if missing in event["data"] and missing != "created_at" else event).pop(missing)
    with pytest.raises(UnreadableReceipt):
        parsed(bench, raw(event))


# https://docs.svix.com/receiving/verifying-payloads/how-manual, whose example is also that of Resend's documentation.
SVIX_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SVIX_HEADERS = {
    "svix-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "svix-timestamp": "1614265330",
    "svix-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
SVIX_BODY = b'{"test": 2432232314}'


async def test_the_published_example_of_a_signature_is_verified(
    bench: ResendBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = bench.adapter(webhook_secret=SecretStr(SVIX_SECRET))
    with pytest.raises(ForgedReceipt):
        provider.parse_receipts(SVIX_HEADERS, SVIX_BODY)
    travel_to(monkeypatch, datetime.fromtimestamp(1614265330, UTC))
    with pytest.raises(UnreadableReceipt):  # the signature is good, and the body is no event
        provider.parse_receipts(SVIX_HEADERS, SVIX_BODY)
    with pytest.raises(ForgedReceipt):
        provider.parse_receipts(SVIX_HEADERS, SVIX_BODY + b" ")


def travel_to(monkeypatch: pytest.MonkeyPatch, at: datetime) -> None:
    class FixedDatetime(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return at

    monkeypatch.setattr("standardwebhooks.webhooks.datetime", FixedDatetime)


async def test_one_of_several_signatures_suffices(bench: ResendBench) -> None:
    """While the secret is changed there are two."""
    body = raw(EVENTS["delivered"])
    headers = dict(bench.signed(body, datetime.now(UTC)))
    other = f"v1,{base64.b64encode(b'x' * 32).decode()}"
    headers["svix-signature"] = f"{other} {headers['svix-signature']}"
    assert bench.provider.parse_receipts(headers, body)
    with pytest.raises(ForgedReceipt):
        bench.provider.parse_receipts({**headers, "svix-signature": f"{other} {other}"}, body)


@pytest.mark.parametrize("age", [timedelta(minutes=6), -timedelta(minutes=6)], ids=["replayed", "from the future"])
async def test_a_signature_is_good_for_five_minutes(bench: ResendBench, age: timedelta) -> None:
    body = raw(EVENTS["delivered"])
    assert parsed(bench, body, datetime.now(UTC) - age * 0.7)
    with pytest.raises(ForgedReceipt):
        parsed(bench, body, datetime.now(UTC) - age)


@pytest.mark.parametrize("signature", ["", "v1", "v1,", "v1,!", "v1,é", "v2,AAAA", ",", "v1,a,b", "A" * 1000])
@pytest.mark.parametrize("timestamp", ["now", "", "NaN", "1e99", "é"])
async def test_a_signature_that_is_none_is_forged(bench: ResendBench, signature: str, timestamp: str) -> None:
    now = str(int(datetime.now(UTC).timestamp()))
    headers = {"svix-id": "msg_1", "svix-timestamp": timestamp.replace("now", now), "svix-signature": signature}
    with pytest.raises(ForgedReceipt):
        bench.provider.parse_receipts(headers, raw(EVENTS["delivered"]))


async def test_every_receipt_is_refused_without_a_secret(bench: ResendBench) -> None:
    bench.provider = bench.adapter(webhook_secret=SecretStr(""))
    with pytest.raises(ForgedReceipt):
        parsed(bench, raw(EVENTS["delivered"]))


@pytest.mark.parametrize("secret", ["whsec_", "whsec_é", "whsec_A"])
async def test_an_invalid_secret_is_an_error_at_start(bench: ResendBench, secret: str) -> None:
    with pytest.raises(ValueError, match="TOCSIN_RESEND_WEBHOOK_SECRET"):
        bench.adapter(webhook_secret=SecretStr(secret))


async def test_a_repeated_event_is_the_same_receipt(bench: ResendBench) -> None:
    """Each repetition has a signature of its own."""
    body = raw(EVENTS["delivered"])
    assert parsed(bench, body) == parsed(bench, body, datetime.now(UTC) - timedelta(minutes=2))
    other = {**EVENTS["delivered"], "data": {**EVENTS["delivered"]["data"], "email_id": str(uuid4())}}
    assert parsed(bench, body) != parsed(bench, raw(other))


async def test_a_refusal_is_not_repeated_as_another_email(bench: ResendBench) -> None:
    """A refused request does not use up its key."""
    message = bench.message_in_mode(VendorMode.REFUSES)
    assert isinstance(await bench.provider.send(message), ProviderRefusal)
    bench.vendor.mode_of = None
    assert isinstance(await bench.provider.send(message), ProviderAcceptance)
