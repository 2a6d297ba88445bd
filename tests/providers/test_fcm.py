"""Test FCM: the request, the lifetime and urgency of a message, the check and the settings."""

import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from firebase_admin import messaging

from domain.channels import DeviceKind
from providers.fcm.adapter import FcmSettings
from providers.outcomes import (
    PermanentError,
    ProviderAcceptance,
    ProviderRefusal,
    TemporaryError,
)
from testing.vendors.http import Reply
from testing.vendors.modes import VendorMode
from tests.providers.harness_fcm import FcmBench, sample
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
