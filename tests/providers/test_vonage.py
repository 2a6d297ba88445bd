"""Test Vonage: requests, the meaning of each response, reports, and verified callbacks."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import jwt
import pytest
from pydantic import SecretStr

from config.sources import InvalidSettings
from domain.evidence import ReceiptKind
from providers.base import ForgedReceipt, ProviderReceipt, UnreadableReceipt
from providers.outcomes import (
    LookupRefused,
    PermanentError,
    ProviderError,
    ProviderRefusal,
    TemporaryError,
    UnknownOutcome,
)
from providers.vonage.settings import VonageSettings
from providers.vonage.tokens import verify_callback
from services.receipts import stored_receipt_of as stored
from testing.vendors.http import Reply
from testing.vendors.modes import VendorMode
from testing.vendors.vonage import (
    API_KEY,
    API_SECRET,
    APPLICATION,
    FROM,
    SIGNATURE_SECRET,
    application_key,
    private_pem,
    problem,
    sign,
)
from tests.providers.harness_vonage import CALLBACK, VonageBench, VonageHarness
from tests.providers.published_schemas import schema_problems

SAMPLES = Path(__file__).parent / "payloads" / "vonage"


@pytest.fixture
async def bench() -> AsyncIterator[VonageBench]:
    async with VonageBench.running() as bench:
        yield bench


def sample(name: str) -> Any:
    return json.loads((SAMPLES / f"{name}.json").read_text())


async def test_the_request_has_the_published_form(bench: VonageBench) -> None:
    message = bench.message_in_mode(VendorMode.GOOD)
    await bench.provider.send(message)
    [request] = bench.vendor.log.requests
    assert schema_problems("vonage/messages", "OutboundSMSText", request.json) == []
    assert request.json == {
        "message_type": "text",
        "channel": "sms",
        "to": message.address["phone"].removeprefix("+"),
        "from": FROM,
        "text": "Grüße & more",
        "client_ref": str(message.attempt_id),
        "sms": {"encoding_type": "auto"},
        "webhook_url": CALLBACK,
        "webhook_version": "v1",
    }


async def test_an_application_signs_a_new_token_for_each_request(bench: VonageBench) -> None:
    for _ in range(2):
        await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    tokens = [request.headers["authorization"].removeprefix("Bearer ") for request in bench.vendor.log.requests]
    claims = [jwt.decode(token, application_key().public_key(), algorithms=["RS256"]) for token in tokens]
    assert {each["application_id"] for each in claims} == {APPLICATION}
    assert [each["exp"] - each["iat"] for each in claims] == [300, 300]
    assert len({each["jti"] for each in claims}) == 2


async def test_a_token_of_another_key_is_refused(bench: VonageBench) -> None:
    provider = bench.adapter(private_key=SecretStr(private_pem(application_key("another"))))
    with pytest.raises(PermanentError, match=r"^credentials_refused$"):
        await provider.send(bench.message_in_mode(VendorMode.GOOD))


async def test_an_account_without_an_application_sends_with_its_key_and_secret(bench: VonageBench) -> None:
    provider = bench.adapter(application_id="", private_key=SecretStr(""))
    await provider.send(bench.message_in_mode(VendorMode.GOOD))
    [request] = bench.vendor.log.requests
    assert request.headers["authorization"].startswith("Basic ")


@pytest.mark.parametrize(("left", "least", "most"), [(3_600, 3_000, 3_600), (-5, 20, 20), (999_999, 604_800, 604_800)])
async def test_vonage_tries_to_deliver_until_the_message_expires(
    bench: VonageBench, left: int, least: int, most: int
) -> None:
    expires_at = datetime.now(UTC) + timedelta(seconds=left)
    await bench.provider.send(replace(bench.message_in_mode(VendorMode.GOOD), expires_at=expires_at))
    [request] = bench.vendor.log.requests
    assert schema_problems("vonage/messages", "OutboundSMSText", request.json) == []
    assert least <= request.json["ttl"] <= most


def reply_with(status: int, kind: str, title: str = "") -> Reply:
    return Reply(status=status, body=problem(kind, title, "to +447700900123"), headers={"Retry-After": "9"})


RESPONSES: list[tuple[Reply, type[ProviderError], str]] = [
    (reply_with(401, "#unauthorized"), PermanentError, "credentials_refused"),
    (reply_with(401, "#unprovisioned"), PermanentError, "feature_not_enabled"),
    (reply_with(403, "#account-suspended"), PermanentError, "account_suspended"),
    (reply_with(402, "#low-balance"), PermanentError, "quota_exceeded"),
    (Reply(status=402, body=sample("low_balance")), PermanentError, "quota_exceeded"),
    (reply_with(404, "#not-found"), PermanentError, "unexpected_answer"),
    (reply_with(422, "messages#1420", "Invalid sender"), PermanentError, "sender_refused"),
    (reply_with(422, "messages#1140", "Facility not allowed"), PermanentError, "feature_not_enabled"),
    (reply_with(422, "messages#1474"), PermanentError, "blocked_by_fraud_rule"),
    (reply_with(422, "messages#9999"), PermanentError, "unexpected_answer"),
    (reply_with(422, "messages#1100", "Communication Failed"), TemporaryError, "technical_failure"),
    (reply_with(429, "messages#1000"), TemporaryError, "throttled"),
    (reply_with(429, "#rate-limit"), TemporaryError, "throttled"),
    (reply_with(500, "messages#1430", "Invalid recipient"), UnknownOutcome, "server_error"),
    # A success that is an error: as a problem, and as the older SMS API reports it.
    (reply_with(202, "messages#1430", "Invalid recipient"), UnknownOutcome, "undocumented_success"),
    (
        Reply(status=200, body={"message-count": "1", "messages": [{"status": "4", "error-text": "Bad Credentials"}]}),
        UnknownOutcome,
        "undocumented_success",
    ),
]


@pytest.mark.parametrize(("reply", "error", "reason"), RESPONSES, ids=str)
async def test_an_error_has_the_outcome_that_it_proves(
    bench: VonageBench, reply: Reply, error: type[ProviderError], reason: str
) -> None:
    bench.vendor.reply = reply
    with pytest.raises(ProviderError) as caught:
        await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert (type(caught.value), caught.value.reason) == (error, reason)
    assert caught.value.retry_after == (9.0 if error is TemporaryError or reason == "server_error" else None)
    assert "4477" not in str(caught.value.response)


REFUSALS = [
    ("messages#1430", "Invalid recipient", "invalid_address"),
    ("messages#1020", "Invalid params", "bad_request"),
    ("messages#1240", "Illegal Number", "opted_out"),
    # Published examples, whose codes mean an unknown TTL and a missing feature in the list of codes.
    ("messages#1130", "Invalid recipient", "invalid_address"),
    ("messages#1140", "Invalid message type", "bad_request"),
]


@pytest.mark.parametrize(("kind", "title", "reason"), REFUSALS)
async def test_a_refused_message_has_the_reason_of_its_title_or_code(
    bench: VonageBench, kind: str, title: str, reason: str
) -> None:
    bench.vendor.reply = reply_with(422, kind, title)
    refusal = await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    evidence = {"status": 422, "code": kind.partition("#")[2]}
    assert refusal == ProviderRefusal(reason=reason, response=evidence)


def test_the_responses_of_the_fake_have_the_published_form(bench: VonageBench) -> None:
    assert schema_problems("vonage/messages", "MessageAcceptedResponse", VonageHarness.success.body) == []
    for mode in (VendorMode.REFUSES, VendorMode.THROTTLES, VendorMode.BREAKS):
        assert schema_problems("vonage/messages", "ErrorResponse", bench.vendor.refusal(mode).body) == []


@pytest.mark.parametrize(
    ("given", "problem_text"),
    [
        ({"application_id": APPLICATION}, "set both TOCSIN_VONAGE_APPLICATION_ID and TOCSIN_VONAGE_PRIVATE_KEY"),
        ({"private_key": "secret text"}, "TOCSIN_VONAGE_PRIVATE_KEY: not an RSA key in PEM format"),
    ],
)
def test_a_wrong_application_is_named_without_its_key(given: dict[str, str], problem_text: str) -> None:
    with pytest.raises(InvalidSettings, match=problem_text) as caught:
        VonageSettings.read(api_key=API_KEY, api_secret=API_SECRET, sender=FROM, **given)
    assert "secret text" not in str(caught.value)


async def test_the_check_returns_the_balance(bench: VonageBench) -> None:
    assert await bench.provider.check() == "the key and the secret are valid, and the balance is 29.18 EUR"
    bench.vendor.lookup_override = Reply(status=200, body={"error-code": "401"})
    with pytest.raises(TemporaryError, match=r"^malformed_response$"):
        await bench.provider.check()


async def test_the_query_of_a_report_has_the_published_form(bench: VonageBench) -> None:
    message = bench.message_in_mode(VendorMode.GOOD)
    await bench.provider.send(message)
    since = datetime(2026, 3, 1, 12, tzinfo=UTC)
    [found] = await bench.provider.look_up(message, since)
    [request] = bench.vendor.log.lookups
    query = dict(parse_qsl(urlsplit(request.target).query))
    assert schema_problems("vonage/reports", "createSyncReportPublic", query) == []
    assert (query["to"], query["date_start"]) == (message.address["phone"][1:], "2026-03-01T11:59:00Z")
    assert (found.cost, found.response["message_status"]) == ("0.0333", "submitted")
    report = bench.vendor.look_up(request).body
    assert schema_problems("vonage/reports", "MessagesOutboundRecordsResponse", report) == []


async def test_a_report_is_searched_by_the_attempt(bench: VonageBench) -> None:
    message = bench.message_in_mode(VendorMode.GOOD)
    await bench.provider.send(message)
    other = replace(message, attempt_id=message.delivery_id)
    assert await bench.provider.look_up(other, datetime.now(UTC)) == []


async def test_a_message_beyond_the_first_page_is_not_missing(bench: VonageBench) -> None:
    messages = [bench.message_in_mode(VendorMode.GOOD) for _ in range(2)]
    messages = [replace(message, address=messages[0].address) for message in messages]
    for message in messages:
        await bench.provider.send(message)
    bench.vendor.page_size = 1
    assert len(await bench.provider.look_up(messages[0], datetime.now(UTC))) == 1
    with pytest.raises(TemporaryError, match=r"^too_many_messages$"):
        await bench.provider.look_up(messages[1], datetime.now(UTC))


UNUSABLE_REPORTS: list[tuple[Reply, type[ProviderError], str]] = [
    (Reply(status=403, body=problem("#forbidden", "Forbidden")), LookupRefused, "reports_not_available"),
    (Reply(status=200, body={"request_status": "TRUNCATED", "records": []}), TemporaryError, "too_many_messages"),
    (Reply(status=200, body={"request_status": "SUCCESS"}), TemporaryError, "malformed_response"),
]


@pytest.mark.parametrize(("reply", "error", "reason"), UNUSABLE_REPORTS, ids=["403", "truncated", "no records"])
async def test_an_unusable_report_proves_nothing(
    bench: VonageBench, reply: Reply, error: type[ProviderError], reason: str
) -> None:
    bench.vendor.lookup_override = reply
    with pytest.raises(error, match=f"^{reason}$"):
        await bench.provider.look_up(bench.message_in_mode(VendorMode.GOOD), datetime.now(UTC))


async def test_a_record_without_an_id_is_malformed(bench: VonageBench) -> None:
    message = bench.message_in_mode(VendorMode.GOOD)
    bench.vendor.lookup_override = Reply(status=200, body={"records": [{"client_ref": str(message.attempt_id)}]})
    with pytest.raises(TemporaryError, match=r"^malformed_response$"):
        await bench.provider.look_up(message, datetime.now(UTC))


def receipts(bench: VonageBench, event: Any) -> list[ProviderReceipt]:
    body = json.dumps(event).encode()
    return bench.provider.parse_receipts(bench.signed(body, datetime.now(UTC)), body)


async def test_a_documented_status_is_a_receipt(bench: VonageBench) -> None:
    event = sample("delivered")
    assert schema_problems("vonage/messages", "messageStatusSMS", event) == []
    assert receipts(bench, event) == [
        ProviderReceipt(
            kind=ReceiptKind.DELIVERED,
            occurred_at=datetime(2025, 2, 3, 12, 14, 25, tzinfo=UTC),
            attempt_id=UUID(event["client_ref"]),
            provider_message_id=event["message_uuid"],
            raw=event,
        )
    ]


@pytest.mark.parametrize(
    ("changed", "kind", "reason"),
    [
        ({}, ReceiptKind.FAILED, "opted_out"),
        ({"status": "undeliverable", "error": {"title": 1331}}, ReceiptKind.FAILED, "technical_failure"),
        (
            {"error": {"type": "https://developer.vonage.com/api-errors/messages#1190"}},
            ReceiptKind.FAILED,
            "unknown_number",
        ),
        ({"error": {"title": "7777"}}, ReceiptKind.FAILED, "unknown_error"),
        ({"error": None}, ReceiptKind.FAILED, "unknown_error"),
        ({"status": "submitted", "error": {"title": "1220"}}, ReceiptKind.DELAYED, "unreachable"),
        ({"status": "submitted", "error": None}, ReceiptKind.UNKNOWN, None),
        ({"error": {"title": "1490"}}, ReceiptKind.UNKNOWN, None),
    ],
)
async def test_a_failed_message_has_the_reason_of_its_code(
    bench: VonageBench, changed: dict[str, Any], kind: ReceiptKind, reason: str | None
) -> None:
    event = sample("rejected")
    assert schema_problems("vonage/messages", "messageStatusSMS", event) == []
    [receipt] = receipts(bench, event | changed)
    assert (receipt.kind, receipt.reason) == (kind, reason)


@pytest.mark.parametrize(
    "changed",
    [
        {"timestamp": "today"},
        {"timestamp": "0001-01-01T00:00:00+14:00"},
        {"timestamp": 1},
        {"status": ["delivered"]},
        {"error": "1240"},
    ],
    ids=str,
)
async def test_a_status_in_another_form_is_unreadable(bench: VonageBench, changed: dict[str, Any]) -> None:
    with pytest.raises(UnreadableReceipt):
        receipts(bench, sample("rejected") | changed)


async def test_each_status_of_a_message_is_stored_once(bench: VonageBench) -> None:
    events = [sample("delivered"), sample("delivered"), sample("delivered") | {"status": "submitted"}]
    ids = [stored("vonage", receipt).id for event in events for receipt in receipts(bench, event)]
    assert (ids[0] == ids[1], ids[0] == ids[2]) == (True, False)


async def test_the_callbacks_of_the_fake_have_the_published_form(bench: VonageBench) -> None:
    message = bench.message_in_mode(VendorMode.GOOD)
    for status in ("submitted", "delivered", "rejected", "undeliverable"):
        event = json.loads(bench.report(status, message, "aaaaaaaa-bbbb-4ccc-8ddd-0123456789ab", datetime.now(UTC)))
        assert schema_problems("vonage/messages", "messageStatusSMS", event) == []


# A published example of a signature: github.com/Vonage/vonage-python-sdk, jwt/tests/test_verify_jwt.py, Apache 2.0.
PUBLISHED_SECRET = "qwertyuiopasdfghjklzxcvbnm123456"
PUBLISHED_TOKEN = (
    "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJPbmxpbmUgSldUIEJ1aWxkZXIiLCJpYXQiOjE2OTc2MzQ2ODAsImV4cCI6MzMyNTQ1"
    "NDA4MjgsImF1ZCI6IiIsInN1YiI6IiJ9.88vJc3I2HhuqEDixHXVhc9R30tA6U_HQHZTC29y6CGM"
)


def test_the_published_signature_is_valid_but_signs_no_body() -> None:
    with pytest.raises(ForgedReceipt, match="MissingRequiredClaimError"):
        verify_callback(f"Bearer {PUBLISHED_TOKEN}", b"", PUBLISHED_SECRET)
    with pytest.raises(ForgedReceipt, match="InvalidSignatureError"):
        verify_callback(f"Bearer {PUBLISHED_TOKEN}", b"", PUBLISHED_SECRET[::-1])


async def test_without_a_signature_secret_no_callback_is_accepted(bench: VonageBench) -> None:
    provider = bench.adapter(webhook_secret=SecretStr(""))
    body = (SAMPLES / "delivered.json").read_bytes()
    with pytest.raises(ForgedReceipt, match="TOCSIN_VONAGE_WEBHOOK_SECRET is not set"):
        provider.parse_receipts(bench.signed(body, datetime.now(UTC)), body)


@pytest.mark.parametrize(
    "changed",
    [{"iat": None}, {"iat": "soon"}, {"payload_hash": None}, {"payload_hash": "0" * 64}, {"exp": 1_700_000_000}],
    ids=str,
)
async def test_a_token_with_wrong_claims_is_forged(bench: VonageBench, changed: dict[str, Any]) -> None:
    body = (SAMPLES / "delivered.json").read_bytes()
    genuine = bench.signed(body, datetime.now(UTC))["authorization"].removeprefix("Bearer ")
    claims = jwt.decode(genuine, SIGNATURE_SECRET, algorithms=["HS256"]) | changed
    claims = {name: value for name, value in claims.items() if value is not None}
    with pytest.raises(ForgedReceipt):
        bench.provider.parse_receipts({"authorization": f"Bearer {sign(SIGNATURE_SECRET, claims)}"}, body)


@pytest.mark.parametrize(
    ("age", "problem_text"),
    [(timedelta(hours=25), "older than a day"), (-timedelta(minutes=6), "ImmatureSignatureError")],
)
async def test_a_token_of_another_time_is_forged(bench: VonageBench, age: timedelta, problem_text: str) -> None:
    body = (SAMPLES / "delivered.json").read_bytes()
    with pytest.raises(ForgedReceipt, match=problem_text):
        bench.provider.parse_receipts(bench.signed(body, datetime.now(UTC) - age), body)


@pytest.mark.parametrize("age", [timedelta(hours=23), -timedelta(minutes=4)])
async def test_a_callback_may_be_repeated_for_a_day(bench: VonageBench, age: timedelta) -> None:
    body = (SAMPLES / "delivered.json").read_bytes()
    assert bench.provider.parse_receipts(bench.signed(body, datetime.now(UTC) - age), body)


@pytest.mark.parametrize("algorithm", ["none", "HS512", "RS256"])
async def test_a_token_of_another_algorithm_is_forged(bench: VonageBench, algorithm: str) -> None:
    body = (SAMPLES / "delivered.json").read_bytes()
    genuine = bench.signed(body, datetime.now(UTC))["authorization"].removeprefix("Bearer ")
    claims = jwt.decode(genuine, SIGNATURE_SECRET, algorithms=["HS256"])
    token = sign(SIGNATURE_SECRET, claims, algorithm)
    with pytest.raises(ForgedReceipt, match="InvalidAlgorithmError"):
        bench.provider.parse_receipts({"authorization": f"Bearer {token}"}, body)
