"""What one call to a provider can come to.

Accepted, Refused            values: the provider took it, or will never take it for this recipient
ProviderError
├── TemporaryError                proved not accepted: connect errors, 429, documented 503
├── PermanentError                credentials, account: nobody's message will pass
└── Unknown                  may have been accepted: time-out or reset after the request left, undocumented 5xx

What the vendor sent is cleaned and capped here, for every adapter: it can always be stored.
"""

from dataclasses import dataclass, field
from typing import Any

from domain.vendor_values import clean_cost, clean_id, clean_reason, clean_response, clean_retry_after

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderAcceptance:
    """`message_id` is the provider's; `response` is kept as evidence; `cost` in the account's currency."""

    message_id: str | None
    response: Json = field(default_factory=dict)
    cost: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "message_id", clean_id(self.message_id))
        object.__setattr__(self, "response", clean_response(self.response))
        object.__setattr__(self, "cost", clean_cost(self.cost))


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderRefusal:
    """`reason` is a house word such as `invalid_address`; `gone` is the vendor's definite word that this token
    is dead: its device is forgotten."""

    reason: str
    response: Json = field(default_factory=dict)
    is_gone: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", clean_reason(self.reason))
        object.__setattr__(self, "response", clean_response(self.response))


class ProviderError(Exception):
    """`reason` is a short fact for timelines: never an address, a name or a body."""

    def __init__(self, reason: str, response: Json | None = None) -> None:
        self.reason = clean_reason(reason)
        self.response = clean_response(response or {})
        super().__init__(self.reason)


class _RetryableError(ProviderError):
    """`retry_after` in seconds, when the provider named it."""

    def __init__(self, reason: str, response: Json | None = None, retry_after: float | None = None) -> None:
        super().__init__(reason, response)
        self.retry_after = clean_retry_after(retry_after)


class TemporaryError(_RetryableError):
    pass


class PermanentError(ProviderError):
    pass


class LookupRefused(PermanentError):
    """The account may send, and may not be asked what became of a message."""


class UnknownOutcome(_RetryableError):
    pass
