"""Test Mailgun: the request, the result of each response, the check and the settings."""

import base64
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from domain.email_options import EmailAttachment, EmailOptions
from providers.email_fields import recipient_digest
from providers.mailgun.adapter import MailgunSettings
from providers.mailgun.lookup import REFERENCE
from providers.mailgun.options import COPY_DIGEST, build_fields
from providers.outcomes import (
    PermanentError,
    ProviderAcceptance,
    ProviderError,
    ProviderRefusal,
    TemporaryError,
    UnknownOutcome,
)
from testing.vendors.http import Reply
from testing.vendors.mailgun import API_KEY
from tests.providers.harness_mailgun import COPIES, MailgunBench, good
from tests.providers.published_schemas import schema_problems


@pytest.fixture
async def bench() -> AsyncIterator[MailgunBench]:
    async with MailgunBench.running() as bench:
        yield bench


def form(bench: MailgunBench) -> dict[str, Any]:
    """Return the fields of the last request, as the published schema names them."""
    fields: dict[str, list[str]] = defaultdict(list)
    for name, value in bench.vendor.log.requests[-1].multipart:
        fields[name].append(value.decode())
    return {name: values if name in ("to", "o:tag") else values[0] for name, values in fields.items()}


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
