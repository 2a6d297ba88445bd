"""Adapt web push to the contract suite."""

from typing import Any

from pydantic import SecretStr

from domain.channels import Channel
from domain.evidence import CallResult
from domain.outgoing_messages import OutgoingMessage
from providers.web_push.adapter import WebPush
from providers.web_push.settings import WebPushSettings
from providers.web_push.vapid import load_private_key, new_private_key, public_key_of
from testing.vendors.http import Reply
from testing.vendors.modes import VendorMode
from testing.vendors.web_push import FakeWebPush
from tests.providers.harness import NO_RECEIPTS, NOT_CHECKED, NOT_FOUND, ContractCase
from tests.providers.harness_http import HttpBench, HttpHarness

PRIVATE_KEY = new_private_key()
PUBLIC_KEY = public_key_of(load_private_key(PRIVATE_KEY))
KEYS = FakeWebPush().subscription("good")["keys"]


class WebPushBench(HttpBench):
    channel = Channel.WEB_PUSH
    content = {"title": "Hi", "body": "Grüße"}
    vendor: FakeWebPush

    @classmethod
    def new_vendor(cls) -> FakeWebPush:
        return FakeWebPush(PUBLIC_KEY)

    def adapter(self, **changed: Any) -> WebPush:
        given: dict[str, Any] = {"private_key": SecretStr(PRIVATE_KEY), "subject": "mailto:ops@example.com"}
        return WebPush(WebPushSettings(**(given | changed)), self.transport)

    def address(self, mode: VendorMode) -> Any:
        return {"subscription": self.vendor.subscription(mode)}

    def reference(self, message: OutgoingMessage) -> str:
        return str(message.delivery_id)


class WebPushHarness(HttpHarness):
    bench_class = WebPushBench
    success = Reply(status=201)
    also_accepted = frozenset({202})
    without = {ContractCase.BREAKS: "401 and 403 concern one subscription"} | NO_RECEIPTS | NOT_CHECKED | NOT_FOUND
    after_error = {
        ContractCase.ERRS: CallResult.UNKNOWN,
        ContractCase.REDIRECTS: CallResult.PERMANENT,
        ContractCase.MALFORMS: CallResult.ACCEPTED,
    }
    bad_content = (({"title": "x" * 5_000, "body": ""}, "too_large"),)
    bad_addresses = (
        ({"subscription": {"endpoint": "push.example.com/1", "keys": KEYS}}, "invalid_address"),
        (
            {"subscription": {"endpoint": "https://push.example.com/1", "keys": {**KEYS, "p256dh": "AAAA"}}},
            "invalid_token",
        ),
        (
            {"subscription": {"endpoint": "https://push.example.com/1", "keys": {**KEYS, "auth": "AAAA"}}},
            "invalid_token",
        ),
    )
