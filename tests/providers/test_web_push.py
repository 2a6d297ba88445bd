"""Test web push against a push service that verifies each token and decrypts each message with another library."""

import json
import time
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, derive_private_key

from config.sources import InvalidSettings
from domain.target_urls import TargetPolicy
from providers.network_guard import GuardedBackend, guarded_http_transport
from providers.outcomes import ProviderAcceptance, TemporaryError
from providers.transport import Transport, outgoing_client
from providers.web_push.adapter import WebPush, find_origin
from providers.web_push.encryption import BODY_LIMIT, encrypt
from providers.web_push.settings import WebPushSettings
from providers.web_push.vapid import Vapid
from testing.vendors.modes import VendorMode
from tests.providers.harness import tools_with
from tests.providers.harness_web_push import PRIVATE_KEY, PUBLIC_KEY, WebPushBench

REPORT_URL = "https://tocsin.example.com/t/p/token"


@pytest.fixture
async def bench() -> AsyncIterator[WebPushBench]:
    async with WebPushBench.running() as bench:
        yield bench


def decoded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def private_key(text: str) -> EllipticCurvePrivateKey:
    return derive_private_key(int.from_bytes(decoded(text)), SECP256R1())


async def shown(bench: WebPushBench, **changed: Any) -> dict[str, Any]:
    """Return what the browser gets."""
    result = await bench.provider.send(replace(bench.message_in_mode(VendorMode.GOOD), **changed))
    assert isinstance(result, ProviderAcceptance)
    return bench.vendor.shown[-1]


def test_the_example_of_rfc_8291_is_encrypted_to_the_same_bytes() -> None:
    """https://www.rfc-editor.org/rfc/rfc8291#section-5"""
    keys = {
        "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
        "auth": "BTBZMqHH6r4Tts7J_aSIgg",
    }
    body = encrypt(
        b"When I grow up, I want to be a watermelon",
        keys,
        sender=private_key("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"),
        salt=decoded("DGv6ra1nlYgDCS1FRnbzlw"),
    )
    assert body == decoded(
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl"
        "7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )


async def test_a_browser_gets_the_whole_content(bench: WebPushBench) -> None:
    message = bench.message_in_mode(VendorMode.GOOD)
    content = {
        "title": "Shipped 📦",
        "body": "Grüße",
        "image": "https://shop.example/parcel.png",
        "link": "https://shop.example/orders/7",
        "actions": [{"action": "track", "title": "Track", "link": "https://shop.example/track/7"}],
        "badge": 2,
        "data": {"order": "7"},
    }
    received = await shown(
        bench, delivery_id=message.delivery_id, content={**content, "sound": "x"}, report_url=REPORT_URL
    )
    assert received == {"delivery_id": str(message.delivery_id), "report_url": REPORT_URL, **content}


async def test_a_long_message_is_truncated_to_what_every_push_service_takes(bench: WebPushBench) -> None:
    received = await shown(bench, content={"title": "Hi", "body": "ü" * 5_000}, report_url=REPORT_URL)
    [request] = bench.vendor.log.requests
    assert received["body"].endswith("ü…")
    assert BODY_LIMIT - 2 <= len(request.body) <= BODY_LIMIT


async def test_two_messages_have_different_keys_and_salts(bench: WebPushBench) -> None:
    message = bench.message_in_mode(VendorMode.GOOD)
    for _ in range(2):
        await bench.provider.send(message)
    first, second = [request.body for request in bench.vendor.log.requests]
    assert first[:16] != second[:16]
    assert first[21:86] != second[21:86]


def test_a_token_is_cached_for_its_push_service_and_renewed_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [time.time()]
    monkeypatch.setattr(time, "time", lambda: clock[0])
    vapid = Vapid(PRIVATE_KEY, "mailto:ops@example.com")
    first, other = vapid.authorization("https://a.example"), vapid.authorization("https://b.example")
    assert first != other
    clock[0] += 5 * 3_600
    assert vapid.authorization("https://a.example") == first
    clock[0] += 2 * 3_600
    renewed = vapid.authorization("https://a.example")
    claims = json.loads(decoded(renewed.removeprefix("vapid t=").split(".")[1]))
    assert claims == {"aud": "https://a.example", "exp": int(clock[0]) + 12 * 3_600, "sub": "mailto:ops@example.com"}


async def test_many_sends_use_one_token(bench: WebPushBench) -> None:
    for _ in range(3):
        await shown(bench)
    assert len(bench.vendor.tokens) == 1


@pytest.mark.parametrize(
    ("endpoint", "origin"),
    [
        ("https://Push.Example.com/a/b?c", "https://push.example.com"),
        ("https://push.example.com:443/a", "https://push.example.com"),
        ("https://push.example.com:8443/a", "https://push.example.com:8443"),
        ("http://127.0.0.1:80/a", "http://127.0.0.1"),
        ("https://[2001:db8::1]:8443/a", "https://[2001:db8::1]:8443"),
        ("https://user:secret@push.example.com/a", "https://push.example.com"),
        ("ftp://push.example.com/a", None),
        ("https:///a", None),
        ("https://push.example.com:x/a", None),
    ],
)
def test_a_token_is_for_the_origin_of_the_endpoint(endpoint: str, origin: str | None) -> None:
    assert find_origin(endpoint) == origin


@pytest.mark.parametrize(
    ("priority", "urgency"), [(1, "high"), (2, "high"), (3, "normal"), (4, "low"), (5, "very-low")]
)
async def test_the_urgency_follows_the_priority(bench: WebPushBench, priority: int, urgency: str) -> None:
    await shown(bench, priority=priority)
    assert bench.vendor.log.requests[0].headers["urgency"] == urgency


@pytest.mark.parametrize(
    ("left", "least", "most"),
    [
        (None, 2_419_200, 2_419_200),
        (timedelta(hours=1), 3_590, 3_600),
        (timedelta(days=90), 2_419_200, 2_419_200),
        (-timedelta(seconds=1), 0, 0),
    ],
)
async def test_the_push_service_drops_a_message_after_its_expiry(
    bench: WebPushBench, left: timedelta | None, least: int, most: int
) -> None:
    await shown(bench, expires_at=left and datetime.now(UTC) + left)
    assert least <= int(bench.vendor.log.requests[0].headers["ttl"]) <= most


async def test_two_sends_of_a_delivery_have_one_topic(bench: WebPushBench) -> None:
    first, second = uuid4(), uuid4()
    for delivery_id in (first, first, second):
        await shown(bench, delivery_id=delivery_id)
    topics = [request.headers["topic"] for request in bench.vendor.log.requests]
    assert [decoded(topic) for topic in topics] == [first.bytes, first.bytes, second.bytes]


async def test_a_private_endpoint_is_not_connected_to(bench: WebPushBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_WEB_PUSH_PRIVATE_KEY", PRIVATE_KEY)
    monkeypatch.setenv("TOCSIN_WEB_PUSH_SUBJECT", "mailto:ops@example.com")
    backend = GuardedBackend(TargetPolicy(ports=frozenset()), failure_delay=0)
    async with outgoing_client(guarded_http_transport(backend)) as client:
        context = replace(tools_with(bench.transport), guarded_transport=Transport(client))
        with pytest.raises(TemporaryError, match="connect_failed"):
            await WebPush.build(context).send(bench.message_in_mode(VendorMode.GOOD))
    assert bench.vendor.log.requests == []


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"PRIVATE_KEY": "canary"}, "TOCSIN_WEB_PUSH_PRIVATE_KEY: must be 32 bytes as base64url"),
        ({"PRIVATE_KEY": ""}, "TOCSIN_WEB_PUSH_PRIVATE_KEY is missing"),
        ({"PRIVATE_KEY": "A" * 43}, "TOCSIN_WEB_PUSH_PRIVATE_KEY: must be 32 bytes as base64url"),
        ({"SUBJECT": "ops@canary.example"}, "TOCSIN_WEB_PUSH_SUBJECT: must be a contact"),
        ({"SUBJECT": "mailto:ops@canary"}, "TOCSIN_WEB_PUSH_SUBJECT: must be a contact"),
    ],
)
def test_invalid_settings_are_named_without_their_values(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, changed: dict[str, str], problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    given = {"PRIVATE_KEY": PRIVATE_KEY, "SUBJECT": "mailto:ops@example.com", **changed}
    for name, value in given.items():
        monkeypatch.setenv(f"TOCSIN_WEB_PUSH_{name}", value)
    with pytest.raises(InvalidSettings, match=problem) as caught:
        WebPushSettings.read()
    assert "canary" not in str(caught.value)


async def test_the_public_key_is_that_of_the_private_one(bench: WebPushBench) -> None:
    assert bench.adapter().public_key == PUBLIC_KEY
