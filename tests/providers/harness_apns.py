"""Adapt APNs to the contract suite, over HTTP/2 and TLS."""

import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any, Self

import trustme
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from pydantic import SecretStr

from domain.channels import Channel
from providers.apns.adapter import Apns, ApnsSettings
from providers.http2 import Http2Transport, http2_client
from testing.vendors.apns import KEY_ID, TEAM_ID, TOPIC, FakeApns, new_key, pem_of
from testing.vendors.http import HOST, Reply
from tests.providers.harness import NO_RECEIPTS, NOT_FOUND
from tests.providers.harness_http import HttpBench, HttpHarness, mode_of

SAMPLES = Path(__file__).parent / "payloads" / "apns"


def sample(name: str) -> Any:
    return json.loads((SAMPLES / f"{name}.json").read_text())


@cache
def authority() -> trustme.CA:
    return trustme.CA()


@cache
def server_tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert(HOST).configure_cert(context)
    return context


def client_tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority().configure_trust(context)
    return context


@cache
def key(whose: str) -> EllipticCurvePrivateKey:
    return new_key()


class ApnsBench(HttpBench):
    channel = Channel.PUSH
    content = {"title": "Hi", "body": "Grüße"}
    vendor: FakeApns

    @classmethod
    def new_vendor(cls) -> FakeApns:
        return FakeApns(key("ours"), server_tls())

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncIterator[Self]:
        vendor = cls.new_vendor()
        vendor.mode_of = mode_of
        async with vendor.running(), http2_client(client_tls()) as client:
            yield cls(vendor, Http2Transport(client))

    def adapter(self, **changed: Any) -> Apns:
        given: dict[str, Any] = {"team_id": TEAM_ID, "key_id": KEY_ID, "topic": TOPIC, "base_url": self.vendor.url}
        given["private_key"] = SecretStr(pem_of(key("ours")))
        return Apns(ApnsSettings(_env_file=None, **(given | changed)), self.transport)

    def bad_credentials(self) -> Apns:
        return self.adapter(private_key=SecretStr(pem_of(key("another"))))


class ApnsHarness(HttpHarness):
    bench_class = ApnsBench
    success = Reply(status=200, headers={"apns-id": "5c3e7a52-8c0e-4c8e-9c0e-0d0d3a4f2b11"})
    bad_content = ((ApnsBench.content | {"title": "x" * 5_000}, "too_large"),)
    without = NO_RECEIPTS | NOT_FOUND
