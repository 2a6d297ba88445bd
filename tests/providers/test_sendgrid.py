"""Test SendGrid: requests, the meaning of each response, and verified receipts."""

import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr
from sendgrid.helpers.eventwebhook import EventWebhook

from api.routes.receipts import VALUE_LIMIT
from config.sources import ProviderSettings
from domain.evidence import ReceiptKind
from providers.base import ForgedReceipt, ProviderReceipt, UnreadableReceipt
from providers.email_fields import recipient_digest
from providers.outcomes import (
    PermanentError,
    ProviderAcceptance,
    ProviderError,
    ProviderRefusal,
    TemporaryError,
    UnknownOutcome,
)
from providers.sendgrid.adapter import SendGrid
from providers.sendgrid.lookup import REFERENCE
from providers.sendgrid.options import COPY_DIGEST
from providers.sendgrid.settings import SendGridSettings
from providers.sendgrid.signature import SIGNATURE_HEADER, TIMESTAMP_HEADER
from services.receipts import stored_receipt_of as stored
from testing.vendors.http import Reply
from testing.vendors.modes import VendorMode
from testing.vendors.sendgrid import API_KEY, shown
from tests.providers.harness_sendgrid import SendGridBench

SAMPLES = Path(__file__).parent / "payloads" / "sendgrid"
ATTEMPT = UUID("816f0b9f-7ffd-5131-839d-9576d8637861")


@pytest.fixture
async def bench() -> AsyncIterator[SendGridBench]:
    async with SendGridBench.running() as bench:
        yield bench


def sample(name: str) -> Any:
    return json.loads((SAMPLES / f"{name}.json").read_text())


def raw(events: Any) -> bytes:
    """Return the body as the vendor posts it: with its own JSON spacing and a final line break."""
    return json.dumps(events, separators=(",", ":")).encode() + b"\r\n"


def parsed(bench: SendGridBench, body: bytes, at: datetime | None = None) -> list[ProviderReceipt]:
    return bench.provider.parse_receipts(bench.signed(body, at or datetime.now(UTC)), body)


async def test_both_parts_are_sent_plain_first_without_empty_parts(bench: SendGridBench) -> None:
    message = bench.message_in_mode(VendorMode.GOOD)
    await bench.provider.send(message)
    await bench.provider.send(replace(message, content={**message.content, "text": ""}))
    both, html = (request.json["content"] for request in bench.vendor.log.requests)
    assert [part["type"] for part in both] == ["text/plain", "text/html"]
    assert html == [{"type": "text/html", "value": "<p>Grüße</p>"}]


async def test_the_request_names_the_sender_the_attempt_and_the_options(bench: SendGridBench) -> None:
    message = bench.message_in_mode(VendorMode.GOOD)
    await bench.provider.send(message)
    mail = bench.vendor.log.requests[0].json
    parts = {"from", "subject", "personalizations", "content", "headers", "tracking_settings"}
    assert set(mail) == parts
    assert mail["from"] == {"email": "shop@example.com", "name": "The shop, Ltd"}
    assert mail["personalizations"][0]["custom_args"][REFERENCE] == str(message.attempt_id)


@pytest.mark.parametrize(
    ("tags", "categories"),
    [
        ((), None),
        (("order-7", "spring"), ["order-7", "spring"]),
        (("ä", "a" * 256, "b" * 255, "b" * 255), ["b" * 255]),
        (tuple(f"tag-{number}" for number in range(20)), [f"tag-{number}" for number in range(10)]),
    ],
)
async def test_tags_that_the_vendor_supports_become_categories(
    bench: SendGridBench, tags: tuple[str, ...], categories: list[str] | None
) -> None:
    await bench.provider.send(replace(bench.message_in_mode(VendorMode.GOOD), tags=tags))
    assert bench.vendor.log.requests[0].json.get("categories") == categories


@pytest.mark.parametrize("is_wanted", [False, True])
async def test_the_vendor_tracks_only_if_the_type_enables_it(bench: SendGridBench, is_wanted: bool) -> None:
    """Otherwise the account decides."""
    await bench.provider.send(replace(bench.message_in_mode(VendorMode.GOOD), vendor_tracking=is_wanted))
    settings = bench.vendor.log.requests[0].json.get("tracking_settings")
    off = {"click_tracking": {"enable": False, "enable_text": False}, "open_tracking": {"enable": False}}
    assert settings == (None if is_wanted else off | {"ganalytics": {"enable": False}})


async def test_an_international_domain_is_sent_in_its_ascii_form(bench: SendGridBench) -> None:
    message = replace(
        bench.message_in_mode(VendorMode.GOOD),
        address={"email": "a+good@müller.de", "email_ascii": "a+good@xn--mller-kva.de"},
    )
    await bench.provider.send(message)
    assert bench.vendor.log.requests[0].json["personalizations"][0]["to"] == [{"email": "a+good@xn--mller-kva.de"}]


async def test_the_longest_address_is_named_whole(bench: SendGridBench) -> None:
    start = f"{'a' * 59}+good@{'b' * 63}.{'c' * 63}."
    address = start + "d" * (254 - len(start.encode()) - len(".com")) + ".com"
    await bench.provider.send(replace(bench.message_in_mode(VendorMode.GOOD), address={"email": address}))
    assert bench.vendor.log.requests[0].json["personalizations"][0]["to"] == [{"email": address}]


async def test_text_that_looks_like_a_key_is_refused_without_a_call(bench: SendGridBench) -> None:
    message = replace(
        bench.message_in_mode(VendorMode.GOOD), content={"subject": "Hi", "text": "SG.abc.def is open", "html": "<p>"}
    )
    assert await bench.provider.send(message) == ProviderRefusal(reason="contains_api_key")
    assert bench.vendor.log.requests == []


async def test_the_message_id_is_the_headers(bench: SendGridBench) -> None:
    bench.vendor.reply = Reply(status=202, headers={"X-Message-Id": "X1Y2Z3"})
    result = await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert result == ProviderAcceptance(message_id="X1Y2Z3", response={"status": 202})


@pytest.mark.parametrize(
    ("name", "reason"),
    [("invalid_recipient", "invalid_address"), ("invalid_content", "bad_request")],
)
async def test_a_400_is_about_the_recipient_or_the_message(bench: SendGridBench, name: str, reason: str) -> None:
    bench.vendor.reply = Reply(status=400, body=sample(name))
    result = await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert isinstance(result, ProviderRefusal)
    assert (result.reason, result.is_gone) == (reason, False)
    assert "Does not contain" not in repr(result)


@pytest.mark.parametrize("body", [b"", b"\xff", b"[]", b'{"errors": 7}', b'{"errors": [7, {"field": 7}]}'])
async def test_a_400_without_details_is_about_the_message(bench: SendGridBench, body: bytes) -> None:
    bench.vendor.reply = Reply(status=400, body=body)
    result = await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert isinstance(result, ProviderRefusal)
    assert result.reason == "bad_request"


async def test_a_message_that_is_too_large_is_refused(bench: SendGridBench) -> None:
    bench.vendor.reply = Reply(status=413)
    result = await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert isinstance(result, ProviderRefusal)
    assert result.reason == "too_large"


@pytest.mark.parametrize(
    ("reply", "error", "reason"),
    [
        (Reply(status=400, body=sample("invalid_sender")), PermanentError, "sender_refused"),
        (Reply(status=401), PermanentError, "credentials_refused"),
        (Reply(status=403), PermanentError, "credentials_refused"),
        (Reply(status=404), PermanentError, "unexpected_answer"),
        (Reply(status=500), UnknownOutcome, "server_error"),
        (Reply(status=502), UnknownOutcome, "server_error"),
        (Reply(status=503), TemporaryError, "unavailable"),
    ],
)
async def test_every_other_status_proves_a_result(
    bench: SendGridBench, reply: Reply, error: type[ProviderError], reason: str
) -> None:
    bench.vendor.reply = reply
    with pytest.raises(error) as caught:
        await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({"X-RateLimit-Reset": "in 900"}, 600, 900),
        ({"X-RateLimit-Reset": "in -900"}, 1, 1),
        ({"X-RateLimit-Reset": "99999999999999"}, 86_400, 86_400),
        ({"Retry-After": "7", "X-RateLimit-Reset": "99999999999"}, 7, 7),
    ],
)
async def test_a_throttled_call_waits_for_retry_after(
    bench: SendGridBench, headers: dict[str, str], least: float, most: float
) -> None:
    now = int(time.time())  # of the call: the table was built when the tests were collected
    moments = {n: str(now + int(v.removeprefix("in "))) if v.startswith("in ") else v for n, v in headers.items()}
    bench.vendor.reply = Reply(status=429, headers=moments)
    with pytest.raises(TemporaryError) as caught:
        await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert caught.value.retry_after is not None
    assert least <= caught.value.retry_after <= most


@pytest.mark.parametrize("headers", [{}, {"X-RateLimit-Reset": "soon"}, {"X-RateLimit-Reset": "-1"}])
async def test_nonsense_about_the_limit_is_no_delay(bench: SendGridBench, headers: dict[str, str]) -> None:
    bench.vendor.reply = Reply(status=429, headers=headers)
    with pytest.raises(TemporaryError) as caught:
        await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert caught.value.retry_after is None


async def test_the_vendors_own_check_agrees_with_the_signatures_of_these_tests(bench: SendGridBench) -> None:
    body = raw(sample("events"))
    headers = bench.signed(body, datetime.now(UTC))
    oracle = EventWebhook(shown(bench.vendor.key))
    assert oracle.verify_signature(body.decode(), headers[SIGNATURE_HEADER], headers[TIMESTAMP_HEADER])
    assert not EventWebhook(shown(bench.forger.key)).verify_signature(
        body.decode(), headers[SIGNATURE_HEADER], headers[TIMESTAMP_HEADER]
    )
    assert len(parsed(bench, body)) == len(sample("events"))


async def test_every_vendor_term_has_its_receipt_kind(bench: SendGridBench) -> None:
    receipts = [
        (receipt.raw["event"], receipt.kind, receipt.reason) for receipt in parsed(bench, raw(sample("events")))
    ]
    assert receipts == [
        ("processed", ReceiptKind.UNKNOWN, None),
        ("deferred", ReceiptKind.DELAYED, None),
        ("delivered", ReceiptKind.DELIVERED, None),
        ("open", ReceiptKind.OPENED, None),
        ("click", ReceiptKind.CLICKED, None),
        ("bounce", ReceiptKind.BOUNCED, "invalid_address"),
        ("bounce", ReceiptKind.BOUNCED, "refused_by_policy"),
        ("dropped", ReceiptKind.FAILED, "bounced_before"),
        ("spamreport", ReceiptKind.COMPLAINED, None),
        ("unsubscribe", ReceiptKind.UNSUBSCRIBED, None),
        ("group_unsubscribe", ReceiptKind.UNSUBSCRIBED, "group_10"),
        ("group_resubscribe", ReceiptKind.RESUBSCRIBED, "group_10"),
    ]


async def test_an_event_of_a_copy_proves_nothing_about_the_recipient(bench: SendGridBench) -> None:
    attempt_id = uuid4()
    marks = {REFERENCE: str(attempt_id), COPY_DIGEST: recipient_digest(attempt_id, "ada@example.com")}
    events = [
        {"email": email, "event": "bounce", "timestamp": 1, "sg_message_id": "m", **marks}
        for email in ("bob@example.com", "ada@example.com")
    ]
    assert [receipt.kind for receipt in parsed(bench, raw(events))] == [ReceiptKind.UNKNOWN, ReceiptKind.BOUNCED]


async def test_a_receipt_names_attempt_message_and_time(bench: SendGridBench) -> None:
    for receipt in parsed(bench, raw(sample("events"))):
        assert (receipt.attempt_id, receipt.provider_message_id) == (ATTEMPT, "X1Y2Z3")
        assert receipt.occurred_at == datetime(2017, 12, 15, 0, 59, 29, tzinfo=UTC)


async def test_unrelated_events_do_not_spoil_a_batch(bench: SendGridBench) -> None:
    receipts = parsed(bench, raw([*sample("not_ours"), sample("events")[2]]))
    assert [(receipt.attempt_id, receipt.kind) for receipt in receipts] == [
        (None, ReceiptKind.UNKNOWN),
        (None, ReceiptKind.BOUNCED),
        (ATTEMPT, ReceiptKind.DELIVERED),
    ]


async def test_a_repeated_event_with_new_ids_is_the_same_receipt(
    bench: SendGridBench,
) -> None:
    delivered, opened = sample("events")[2:4]
    again = {**delivered, "sg_event_id": "bmV3", "sg_message_id": "X1Y2Z3.recvd-other-2.0"}
    first, second, third = (
        stored("sendgrid", parsed(bench, raw([event]))[0]).id for event in (delivered, again, opened)
    )
    assert first == second
    assert first != third


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body.rstrip(b"\r\n"),
        lambda body: json.dumps(json.loads(body)).encode() + b"\r\n",
        lambda body: body.replace(b"delivered", b"open"),
    ],
    ids=["without its line's end", "re-serialised", "changed"],
)
async def test_only_the_exact_bytes_are_accepted(bench: SendGridBench, change: Any) -> None:
    body = raw(sample("events"))
    headers = bench.signed(body, datetime.now(UTC))
    with pytest.raises(ForgedReceipt):
        bench.provider.parse_receipts(headers, change(body))


@pytest.mark.parametrize("age", [timedelta(minutes=6), -timedelta(minutes=6)], ids=["replayed", "from the future"])
async def test_a_signature_is_good_for_five_minutes(bench: SendGridBench, age: timedelta) -> None:
    body = raw(sample("events"))
    assert parsed(bench, body, datetime.now(UTC) - age * 0.7)
    with pytest.raises(ForgedReceipt):
        parsed(bench, body, datetime.now(UTC) - age)


async def test_a_new_timestamp_with_an_old_signature_is_forged(bench: SendGridBench) -> None:
    body = raw(sample("events"))
    headers = {**bench.signed(body, datetime.now(UTC) - timedelta(hours=1)), TIMESTAMP_HEADER: str(int(time.time()))}
    with pytest.raises(ForgedReceipt):
        bench.provider.parse_receipts(headers, body)


@pytest.mark.parametrize("signature", ["", "!", "MEUCIQ==", "é", "A" * 1000])
async def test_a_signature_that_is_none_is_forged(bench: SendGridBench, signature: str) -> None:
    headers = {TIMESTAMP_HEADER: str(int(time.time())), SIGNATURE_HEADER: signature}
    with pytest.raises(ForgedReceipt):
        bench.provider.parse_receipts(headers, b"[]")


async def test_every_receipt_is_refused_without_a_public_key(bench: SendGridBench) -> None:
    bench.provider = bench.adapter(webhook_public_key="")
    with pytest.raises(ForgedReceipt):
        parsed(bench, raw(sample("events")))


@pytest.mark.parametrize("key", ["nonsense", shown(SendGridBench.forger.key)[:-8]])
async def test_an_invalid_public_key_is_an_error_at_start(bench: SendGridBench, key: str) -> None:
    with pytest.raises(ValueError, match="TOCSIN_SENDGRID_WEBHOOK_PUBLIC_KEY"):
        bench.adapter(webhook_public_key=key)


ODD: list[Any] = [7, None, {}, {"event": "open"}, {"event": "open", "timestamp": "1e999"}, []]


@pytest.mark.parametrize("odd", [*ODD, {"event": "open", "timestamp": 10**30}, {"event": [], "timestamp": 1}], ids=str)
async def test_an_undocumented_event_does_not_fail_its_batch(bench: SendGridBench, odd: Any) -> None:
    delivered, opened = sample("events")[2:4]
    receipts = parsed(bench, raw([delivered, odd, opened]))
    assert [receipt.kind for receipt in receipts] == [ReceiptKind.DELIVERED, ReceiptKind.UNKNOWN, ReceiptKind.OPENED]
    assert receipts[1].raw == {"unreadable": odd}  # two different events are two receipts


async def test_an_undocumented_event_is_stored_without_values(bench: SendGridBench) -> None:
    """Any value may be the recipient's address. By the attempt id it is a receipt of the attempt."""
    attempt, address = UUID(int=1), "ada@example.com"
    odd = {"event": [address], "email": address, address: 1, "timestamp": 1, REFERENCE: str(attempt)}
    receipts = parsed(bench, raw([sample("events")[2], odd]))
    form = {"event": "list", "email": "str", "timestamp": "int", REFERENCE: "str"}
    assert (receipts[1].attempt_id, receipts[1].stored_raw) == (attempt, {"unreadable": form})


@pytest.mark.parametrize(
    ("odd", "kept"), [(b"NaN", None), (b"-Infinity", None), (rb'"half \ud83d"', "half ?"), (b'"\xed\xa0\xbd"', "?")]
)
async def test_an_unstorable_value_of_an_event_does_not_fail_the_batch(
    bench: SendGridBench, odd: bytes, kept: str | None
) -> None:
    delivered, opened = sample("events")[2:4]
    body = raw([{**delivered, "campaign": "HERE"}, opened]).replace(b'"HERE"', odd)
    first, second = parsed(bench, body)
    assert (first.kind, first.raw["campaign"], second.kind) == (ReceiptKind.DELIVERED, kept, ReceiptKind.OPENED)


@pytest.mark.parametrize("events", [[one] for one in ODD])
async def test_signed_events_that_are_none_are_unreadable(bench: SendGridBench, events: Any) -> None:
    with pytest.raises(UnreadableReceipt):
        parsed(bench, raw(events))


@pytest.mark.parametrize("scopes", [[], ["alerts.read"], None, "mail.send"])
async def test_a_check_reports_that_a_valid_key_may_not_send(bench: SendGridBench, scopes: Any) -> None:
    assert await bench.provider.check() == "the API key is valid and may send mail"
    bench.vendor.scopes = scopes
    with pytest.raises(PermanentError, match="scope_mail_send_missing"):
        await bench.provider.check()


async def test_without_the_add_on_nothing_can_be_looked_up(bench: SendGridBench) -> None:
    bench.vendor.is_entitled = False
    with pytest.raises(PermanentError, match="email_activity_not_available"):
        await bench.provider.look_up(bench.message_in_mode(VendorMode.GOOD), datetime.now(UTC))


async def test_a_found_message_has_its_api_id_and_status(bench: SendGridBench) -> None:
    message = bench.message_in_mode(VendorMode.GOOD)
    activity = {"msg_id": "X1Y2Z3.recvd-5f-1.0", "to_email": message.address["email"].upper(), "status": "delivered"}
    bench.vendor.activity[str(message.attempt_id)].append(activity)
    found = await bench.provider.look_up(message, datetime.now(UTC))
    assert found == [ProviderAcceptance(message_id="X1Y2Z3", response={"status": 200, "message_status": "delivered"})]


async def test_an_international_domain_is_found_by_its_ascii_form(bench: SendGridBench) -> None:
    message = replace(
        bench.message_in_mode(VendorMode.GOOD),
        address={"email": "a+good@müller.de", "email_ascii": "a+good@xn--mller-kva.de"},
    )
    accepted = await bench.provider.send(message)
    assert isinstance(accepted, ProviderAcceptance)
    [found] = await bench.provider.look_up(message, datetime.now(UTC))
    assert found.message_id == accepted.message_id


async def test_a_list_with_messages_of_others_is_no_proof(bench: SendGridBench) -> None:
    """In case the vendor ignores an unknown condition."""
    message = bench.message_in_mode(VendorMode.GOOD)
    bench.vendor.activity[str(message.attempt_id)].append({"msg_id": "X1", "to_email": "eve@example.com"})
    assert await bench.provider.look_up(message, datetime.now(UTC)) == []


@pytest.mark.parametrize("messages", [None, {}, [7], [{"to_email": "ada+good@example.com"}]])
async def test_an_invalid_list_proves_nothing(bench: SendGridBench, messages: Any) -> None:
    message = bench.message_in_mode(VendorMode.GOOD)
    bench.vendor.lookup_override = Reply(status=200, body={"messages": messages})
    with pytest.raises(TemporaryError, match="malformed_response"):
        await bench.provider.look_up(message, datetime.now(UTC))


def test_settings_are_read_by_the_names_of_the_docs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    secret = tmp_path / "key"
    secret.write_text(f"{API_KEY}\n")
    monkeypatch.setenv("TOCSIN_SENDGRID_API_KEY_FILE", str(secret))
    monkeypatch.setenv("TOCSIN_SENDGRID_FROM", "shop@example.com")
    monkeypatch.setenv("TOCSIN_SENDGRID_FROM_NAME", "Shop")
    read = SendGridSettings.read()
    assert (read.api_key, read.sender, read.from_name) == (SecretStr(API_KEY), "shop@example.com", "Shop")
    assert read.base_url == "https://api.sendgrid.com"


@pytest.mark.parametrize("missing", ["TOCSIN_SENDGRID_API_KEY", "TOCSIN_SENDGRID_FROM"])
def test_a_missing_setting_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, missing: str) -> None:
    monkeypatch.chdir(tmp_path)
    for name in {"TOCSIN_SENDGRID_API_KEY", "TOCSIN_SENDGRID_FROM"} - {missing}:
        monkeypatch.setenv(name, "shop@example.com")
    with pytest.raises(ValueError, match=missing):
        SendGridSettings.read()


async def test_the_key_is_in_no_text_of_the_adapter(bench: SendGridBench) -> None:
    assert isinstance(bench.settings, ProviderSettings)
    assert API_KEY not in repr(bench.settings) + repr(bench.provider)


def test_the_limit_of_events_holds_the_largest_callback_of_the_vendor() -> None:
    """768 KB at once. A callback that is refused for a day is lost."""
    shortest = {"email": "a@b.co", "timestamp": 1700000000, "event": "open", REFERENCE: str(UUID(int=0))}
    shortest |= {"sg_event_id": "e" * 22, "sg_message_id": "m" * 40}
    size = len(json.dumps(shortest, separators=(",", ":")))
    assert SendGrid.max_events * size >= 768 * 1024
    assert SendGrid.max_events * (len(shortest) + 2) <= VALUE_LIMIT
