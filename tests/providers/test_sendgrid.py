"""Test SendGrid: the request, the result of each response, the check and the settings."""

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from config.sources import ProviderSettings
from providers.outcomes import (
    PermanentError,
    ProviderAcceptance,
    ProviderError,
    ProviderRefusal,
    TemporaryError,
    UnknownOutcome,
)
from providers.sendgrid.lookup import REFERENCE
from providers.sendgrid.settings import SendGridSettings
from testing.vendors.http import Reply
from testing.vendors.modes import VendorMode
from testing.vendors.sendgrid import API_KEY
from tests.providers.harness_sendgrid import SendGridBench, sample


@pytest.fixture
async def bench() -> AsyncIterator[SendGridBench]:
    async with SendGridBench.running() as bench:
        yield bench


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


@pytest.mark.parametrize("scopes", [[], ["alerts.read"], None, "mail.send"])
async def test_a_check_reports_that_a_valid_key_may_not_send(bench: SendGridBench, scopes: Any) -> None:
    assert await bench.provider.check() == "the API key is valid and may send mail"
    bench.vendor.scopes = scopes
    with pytest.raises(PermanentError, match="scope_mail_send_missing"):
        await bench.provider.check()


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
