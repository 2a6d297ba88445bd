"""Test APNs: the payload, the request, the check and the settings."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from config.sources import InvalidSettings
from domain.channels import DeviceKind
from providers.apns.adapter import HOSTS, ApnsSettings
from providers.apns.payload import PAYLOAD_LIMIT, build_payload
from providers.outcomes import PermanentError, ProviderAcceptance, TemporaryError
from testing.vendors.apns import KEY_ID, TEAM_ID, TOPIC, error, pem_of
from testing.vendors.http import Reply
from testing.vendors.modes import VendorMode
from tests.providers.harness_apns import ApnsBench, key

NOTIFICATION_ID = UUID(int=1)
CONTENT: dict[str, Any] = {"title": "Hi", "body": "Grüße"}


@pytest.fixture
async def bench() -> AsyncIterator[ApnsBench]:
    async with ApnsBench.running() as bench:
        yield bench


async def test_apns_supports_apns_devices_only(bench: ApnsBench) -> None:
    assert bench.provider.device_kinds == {DeviceKind.APNS}


def payload(**content: Any) -> dict[str, Any]:
    encoded = build_payload(CONTENT | content, NOTIFICATION_ID)
    assert encoded is not None
    assert len(encoded) <= PAYLOAD_LIMIT
    read: dict[str, Any] = json.loads(encoded)
    return read


def test_a_plain_message_has_the_alert_and_the_notification_id() -> None:
    assert payload() == {"aps": {"alert": {"title": "Hi", "body": "Grüße"}}, "tocsin_id": str(NOTIFICATION_ID)}


def test_a_rich_message_has_every_field() -> None:
    actions = [
        {"action": "open", "title": "Open", "link": "https://shop.example/1"},
        {"action": "later", "title": "Later"},
    ]
    rich = payload(
        image="https://shop.example/a.png",
        link="https://shop.example/orders/1",
        actions=actions,
        badge=0,
        sound="default",
        data={"order": "1"},
    )
    assert rich == {
        "aps": {
            "alert": {"title": "Hi", "body": "Grüße"},
            "badge": 0,
            "sound": "default",
            "mutable-content": 1,
            "category": "open,later",
        },
        "order": "1",
        "tocsin_id": str(NOTIFICATION_ID),
        "tocsin_image": "https://shop.example/a.png",
        "tocsin_link": "https://shop.example/orders/1",
        "tocsin_actions": actions,
    }


def test_data_never_replaces_what_the_device_acts_on() -> None:
    sent = payload(data={"aps": "x", "tocsin_id": "x"})
    assert (sent["aps"]["alert"]["title"], sent["tocsin_id"]) == ("Hi", str(NOTIFICATION_ID))


@pytest.mark.parametrize("letter", ["x", "ü", "🎉", '"'])
def test_a_long_body_is_shortened_to_the_limit(letter: str) -> None:
    body = payload(body=letter * 5_000)["aps"]["alert"]["body"]
    assert body.endswith("…")
    assert set(body[:-1]) == {letter}
    longer = build_payload(CONTENT | {"body": body[:-1] + letter + "…"}, NOTIFICATION_ID)
    assert longer is not None
    assert json.loads(longer)["aps"]["alert"]["body"] == body, "a longer body would have fitted"


async def test_a_request_has_the_documented_headers(bench: ApnsBench) -> None:
    message = replace(bench.message_in_mode(VendorMode.GOOD), expires_at=datetime(2027, 3, 1, 12, tzinfo=UTC))
    result = await bench.provider.send(message)
    assert result == ProviderAcceptance(message_id=str(message.attempt_id), response={"status": 200})
    [request] = bench.vendor.log.requests
    assert {name: request.headers[name] for name in request.headers if name.startswith("apns")} == {
        "apns-topic": TOPIC,
        "apns-push-type": "alert",
        "apns-priority": "5",
        "apns-expiration": "1803902400",
        "apns-collapse-id": str(message.delivery_id),
        "apns-id": str(message.attempt_id),
    }


@pytest.mark.parametrize(("priority", "expected"), [(1, "10"), (2, "10"), (3, "5"), (5, "5")])
async def test_an_urgent_message_wakes_the_device(bench: ApnsBench, priority: int, expected: str) -> None:
    await bench.provider.send(replace(bench.message_in_mode(VendorMode.GOOD), priority=priority))
    assert bench.vendor.log.requests[0].headers["apns-priority"] == expected


async def test_a_message_that_never_expires_is_kept_for_a_month(bench: ApnsBench) -> None:
    message = bench.message_in_mode(VendorMode.GOOD)
    await bench.provider.send(message)
    expected = int((message.created_at + timedelta(days=30)).timestamp())
    assert bench.vendor.log.requests[0].headers["apns-expiration"] == str(expected)


async def test_a_token_cannot_change_the_path(bench: ApnsBench) -> None:
    token = "good:/../x?y=1#z"
    bench.vendor.mode_of = None
    await bench.provider.send(replace(bench.message_in_mode(VendorMode.GOOD), address={"token": token}))
    [call] = bench.vendor.log.calls
    assert call.message is not None
    assert call.message.to == token


async def test_a_check_sends_to_an_invented_device_alone(bench: ApnsBench) -> None:
    found = await bench.provider.check()
    assert found == f"the production host accepts the key for the team {TEAM_ID}, and refuses an invented device"
    [question] = bench.vendor.log.lookups
    assert question.target == f"/3/device/{'0' * 64}"


@pytest.mark.parametrize(
    ("reply", "kind", "reason"),
    [
        (error(400, "TopicDisallowed"), PermanentError, "sender_refused"),
        (error(400, "PayloadEmpty"), PermanentError, "bad_request"),
        (Reply(status=200, headers={"apns-id": "x"}), TemporaryError, "undocumented_success"),
    ],
)
async def test_a_check_reports_any_other_answer(
    bench: ApnsBench, reply: Reply, kind: type[Exception], reason: str
) -> None:
    bench.vendor.lookup_override = reply
    with pytest.raises(kind, match=f"^{reason}$"):
        await bench.provider.check()


@pytest.mark.parametrize("changed", [{"team_id": "ANOTHER"}, {"key_id": "ANOTHER"}])
async def test_a_check_reports_another_team_or_key(bench: ApnsBench, changed: dict[str, str]) -> None:
    with pytest.raises(PermanentError, match=r"^credentials_refused$"):
        await bench.adapter(**changed).check()


ENVIRONMENT = {"TEAM_ID": TEAM_ID, "KEY_ID": KEY_ID, "TOPIC": TOPIC}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(f"TOCSIN_APNS_{name}", value)
    file = tmp_path / "AuthKey.p8"
    monkeypatch.setenv("TOCSIN_APNS_PRIVATE_KEY_FILE", str(file))
    return file


def test_the_key_is_read_from_the_file_that_apple_gives(environment: Path) -> None:
    environment.write_text(pem_of(key("ours")))
    settings = ApnsSettings.read()
    assert settings.private_key.get_secret_value() == pem_of(key("ours")).strip()
    assert "PRIVATE KEY" not in repr(settings)


@pytest.mark.parametrize("text", ["x", "-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----"])
def test_an_invalid_key_is_an_error_at_start_without_quotes(environment: Path, text: str) -> None:
    environment.write_text(text)
    problem = r"^TOCSIN_APNS_PRIVATE_KEY: not a P-256 key in PEM format, as in Apple's .p8 file$"
    with pytest.raises(InvalidSettings, match=problem):
        ApnsSettings.read()


@pytest.mark.parametrize("environment_name", HOSTS)
def test_the_environment_selects_the_host(bench: ApnsBench, environment_name: str) -> None:
    provider = bench.adapter(environment=environment_name, base_url="")
    assert provider._url == HOSTS[environment_name]


def test_an_unknown_environment_is_an_error_at_start(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment.write_text(pem_of(key("ours")))
    monkeypatch.setenv("TOCSIN_APNS_ENVIRONMENT", "staging")
    with pytest.raises(InvalidSettings, match="TOCSIN_APNS_ENVIRONMENT"):
        ApnsSettings.read()
