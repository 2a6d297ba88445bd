"""Test Twilio: the request, the result of each response, the queries and the settings."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from pydantic import SecretStr
from twilio.base.values import unset
from twilio.http import HttpClient
from twilio.http.response import Response
from twilio.rest import Client

from providers.outcomes import (
    PermanentError,
    ProviderAcceptance,
    ProviderError,
    ProviderRefusal,
    TemporaryError,
    UnknownOutcome,
)
from providers.twilio.settings import TwilioSettings
from testing.vendors.http import Reply
from testing.vendors.modes import VendorMode
from testing.vendors.twilio import FROM, SID, TOKEN
from tests.providers.harness_twilio import CALLBACK, SAMPLES, TwilioBench


@pytest.fixture
async def bench() -> AsyncIterator[TwilioBench]:
    async with TwilioBench.running() as bench:
        yield bench


def sample(name: str) -> Any:
    return json.loads((SAMPLES / f"{name}.json").read_text())


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
    await bench.provider.look_up(message, datetime.now(UTC))
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
