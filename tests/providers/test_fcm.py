"""Test FCM: requests, the meaning of each response, deleted devices, and access tokens."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from firebase_admin import messaging
from pydantic import SecretStr

from domain.channels import DeviceKind
from providers.fcm.adapter import FcmSettings
from providers.outcomes import (
    PermanentError,
    ProviderAcceptance,
    ProviderError,
    ProviderRefusal,
    TemporaryError,
    UnknownOutcome,
)
from testing.vendors.http import Reply
from testing.vendors.modes import VendorMode
from tests.providers.harness_fcm import STATUS, FcmBench, sample
from tests.providers.published_schemas import schema_problems

RICH: dict[str, Any] = {
    "title": "Hi",
    "body": "Grüße",
    "image": "https://shop.test/7.png",
    "link": "https://shop.test/orders/7",
    "actions": [{"action": "track", "title": "Track", "link": "shop://7"}],
    "badge": 3,
    "sound": "order.caf",
    "data": {"order": "7"},
}


@pytest.fixture
async def bench() -> AsyncIterator[FcmBench]:
    async with FcmBench.running() as bench:
        yield bench


async def test_a_refused_connection_after_the_token_proves_not_sent(bench: FcmBench) -> None:
    bench.provider = bench.adapter(base_url="http://127.0.0.1:1")
    with pytest.raises(TemporaryError):
        await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert bench.vendor.log.requests == []


async def test_fcm_supports_fcm_devices_only(bench: FcmBench) -> None:
    assert bench.provider.device_kinds == {DeviceKind.FCM}


async def test_the_vendors_classes_accept_the_sent_messages(bench: FcmBench) -> None:
    message = bench.message_in_mode(VendorMode.GOOD)
    await bench.provider.send(message)
    sent = bench.vendor.log.requests[0].json["message"]
    theirs = messaging.Message(
        notification=messaging.Notification(title="Hi", body="Grüße"),
        data={"tocsin_id": str(message.notification_id), "attempt_id": str(message.attempt_id)},
        fid="an installation",
    )
    encoded = json.loads(str(theirs))
    assert set(sent) == {"token", "notification", "data", "android", "apns", "webpush", "fcm_options"}
    assert {name: sent[name] for name in ("notification", "data")} == {
        name: encoded[name] for name in ("notification", "data")
    }
    assert sent["token"] == message.address["token"]


def to_camel_case(value: Any) -> Any:
    """Return the names as the discovery document writes them. FCM accepts both forms; free-form objects keep theirs."""
    if isinstance(value, list):
        return [to_camel_case(each) for each in value]
    if not isinstance(value, dict):
        return value
    free = ("data", "headers", "payload")
    return {
        re.sub("_([a-z])", lambda match: match[1].upper(), name): each if name in free else to_camel_case(each)
        for name, each in value.items()
    }


@pytest.mark.parametrize("content", [FcmBench.content, RICH])
async def test_a_request_has_the_form_of_the_discovery_document(bench: FcmBench, content: dict[str, Any]) -> None:
    expires_at = datetime.now(UTC) + timedelta(hours=1)
    await bench.provider.send(replace(bench.message_in_mode(VendorMode.GOOD), content=content, expires_at=expires_at))
    request = to_camel_case(bench.vendor.log.requests[0].json)
    # The vendor's package writes it in lower case.
    request["message"]["android"]["priority"] = request["message"]["android"]["priority"].upper()
    assert schema_problems("fcm/messages", "SendMessageRequest", request) == []
    request["message"]["android"]["notification"]["notificationTag"] = "x"
    assert schema_problems("fcm/messages", "SendMessageRequest", request)


async def test_rich_content_is_sent_to_each_platform(bench: FcmBench) -> None:
    message = replace(bench.message_in_mode(VendorMode.GOOD), content=RICH, notification_type="order shipped!")
    await bench.provider.send(message)
    sent = bench.vendor.log.requests[0].json["message"]
    assert sent["notification"] == {"title": "Hi", "body": "Grüße", "image": RICH["image"]}
    assert sent["data"] == {
        "order": "7",
        "tocsin_id": str(message.notification_id),
        "attempt_id": str(message.attempt_id),
        "tocsin_link": RICH["link"],
        "tocsin_actions": '[{"action":"track","title":"Track","link":"shop://7"}]',
    }
    android = sent["android"]["notification"]
    assert (android["sound"], android["notification_count"]) == ("order.caf", 3)
    assert sent["apns"]["payload"] == {
        "aps": {"badge": 3, "sound": "order.caf", "category": "track", "mutable-content": 1}
    }
    assert sent["apns"]["fcm_options"] == {"image": RICH["image"]}
    assert sent["webpush"]["notification"]["actions"] == [{"action": "track", "title": "Track"}]
    assert sent["webpush"]["fcm_options"] == {"link": RICH["link"]}
    assert sent["fcm_options"] == {"analytics_label": "order_shipped_"}
    assert "collapse_key" not in sent["android"]


async def test_the_link_of_an_app_is_no_web_link(bench: FcmBench) -> None:
    content = {**RICH, "link": "shop://orders/7"}
    await bench.provider.send(replace(bench.message_in_mode(VendorMode.GOOD), content=content))
    sent = bench.vendor.log.requests[0].json["message"]
    assert sent["data"]["tocsin_link"] == "shop://orders/7"
    assert "fcm_options" not in sent["webpush"]


async def test_a_large_message_is_shortened_to_the_limit(bench: FcmBench) -> None:
    content = {**RICH, "body": "Grüße " * 2_000}
    result = await bench.provider.send(replace(bench.message_in_mode(VendorMode.GOOD), content=content))
    assert isinstance(result, ProviderAcceptance)
    sent = bench.vendor.log.requests[0].json["message"]
    counted = {name: value for name, value in sent.items() if name != "token"}
    assert 4080 <= len(json.dumps(counted, ensure_ascii=False, separators=(",", ":")).encode()) <= 4096
    assert sent["notification"]["body"].endswith("…")
    assert sent["notification"]["image"] == RICH["image"]


async def test_a_title_that_is_too_long_is_refused_without_a_call(bench: FcmBench) -> None:
    content = {"title": "t" * 4096, "body": "b"}
    result = await bench.provider.send(replace(bench.message_in_mode(VendorMode.GOOD), content=content))
    assert result == ProviderRefusal(reason="too_large")
    assert bench.vendor.log.requests == []


async def test_an_accepted_message_has_its_name(bench: FcmBench) -> None:
    bench.vendor.reply = Reply(status=200, body=sample("accepted"))
    result = await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert result == ProviderAcceptance(message_id=sample("accepted")["name"], response={"status": 200})


@pytest.mark.parametrize(
    ("name", "status", "reason", "gone"),
    [
        ("unregistered", 404, "unregistered", True),
        ("invalid_token", 400, "invalid_token", True),
        ("invalid_argument", 400, "bad_request", False),
        ("invalid_without_field", 400, "bad_request", False),
    ],
)
async def test_a_device_is_deleted_only_if_the_vendor_reports_a_dead_token(
    bench: FcmBench, name: str, status: int, reason: str, gone: bool
) -> None:
    bench.vendor.reply = Reply(status=status, body=sample(name))
    result = await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert isinstance(result, ProviderRefusal)
    assert (result.reason, result.is_gone) == (reason, gone)


NO_WORDS: list[Any] = [b"", b"<html>", {"error": 7}, {"error": {"details": [7, {"fieldViolations": [7]}]}}]


@pytest.mark.parametrize("body", NO_WORDS)
async def test_a_400_without_a_code_keeps_the_device(bench: FcmBench, body: Any) -> None:
    bench.vendor.reply = Reply(status=400, body=body)
    result = await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert isinstance(result, ProviderRefusal)
    assert (result.reason, result.is_gone) == ("bad_request", False)


async def test_a_token_of_another_project_is_refused_and_keeps_the_device(bench: FcmBench) -> None:
    bench.vendor.reply = Reply(status=STATUS["sender_mismatch"], body=sample("sender_mismatch"))
    result = await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert isinstance(result, ProviderRefusal)
    assert (result.reason, result.is_gone) == ("sender_mismatch", False)


@pytest.mark.parametrize("body", NO_WORDS)
async def test_a_404_without_a_code_is_not_about_the_device(bench: FcmBench, body: Any) -> None:
    bench.vendor.reply = Reply(status=404, body=body)
    with pytest.raises(PermanentError, match="unexpected_answer"):
        await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))


@pytest.mark.parametrize(
    ("name", "kind", "reason"),
    [
        ("unauthenticated", PermanentError, "credentials_refused"),
        ("quota_exceeded", TemporaryError, "throttled"),
        ("unavailable", TemporaryError, "unavailable"),
        ("internal", UnknownOutcome, "server_error"),
    ],
)
async def test_every_other_status_word_proves_a_result(
    bench: FcmBench, name: str, kind: type[ProviderError], reason: str
) -> None:
    bench.vendor.reply = Reply(status=STATUS[name], body=sample(name))
    with pytest.raises(kind) as caught:
        await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert caught.value.reason == reason


async def test_a_503_of_another_server_proves_nothing(bench: FcmBench) -> None:
    bench.vendor.reply = Reply(status=503, body=b"<html>")
    with pytest.raises(UnknownOutcome):
        await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))


@pytest.mark.parametrize(
    ("name", "headers", "delay"),
    [
        ("quota_exceeded", {}, 60),
        ("quota_exceeded", {"Retry-After": "7"}, 7),
        ("unavailable", {"Retry-After": "7"}, 7),
        ("unavailable", {}, None),
    ],
)
async def test_a_delay_is_the_vendors_or_the_documented_one(
    bench: FcmBench, name: str, headers: dict[str, str], delay: float | None
) -> None:
    bench.vendor.reply = Reply(status=STATUS[name], body=sample(name), headers=headers)
    with pytest.raises(TemporaryError) as caught:
        await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert caught.value.retry_after == delay


async def test_many_sends_at_once_share_one_token(bench: FcmBench) -> None:
    await asyncio.gather(*(bench.provider.send(bench.message_in_mode(VendorMode.GOOD)) for _ in range(10)))
    assert (len(bench.vendor.tokens), len(bench.vendor.log.requests)) == (1, 10)


async def test_a_token_that_is_about_to_end_is_renewed(bench: FcmBench) -> None:
    bench.vendor.lasts = 200
    for _ in range(2):
        await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert len(bench.vendor.tokens) == 2


async def test_a_token_that_was_refused_is_dropped(bench: FcmBench) -> None:
    await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    with pytest.raises(PermanentError):
        await bench.provider.send(bench.message_in_mode(VendorMode.BREAKS))
    await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert len(bench.vendor.tokens) == 2


async def test_a_refused_token_that_worked_before_is_renewed_once(
    bench: FcmBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first token may have been revoked. If the new one is refused as well, the account is."""
    await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    with monkeypatch.context() as later:
        later.setattr("providers.access_tokens.NEW_TOKEN_SECONDS", 0.0)
        with pytest.raises(TemporaryError, match="token_expired"):
            await bench.provider.send(bench.message_in_mode(VendorMode.BREAKS))
    assert len(bench.vendor.tokens) == 1
    with pytest.raises(PermanentError, match="credentials_refused"):
        await bench.provider.send(bench.message_in_mode(VendorMode.BREAKS))
    assert len(bench.vendor.tokens) == 2
    await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert len(bench.vendor.tokens) == 3


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(status=400, body={"error": "invalid_grant"}), PermanentError),
        (Reply(status=401, body={"error": "invalid_client"}), PermanentError),
        (Reply(status=429), TemporaryError),
        (Reply(status=500), TemporaryError),
        (Reply(status=302, headers={"location": "/token"}), TemporaryError),
        (Reply(status=200, body=b"<html>"), TemporaryError),
        (Reply(status=200, body={"access_token": "t"}), TemporaryError),
    ],
)
async def test_a_missing_token_proves_that_nothing_was_sent(
    bench: FcmBench, reply: Reply, kind: type[ProviderError]
) -> None:
    bench.vendor.token_reply = reply
    with pytest.raises(kind):
        await bench.provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert bench.vendor.log.requests == []


async def test_a_token_endpoint_that_hangs_is_cut_before_the_call_is(
    bench: FcmBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("providers.access_tokens.TOKEN_DEADLINE", 0.2)

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(hang, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        provider = bench.adapter(token_url=url)
        with pytest.raises(TemporaryError, match="token_unavailable"):
            await provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert bench.vendor.log.requests == []


async def test_a_lost_response_of_the_token_endpoint_is_no_unknown_send(bench: FcmBench) -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()

    async with await asyncio.start_server(reset, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        provider = bench.adapter(token_url=url)
        with pytest.raises(TemporaryError):
            await provider.send(bench.message_in_mode(VendorMode.GOOD))


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "{}", '{"type": "service_account"}', '"/etc/passwd"'])
async def test_invalid_credentials_are_an_error_at_start_without_quotes(bench: FcmBench, text: str) -> None:
    with pytest.raises(ValueError, match=r"^TOCSIN_FCM_CREDENTIALS is not the JSON of a service account$") as caught:
        bench.adapter(credentials=SecretStr(text))
    assert caught.value.__suppress_context__


async def test_a_project_of_the_settings_wins_over_that_of_the_credentials(bench: FcmBench) -> None:
    provider = bench.adapter(project_id="other")
    bench.vendor.token_reply = None
    with pytest.raises(PermanentError):
        await provider.send(bench.message_in_mode(VendorMode.GOOD))
    assert bench.vendor.log.requests[0].target == "/v1/projects/other/messages:send"
    bench.vendor.complaints.clear()  # it knows one project


async def test_two_sends_of_a_delivery_are_one_on_the_device(bench: FcmBench) -> None:
    first = bench.message_in_mode(VendorMode.GOOD)
    await bench.provider.send(first)
    await bench.provider.send(replace(bench.message_in_mode(VendorMode.GOOD), delivery_id=first.delivery_id))
    tags = {request.json["message"]["android"]["notification"]["tag"] for request in bench.vendor.log.requests}
    headers = {request.json["message"]["apns"]["headers"]["apns-collapse-id"] for request in bench.vendor.log.requests}
    assert tags == headers == {str(first.delivery_id)}


async def sent(bench: FcmBench, **more: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the Android and Apple options of a message."""
    await bench.provider.send(replace(bench.message_in_mode(VendorMode.GOOD), **more))
    message = bench.vendor.log.requests[-1].json["message"]
    return message["android"], message["apns"]["headers"]


@pytest.mark.parametrize(
    ("priority", "android", "apple"), [(1, "high", "10"), (2, "high", "10"), (3, "normal", "5"), (5, "normal", "5")]
)
async def test_an_urgent_message_wakes_the_device(bench: FcmBench, priority: int, android: str, apple: str) -> None:
    options, headers = await sent(bench, priority=priority)
    assert (options["priority"], headers["apns-priority"]) == (android, apple)


async def test_a_message_that_never_expires_names_no_time(bench: FcmBench) -> None:
    options, headers = await sent(bench)
    assert "ttl" not in options
    assert "apns-expiration" not in headers


@pytest.mark.parametrize(
    ("left", "least", "most"), [(timedelta(hours=1), 3590, 3600), (timedelta(days=90), 28 * 86_400, 28 * 86_400)]
)
async def test_a_message_is_dropped_by_the_vendor_after_its_expiry(
    bench: FcmBench, left: timedelta, least: float, most: float
) -> None:
    expires_at = datetime.now(UTC) + left
    options, headers = await sent(bench, expires_at=expires_at)
    assert least <= float(options["ttl"].removesuffix("s")) <= most
    assert headers["apns-expiration"] == str(int(expires_at.timestamp()))


async def test_a_message_that_expires_before_the_call_gets_no_lifetime(bench: FcmBench) -> None:
    options, _ = await sent(bench, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    assert options["ttl"] == "0s"


async def test_a_check_names_the_project_and_uses_a_dry_run_alone(bench: FcmBench) -> None:
    assert await bench.provider.check() == "the service account may send for the project shop: a dry run passed"
    [question] = bench.vendor.log.lookups
    assert question.json["validate_only"] is True
    assert "token" not in question.json["message"]


async def test_a_check_reports_that_the_project_belongs_to_another_account(bench: FcmBench) -> None:
    with pytest.raises(PermanentError, match="credentials_refused"):
        await bench.adapter(project_id="other").check()


async def test_settings_are_read_from_the_file_that_the_vendor_gives(
    bench: FcmBench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "account.json"
    file.write_text(bench.account().get_secret_value())
    monkeypatch.setenv("TOCSIN_FCM_CREDENTIALS_FILE", str(file))
    read = FcmSettings.read()
    assert json.loads(read.credentials.get_secret_value())["project_id"] == "shop"
    assert "PRIVATE KEY" not in repr(read)
