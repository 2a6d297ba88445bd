"""Test Twilio: requests, the meaning of each response, and verified status callbacks."""

import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode
from uuid import UUID, uuid4

import httpx2
import pytest
from pydantic import SecretStr
from sqlalchemy import text
from twilio.base.values import unset
from twilio.http import HttpClient
from twilio.http.response import Response
from twilio.request_validator import RequestValidator
from twilio.rest import Client

from api.app import create_app
from bootstrap import Container
from domain.evidence import ReceiptKind
from providers.base import ForgedReceipt, UnreadableReceipt
from providers.outcomes import (
    PermanentError,
    ProviderAcceptance,
    ProviderError,
    ProviderRefusal,
    TemporaryError,
    UnknownOutcome,
)
from providers.twilio.adapter import Twilio
from providers.twilio.settings import TwilioSettings
from services.receipts import stored_receipt_of as stored
from testing.vendors.http import Reply
from testing.vendors.modes import VendorMode
from testing.vendors.twilio import FROM, SID, TOKEN, record, sign
from tests.providers.harness_twilio import CALLBACK, TwilioBench

SAMPLES = Path(__file__).parent / "payloads" / "twilio"
ATTEMPT = UUID("816f0b9f-7ffd-5131-839d-9576d8637861")
QUERY = f"attempt={ATTEMPT}"


@pytest.fixture
async def bench() -> AsyncIterator[TwilioBench]:
    async with TwilioBench.running() as bench:
        yield bench


def sample(name: str) -> Any:
    return json.loads((SAMPLES / f"{name}.json").read_text())


def callback(name: str) -> bytes:
    return (SAMPLES / f"{name}.form").read_bytes()


def error(code: int, status: int = 400) -> Reply:
    return Reply(status=status, body={"code": code, "message": "To +447700900123", "status": status})


class RecordingTransport(HttpClient):  # type: ignore[misc]
    """Record the requests of the vendor's own client."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.is_async = False

    def request(self, method: str, url: str, **more: Any) -> Response:
        self.calls.append({"method": method, "url": url, **more})
        if method == "GET":
            return Response(200, json.dumps({"messages": [], "page": 0}))
        return Response(201, json.dumps(sample("accepted")))


async def test_the_form_is_that_of_the_vendors_own_client(bench: TwilioBench) -> None:
    message = bench.message_in_mode(VendorMode.GOOD)
    await bench.provider.send(message)
    [ours] = bench.vendor.log.requests
    recorder = RecordingTransport()
    client = Client(SID, TOKEN, http_client=recorder)
    client.api.base_url = bench.vendor.url
    client.messages.create(
        to=message.address["phone"],
        from_=FROM,
        body=message.content["text"],
        status_callback=f"{CALLBACK}?attempt={message.attempt_id}",
    )
    [theirs] = recorder.calls
    assert (ours.method, bench.vendor.url + ours.target) == (theirs["method"], theirs["url"])
    assert ours.form == theirs["data"]
    assert theirs["auth"] == (SID, TOKEN)


async def test_a_messaging_service_replaces_the_sender(bench: TwilioBench) -> None:
    provider = bench.adapter(sender="", messaging_service_sid="MG1")
    await provider.send(bench.message_in_mode(VendorMode.GOOD))
    form = bench.vendor.log.requests[0].form
    assert form["MessagingServiceSid"] == "MG1"
    assert "From" not in form


async def test_an_accepted_message_has_its_sid_and_its_price(bench: TwilioBench) -> None:
    bench.vendor.reply = Reply(status=201, body=sample("accepted"))
    result = await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    response = {"status": 201, "message_status": "queued", "price_unit": "USD"}
    assert result == ProviderAcceptance(message_id="SM" + "a" * 32, response=response, cost="0.00750")


@pytest.mark.parametrize("price", [None, "", "free", "-1e9", "٣", 7, ["1"], "-123456789.0"])
async def test_an_invalid_price_is_none(bench: TwilioBench, price: Any) -> None:
    bench.vendor.reply = Reply(status=201, body={"sid": "SM1", "price": price})
    result = await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert isinstance(result, ProviderAcceptance)
    assert result.cost == ("7" if price == 7 else None)


async def test_a_number_that_opted_out_is_refused(bench: TwilioBench) -> None:
    bench.vendor.reply = Reply(status=400, body=sample("refused"))
    result = await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert result == ProviderRefusal(reason="opted_out", response={"status": 400, "code": 21610})


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (error(21211), "invalid_address"),
        (error(21214), "unreachable"),
        (error(21217), "invalid_address"),
        (error(21612), "unreachable"),
        (error(21614), "not_a_mobile_number"),
        (error(21635), "landline"),
        (error(21617), "too_long"),
        (error(29999), "bad_request"),
        (Reply(status=400, body=b"<html>"), "bad_request"),
        (Reply(status=400, body={"code": [1]}), "bad_request"),
    ],
)
async def test_a_code_about_one_number_or_message_refuses_it(bench: TwilioBench, reply: Reply, reason: str) -> None:
    bench.vendor.reply = reply
    result = await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert isinstance(result, ProviderRefusal)
    assert result.reason == reason
    assert "+44" not in repr(result)


@pytest.mark.parametrize(
    ("reply", "kind", "reason"),
    [
        (error(20003, 401), PermanentError, "credentials_refused"),
        (error(20404, 404), PermanentError, "account_not_found"),
        (error(21408, 403), PermanentError, "region_not_enabled"),
        (error(21606), PermanentError, "sender_refused"),
        (error(21609), PermanentError, "callback_url_refused"),
        (Reply(status=401), PermanentError, "credentials_refused"),
        (Reply(status=405), PermanentError, "unexpected_answer"),
        (error(20429, 429), TemporaryError, "throttled"),
        (error(21611), TemporaryError, "throttled"),
        (Reply(status=429), TemporaryError, "throttled"),
        (error(20500, 500), UnknownOutcome, "server_error"),
        (error(20503, 503), UnknownOutcome, "server_error"),
        (error(21211, 500), UnknownOutcome, "server_error"),
    ],
)
async def test_every_other_response_proves_a_result(
    bench: TwilioBench, reply: Reply, kind: type[ProviderError], reason: str
) -> None:
    bench.vendor.reply = reply
    with pytest.raises(kind) as caught:
        await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("word", "kind", "reason"),
    [
        ("queued", ReceiptKind.UNKNOWN, None),
        ("sent", ReceiptKind.UNKNOWN, None),
        ("delivered", ReceiptKind.DELIVERED, None),
        ("read", ReceiptKind.OPENED, None),
        ("undelivered", ReceiptKind.BOUNCED, "unreachable"),
        ("failed", ReceiptKind.FAILED, "unreachable"),
        ("canceled", ReceiptKind.FAILED, "unreachable"),
    ],
)
async def test_every_vendor_term_has_its_receipt_kind(
    bench: TwilioBench, word: str, kind: ReceiptKind, reason: str | None
) -> None:
    body = urlencode({"MessageSid": "SM1", "MessageStatus": word, "ErrorCode": "30003"}).encode()
    [receipt] = bench.provider.parse_receipts(bench.signed(body, datetime.now(UTC)), body)
    assert (receipt.kind, receipt.reason) == (kind, reason)


@pytest.mark.parametrize("code", ["", "39999", "٣", "x"])
async def test_a_code_that_is_not_listed_is_kept_and_an_unknown_error(bench: TwilioBench, code: str) -> None:
    body = urlencode({"MessageSid": "SM1", "MessageStatus": "undelivered", "ErrorCode": code}).encode()
    [receipt] = bench.provider.parse_receipts(bench.signed(body, datetime.now(UTC)), body)
    assert (receipt.reason, receipt.raw["ErrorCode"]) == ("unknown_error", code)


@pytest.mark.parametrize("name", ["delivered", "undelivered"])
async def test_a_callback_to_the_given_address_names_the_attempt(bench: TwilioBench, name: str) -> None:
    body = callback(name)
    url = f"{CALLBACK}?{QUERY}"
    signature = sign(TOKEN, url, body)
    [receipt] = bench.provider.parse_receipts({"x-twilio-signature": signature}, body, QUERY)
    assert (receipt.attempt_id, receipt.provider_message_id) == (ATTEMPT, "SM" + "a" * 32)
    assert receipt.raw["MessageStatus"] == name
    assert RequestValidator(TOKEN).validate(url, receipt.raw, signature)


@pytest.mark.parametrize(
    "query",
    ["", "attempt=00000000-0000-0000-0000-000000000000", f"{QUERY}&more=1", f"{QUERY}&", QUERY.replace("-", "%2D")],
)
async def test_a_callback_to_another_address_is_forged(bench: TwilioBench, query: str) -> None:
    body = callback("delivered")
    signature = sign(TOKEN, f"{CALLBACK}?{QUERY}", body)
    with pytest.raises(ForgedReceipt):
        bench.provider.parse_receipts({"x-twilio-signature": signature}, body, query)


async def test_a_signature_over_the_host_that_the_caller_names_does_not_count(bench: TwilioBench) -> None:
    body = callback("delivered")
    signature = sign(TOKEN, f"https://evil.example/api/v1/receipts/twilio?{QUERY}", body)
    with pytest.raises(ForgedReceipt):
        bench.provider.parse_receipts({"x-twilio-signature": signature, "host": "evil.example"}, body, QUERY)


async def test_the_log_shows_the_address_that_must_have_been_signed(bench: TwilioBench) -> None:
    body = callback("delivered")
    with pytest.raises(ForgedReceipt, match=f"^the signature does not match the URL {CALLBACK}$"):
        bench.provider.parse_receipts({"x-twilio-signature": sign(TOKEN, "http://10.0.0.1/", body)}, body, QUERY)
    with pytest.raises(ForgedReceipt, match=r"^the signature is missing$"):
        bench.provider.parse_receipts({}, body, QUERY)


@pytest.mark.parametrize("added", [b"&MessageStatus=delivered", b"&New=1", b"+"])
async def test_an_added_or_changed_field_is_forged(bench: TwilioBench, added: bytes) -> None:
    body = callback("undelivered")
    headers = {"x-twilio-signature": sign(TOKEN, CALLBACK, body)}
    with pytest.raises(ForgedReceipt):
        bench.provider.parse_receipts(headers, body + added)


async def test_a_newer_signature_with_a_shared_key_is_accepted(bench: TwilioBench) -> None:
    body = callback("delivered")
    url = f"{CALLBACK}?{QUERY}"
    signature = sign("shared key", url, body, "sha256")
    headers = {
        "x-twilio-signature": signature,
        "x-twilio-webhooks-signature-settings": "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256",
    }
    [receipt] = bench.provider.parse_receipts(headers, body, QUERY)
    assert receipt.kind is ReceiptKind.DELIVERED
    assert RequestValidator("shared key").validate(url, receipt.raw, signature, "HMAC_SHA256")


@pytest.mark.parametrize(
    ("secret", "algorithm", "made_by"),
    [
        ("shared key", "key=k,algorithm=HMAC_SHA256", (TOKEN, "sha256")),
        ("shared key", "key=k,algorithm=HMAC_SHA256", ("shared key", "sha1")),
        ("shared key", "key=k,algorithm=HMAC_MD5", ("shared key", "md5")),
        ("", "key=k,algorithm=HMAC_SHA256", ("", "sha256")),
    ],
    ids=["with the token", "with the old algorithm", "with a weak algorithm", "no shared key is configured"],
)
async def test_a_newer_signature_with_anything_else_is_forged(
    bench: TwilioBench, secret: str, algorithm: str, made_by: tuple[str, str]
) -> None:
    settings = bench.settings.model_copy(update={"webhook_secret": SecretStr(secret)})
    body = callback("delivered")
    headers = {
        "x-twilio-signature": sign(made_by[0], CALLBACK, body, made_by[1]),
        "x-twilio-webhooks-signature-settings": algorithm,
    }
    with pytest.raises(ForgedReceipt):
        Twilio(settings, bench.transport, CALLBACK).parse_receipts(headers, body)


async def test_a_replayed_callback_is_the_same_receipt(bench: TwilioBench) -> None:
    """The signature covers no time, so a replay cannot be detected. It has no effect."""
    body = callback("delivered")
    ids = {
        stored("twilio", receipt).id
        for _ in range(2)
        for receipt in bench.provider.parse_receipts(bench.signed(body, datetime.now(UTC)), body)
    }
    assert len(ids) == 1


@pytest.mark.parametrize("query", ["attempt=", "attempt=7", "other=1"])
async def test_a_signed_address_without_a_reference_is_matched_by_the_message(bench: TwilioBench, query: str) -> None:
    body = callback("delivered")
    headers = {"x-twilio-signature": sign(TOKEN, f"{CALLBACK}?{query}", body)}
    [receipt] = bench.provider.parse_receipts(headers, body, query)
    assert (receipt.attempt_id, receipt.provider_message_id) == (None, "SM" + "a" * 32)


@pytest.mark.postgres
async def test_the_api_passes_on_the_url_as_it_was_called(bench: TwilioBench, container: Container) -> None:
    """Called by any host, as behind a proxy. Stored once, however often it is repeated."""
    app = create_app(replace(container, providers={"twilio": bench.provider}))
    body, query = callback("delivered"), f"attempt={uuid4()}"
    headers = {"x-twilio-signature": sign(TOKEN, f"{CALLBACK}?{query}", body)}
    way = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=way, base_url="http://internal:8000/api/v1") as client:
        urls = [f"/receipts/twilio?{query}", f"/receipts/twilio?{query}", f"/receipts/twilio?attempt={ATTEMPT}"]
        statuses = [(await client.post(url, content=body, headers=headers)).status_code for url in urls]
    assert statuses == [204, 204, 401]
    async with container.database.transaction() as session:
        values = {"id": query.removeprefix("attempt=")}
        rows = await session.execute(text("SELECT kind FROM receipt WHERE attempt_id = :id"), values)
        assert rows.scalars().all() == ["delivered"]


@pytest.mark.parametrize("fields", [{"MessageSid": "SM1"}, {"MessageStatus": "sent"}, {"MessageSid": ""}])
async def test_a_signed_form_that_is_no_status_is_unreadable(bench: TwilioBench, fields: dict[str, str]) -> None:
    body = urlencode(fields).encode()
    with pytest.raises(UnreadableReceipt):
        bench.provider.parse_receipts(bench.signed(body, datetime.now(UTC)), body)


@pytest.mark.parametrize(
    ("status", "reason"),
    [("suspended", "account_suspended"), ("closed", "account_closed"), ("frozen", "account_not_active")],
)
async def test_a_check_reports_that_the_account_is_not_active(bench: TwilioBench, status: str, reason: str) -> None:
    assert await bench.provider.check() == "the credentials are valid and the account is active"
    bench.vendor.status = status
    with pytest.raises(PermanentError, match=reason):
        await bench.provider.check()


async def test_the_queries_equal_those_of_the_vendors_own_client(bench: TwilioBench) -> None:
    message = bench.message_in_mode(VendorMode.GOOD)
    await bench.provider.check()
    await bench.provider.look_up(message, NOW)
    recorder = RecordingTransport()
    client = Client(SID, TOKEN, http_client=recorder)
    client.api.base_url = bench.vendor.url
    client.api.accounts(SID).fetch()
    client.messages.page(to=message.address["phone"], page_size=100)
    for ours, theirs in zip(bench.vendor.log.lookups, recorder.calls, strict=True):
        path, _, query = ours.target.partition("?")
        assert (ours.method, bench.vendor.url + path) == (theirs["method"], theirs["url"])
        given = {name: str(value) for name, value in (theirs.get("params") or {}).items() if value is not unset}
        assert dict(parse_qsl(query)) == given


NOW = datetime.now(UTC)


async def listed(bench: TwilioBench, body: str | None, at: datetime = NOW, to: str = "") -> list[str | None]:
    """Return the ids found for a message sent at `NOW`, if the vendor has only this record."""
    message = bench.message_in_mode(VendorMode.GOOD)
    bench.vendor.messages.append(record(to or message.address["phone"], body or "", at) | {"body": body})
    return [accepted.message_id for accepted in await bench.provider.look_up(message, NOW)]


@pytest.mark.parametrize(
    "body",
    [
        "Grüße & more",
        "Sent from your Twilio trial account - Grüße & more",
        "Gru\u0308ße & more",
        "Grüße & more ",
        "Grüße \uff06 more",
        "",
        None,
    ],
    ids=["as it was", "of a trial", "in another form", "with a blank", "with another sign", "redacted", "without one"],
)
async def test_a_text_changed_by_the_vendor_may_match_the_call(bench: TwilioBench, body: str | None) -> None:
    assert len(await listed(bench, body)) == 1


@pytest.mark.parametrize("body", ["Grüße", "More Grüße & more", "Your code is 123456"])
async def test_a_different_text_to_the_same_number_does_not_match(bench: TwilioBench, body: str) -> None:
    assert await listed(bench, body) == []


@pytest.mark.parametrize(("seconds", "times"), [(-3600, 0), (-61, 0), (-30, 1), (0, 1), (90, 1)])
async def test_the_same_text_from_an_earlier_time_does_not_match(bench: TwilioBench, seconds: int, times: int) -> None:
    assert len(await listed(bench, "Grüße & more", NOW + timedelta(seconds=seconds))) == times


async def test_a_list_with_messages_of_others_is_no_proof(bench: TwilioBench) -> None:
    """In case the vendor ignores the filter."""
    message = bench.message_in_mode(VendorMode.GOOD)
    listed = [record("+447700900999", message.content["text"], NOW)]
    bench.vendor.lookup_override = Reply(status=200, body={"messages": listed, "next_page_uri": None})
    assert await bench.provider.look_up(message, NOW) == []


async def test_found_messages_are_listed_oldest_first_with_status_and_price(bench: TwilioBench) -> None:
    message = bench.message_in_mode(VendorMode.GOOD)
    for seconds, price in ((40, None), (5, "-0.00750")):
        at = NOW + timedelta(seconds=seconds)
        bench.vendor.messages.append(record(message.address["phone"], "Grüße & more", at) | {"price": price})
    later, earlier = bench.vendor.messages
    response = {"status": 200, "message_status": "queued", "price_unit": "USD"}
    assert await bench.provider.look_up(message, NOW) == [
        ProviderAcceptance(message_id=earlier["sid"], response=response, cost="0.00750"),
        ProviderAcceptance(message_id=later["sid"], response=response),
    ]


@pytest.mark.parametrize(("older", "complete"), [(0, False), (1, True)])
async def test_a_page_that_does_not_reach_back_far_enough_proves_nothing(
    bench: TwilioBench, older: int, complete: bool
) -> None:
    message = bench.message_in_mode(VendorMode.GOOD)
    ages = [timedelta(hours=1)] * (older + 1) + [timedelta()] * (100 - older)
    bench.vendor.messages = [record(message.address["phone"], "Hi", NOW - age) for age in ages]
    if complete:
        assert await bench.provider.look_up(message, NOW) == []
        return
    with pytest.raises(TemporaryError, match="too_many_messages"):
        await bench.provider.look_up(message, NOW)


@pytest.mark.parametrize("change", [{"date_created": None}, {"date_created": "yesterday"}, {"sid": None}, {"sid": ""}])
async def test_a_record_that_is_none_proves_nothing(bench: TwilioBench, change: dict[str, Any]) -> None:
    message = bench.message_in_mode(VendorMode.GOOD)
    bench.vendor.messages.append(record(message.address["phone"], "Grüße & more", NOW) | change)
    with pytest.raises(TemporaryError, match="malformed_response"):
        await bench.provider.look_up(message, NOW)


def test_settings_are_read_by_the_names_of_the_docs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in {"ACCOUNT_SID": SID, "AUTH_TOKEN": TOKEN, "FROM": FROM}.items():
        monkeypatch.setenv(f"TOCSIN_TWILIO_{name}", value)
    read = TwilioSettings.read()
    assert (read.account_sid, read.auth_token, read.sender) == (SID, SecretStr(TOKEN), FROM)
    assert TOKEN not in repr(read)
    monkeypatch.delenv("TOCSIN_TWILIO_FROM")
    with pytest.raises(ValueError, match="TOCSIN_TWILIO_FROM or TOCSIN_TWILIO_MESSAGING_SERVICE_SID"):
        TwilioSettings.read()


async def test_a_field_that_repeats_is_signed_with_each_of_its_values(bench: TwilioBench) -> None:
    """As in the vendor's package: distinct values, sorted."""
    body = urlencode([("MessageSid", "SM1"), ("MessageStatus", "sent"), ("MediaUrl", "b"), ("MediaUrl", "a")]).encode()
    signature = sign(TOKEN, CALLBACK, body)
    [receipt] = bench.provider.parse_receipts({"x-twilio-signature": signature}, body)
    assert receipt.provider_message_id == "SM1"
    with pytest.raises(ForgedReceipt):
        bench.provider.parse_receipts({"x-twilio-signature": signature}, body.replace(b"=a", b"=c"))


async def test_a_json_body_is_signed_by_its_hash_in_the_address(bench: TwilioBench) -> None:
    body = b'{"MessageSid": "SM1", "MessageStatus": "delivered", "Price": 7}'
    query = f"{QUERY}&bodySHA256={hashlib.sha256(body).hexdigest()}"
    signature = sign(TOKEN, f"{CALLBACK}?{query}", b"")
    [receipt] = bench.provider.parse_receipts({"x-twilio-signature": signature}, body, query)
    assert (receipt.kind, receipt.attempt_id) == (ReceiptKind.DELIVERED, ATTEMPT)
    for changed in (body + b" ", body.replace(b"SM1", b"SM2"), b""):
        with pytest.raises(ForgedReceipt):
            bench.provider.parse_receipts({"x-twilio-signature": signature}, changed, query)


# The vendor's published vectors: the example of its page, and those of its packages' own tests. None of them is a
# status callback, so a correctly signed one is refused for its content.
# https://www.twilio.com/docs/usage/security#validating-requests
# https://github.com/twilio/twilio-python/blob/main/tests/unit/test_request_validator.py
PLAIN = urlencode(
    {
        "CallSid": "CA1234567890ABCDE",
        "Caller": "+14158675310",
        "Digits": "1234",
        "From": "+14158675310",
        "To": "+18005551212",
    }
)
REPEATED = "Sid=CA123&SidAccount=AC123&Digits=5678&Digits=1234"
HASHED = "foo=1&bar=2&bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"


@pytest.mark.parametrize(
    ("host", "query", "body", "signature"),
    [
        ("example.com", "foo=1&bar=2", PLAIN, "L/OH5YylLD5NRKLltdqwSvS0BnU="),
        ("mycompany.com", "foo=1&bar=2", REPEATED, "IK+Dwps556ElfBT0I3Rgjkr1wJU="),
        ("mycompany.com", HASHED, '{"property": "value", "boolean": true}', "a9nBmqA0ju/hNViExpshrM61xv4="),
    ],
    ids=["page", "repeated field", "hash of the body"],
)
async def test_the_published_vectors_verify(
    bench: TwilioBench, host: str, query: str, body: str, signature: str
) -> None:
    settings = TwilioSettings(account_sid=SID, auth_token=SecretStr("12345"), sender=FROM)
    provider = Twilio(settings, bench.transport, f"https://{host}/myapp.php")
    headers = {"x-twilio-signature": signature}
    with pytest.raises(UnreadableReceipt):
        provider.parse_receipts(headers, body.encode(), query)
    for changed in (body.replace("1", "2"), body.replace("true", "false")):
        if changed != body:
            with pytest.raises(ForgedReceipt):
                provider.parse_receipts(headers, changed.encode(), query)
