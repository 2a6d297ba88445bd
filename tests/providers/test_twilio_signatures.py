"""Test the signatures of Twilio, also with the examples that the vendor publishes."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from urllib.parse import urlencode
from uuid import uuid4

import httpx2
import pytest
from pydantic import SecretStr
from sqlalchemy import text
from twilio.request_validator import RequestValidator

from api.app import create_app
from bootstrap import Container
from domain.evidence import ReceiptKind
from providers.base import ForgedReceipt, UnreadableReceipt
from providers.twilio.adapter import Twilio
from providers.twilio.settings import TwilioSettings
from testing.vendors.twilio import FROM, SID, TOKEN, sign
from tests.providers.harness_twilio import ATTEMPT, CALLBACK, QUERY, TwilioBench, callback


@pytest.fixture
async def bench() -> AsyncIterator[TwilioBench]:
    async with TwilioBench.running() as bench:
        yield bench


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
