"""Twilio, as far as the adapter uses it: sends, the list of messages, signed status callbacks."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from tests.faults.vendor.http import HttpVendor
from tests.faults.vendor.ledger import Ledger
from tests.faults.vendor.reports import Posting, Reporter, Reports, Taken
from tests.providers.harness_http import Reply, Request
from tests.providers.harness_twilio import ACCOUNT, TOKEN, record, sign

WORDS = {"delivered": "delivered", "open": "read"}


class TwilioVendor(HttpVendor):
    provider = "twilio"

    def __init__(self, ledger: Ledger, reports: Reports) -> None:
        super().__init__(ledger, reports)
        self._messages: list[dict[str, Any]] = []

    def reference(self, request: Request) -> str:
        return dict(parse_qsl(urlsplit(request.form["StatusCallback"]).query))["attempt"]

    def take(self, request: Request) -> tuple[Taken, Reply]:
        form = request.form
        told = record(form["To"], form["Body"], datetime.now(UTC))
        told["sid"] = self.message_id(told["sid"])
        self._messages.append(told)
        taken = Taken(
            provider=self.provider,
            reference=self.reference(request),
            message_id=told["sid"],
            to=form["To"],
            callback=form["StatusCallback"],
        )
        return taken, Reply(status=201, body=told)

    def tell(self, request: Request) -> Reply:
        path, _, query = request.target.partition("?")
        if path != f"{ACCOUNT}/Messages.json":
            return Reply(status=404)
        asked = dict(parse_qsl(query, strict_parsing=True))
        found = [message for message in reversed(self._messages) if message["to"] == asked["To"]]
        return Reply(status=200, body={"messages": found[: int(asked["PageSize"])], "next_page_uri": None})


class TwilioReporter(Reporter):
    def posting(self, taken: Taken, event: str) -> Posting:
        fields = {"MessageSid": taken.message_id, "MessageStatus": WORDS[event], "To": taken.to}
        body = urlencode(fields).encode()
        headers = {
            "X-Twilio-Signature": sign(TOKEN, taken.callback, body),
            "Content-Type": "application/x-www-form-urlencoded",
        }
        return Posting(url=taken.callback, body=body, headers=headers)
