"""Simulate a recipient's webhook endpoint that verifies according to Standard Webhooks."""

from typing import ClassVar
from uuid import UUID

import standardwebhooks

from testing.vendors.http import Reply, Request, UndocumentedRequest, require
from testing.vendors.log import VendorLog, VendorMessage
from testing.vendors.modes import VendorMode
from testing.vendors.vendor import FakeVendor


class FakeWebhook(FakeVendor):
    """Simulate the endpoint. A message that is repeated with the same `webhook-id` is kept once."""

    name: ClassVar[str] = "webhook"

    def __init__(self, secret: str, *, log: VendorLog | None = None) -> None:
        super().__init__(None, log)
        self._verifier = standardwebhooks.Webhook(secret)

    def read(self, request: Request) -> VendorMessage:
        require(request.method == "POST", "it is no POST")
        require(request.headers["content-type"] == "application/json", "the body is not JSON")
        try:
            self._verifier.verify(request.body, dict(request.headers))
        except standardwebhooks.WebhookVerificationError as error:
            raise UndocumentedRequest(str(error)) from error
        reference = str(UUID(request.headers["webhook-id"]))
        return VendorMessage(reference=reference, to=request.target, message_id=reference)

    def accept(self, message: VendorMessage, request: Request) -> Reply:
        self.log.kept.pop(message.reference, None)
        return Reply(status=200)

    def refusal(self, mode: VendorMode) -> Reply:
        return Reply(status=429, headers={"Retry-After": "7"}) if mode is VendorMode.THROTTLES else Reply(status=404)
