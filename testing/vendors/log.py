"""Keep what a fake vendor received and accepted."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from testing.vendors.emails import VendorEmail
from testing.vendors.http import Request
from testing.vendors.modes import VendorMode


@dataclass(frozen=True, kw_only=True)
class VendorMessage:
    """Describe the message of a request. `to` is the address as Tocsin has it: a phone number in E.164 with `+`, also
    if the request omits the `+`. `callback` is the target of its receipts, if the request names it. `message_id` is the
    id that the vendor gives it. `email` is set for emails, `content` for encrypted messages.
    """

    reference: str
    to: str
    message_id: Any
    callback: str = ""
    email: VendorEmail | None = None
    content: Any = None


@dataclass(frozen=True, kw_only=True)
class VendorCall:
    """Hold a request to send. `at` is in seconds, from `time.monotonic`. `message` is None for an undocumented one,
    `request` for an email over SMTP.
    """

    at: float
    message: VendorMessage | None
    mode: VendorMode
    request: Request | None = None


class VendorLog:
    """Keep requests in memory. `kept` counts accepted messages by reference; `lookups` are requests that send nothing.

    A subclass may keep them elsewhere: the vendor only calls the three methods.
    """

    def __init__(self) -> None:
        self.calls: list[VendorCall] = []
        self.lookups: list[Request] = []
        self.kept: Counter[str] = Counter()

    def call(self, name: str, call: VendorCall) -> None:
        self.calls.append(call)

    def accepted(self, name: str, message: VendorMessage) -> None:
        self.kept[message.reference] += 1

    def lookup(self, name: str, request: Request, mode: VendorMode) -> None:
        self.lookups.append(request)

    @property
    def requests(self) -> list[Request]:
        return [call.request for call in self.calls if call.request]

    @property
    def called(self) -> Counter[str]:
        return Counter(call.message.reference for call in self.calls if call.message)
