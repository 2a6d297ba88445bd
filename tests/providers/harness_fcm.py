"""Adapt FCM to the contract suite."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from pydantic import SecretStr

from domain.channels import Channel
from providers.fcm.adapter import Fcm, FcmSettings
from testing.vendors.fcm import FakeFcm, new_key
from testing.vendors.http import Reply
from tests.providers.harness import NO_RECEIPTS, NOT_FOUND
from tests.providers.harness_http import HttpBench, HttpHarness

SAMPLES = Path(__file__).parent / "payloads" / "fcm"
STATUS = {"invalid_token": 400, "invalid_argument": 400, "unauthenticated": 401, "sender_mismatch": 403} | {
    "unregistered": 404,
    "quota_exceeded": 429,
    "internal": 500,
    "unavailable": 503,
}


def sample(name: str) -> Any:
    return json.loads((SAMPLES / f"{name}.json").read_text())


@cache
def key(whose: str) -> RSAPrivateKey:
    """Return one of few keys, because each takes a second to make."""
    return new_key()


class FcmBench(HttpBench):
    channel = Channel.PUSH
    content = {"title": "Hi", "body": "Grüße"}
    vendor: FakeFcm

    @classmethod
    def new_vendor(cls) -> FakeFcm:
        return FakeFcm(key("ours"))

    def account(self, signs_with: str = "ours") -> SecretStr:
        return SecretStr(json.dumps(self.vendor.account(key(signs_with))))

    def adapter(self, **changed: Any) -> Fcm:
        url = self.vendor.url
        given: dict[str, Any] = {"credentials": self.account(), "base_url": url, "token_url": f"{url}/token"}
        return Fcm(FcmSettings(**(given | changed)), self.transport)

    def bad_credentials(self) -> Fcm:
        return self.adapter(credentials=self.account("another"))

    def unreachable(self) -> Fcm:
        return self.adapter(base_url="http://127.0.0.1:1", token_url="http://127.0.0.1:1/token")


class FcmHarness(HttpHarness):
    bench_class = FcmBench
    success = Reply(status=200, body={"name": "projects/p/messages/1"})
    without = NO_RECEIPTS | NOT_FOUND
