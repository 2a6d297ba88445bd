"""Define the possible outcomes of one call to a provider.

    ProviderAcceptance, ProviderRefusal   values: accepted, or never accepted for this recipient
    ProviderError
    ├── TemporaryError    proved not accepted: connect errors, 429, documented 503
    ├── PermanentError    credentials or account: no message can pass
    └── UnknownOutcome    may have been accepted: timeout or reset after the request was sent, undocumented 5xx

Values of the vendor are cleaned and limited here for every adapter, so that they can always be stored. All outcomes
have the same members, so that the code that records them needs no other class.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar

from domain.evidence import CallResult
from domain.json_types import Json
from domain.vendor_values import clean_cost, clean_id, clean_reason, clean_response, clean_retry_after


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderAcceptance:
    """Describe an accepted message.

    `message_id` is the provider's. `response` is kept as evidence. `cost` is in the account's currency.
    """

    result: ClassVar = CallResult.ACCEPTED
    reason: ClassVar[None] = None
    retry_after: ClassVar[None] = None
    is_gone: ClassVar = False
    gone_since: ClassVar[None] = None

    message_id: str | None
    response: Json = field(default_factory=dict)
    cost: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "message_id", clean_id(self.message_id))
        object.__setattr__(self, "response", clean_response(self.response))
        object.__setattr__(self, "cost", clean_cost(self.cost))


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderRefusal:
    """Describe a refusal. `reason` is a code such as `invalid_address`. `is_gone`: the vendor reports the token as
    dead, since `gone_since` if it names a time. Its device is deleted, unless it has registered again since.
    """

    result: ClassVar = CallResult.REFUSED
    message_id: ClassVar[None] = None
    cost: ClassVar[None] = None
    retry_after: ClassVar[None] = None

    reason: str
    response: Json = field(default_factory=dict)
    is_gone: bool = False
    gone_since: datetime | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", clean_reason(self.reason))
        object.__setattr__(self, "response", clean_response(self.response))


class ProviderError(Exception):
    """Signal a failed call. `reason` is a short fact for timelines: never an address, a name or a body."""

    result: ClassVar = CallResult.PERMANENT
    message_id: ClassVar[None] = None
    cost: ClassVar[None] = None
    is_gone: ClassVar = False
    gone_since: ClassVar[None] = None
    retry_after: float | None = None

    def __init__(self, reason: str, response: Json | None = None) -> None:
        self.reason = clean_reason(reason)
        self.response = clean_response(response or {})
        super().__init__(self.reason)


class _RetryableError(ProviderError):
    """Signal an error that can be retried, after `retry_after` seconds if the provider named a delay."""

    def __init__(self, reason: str, response: Json | None = None, retry_after: float | None = None) -> None:
        super().__init__(reason, response)
        self.retry_after = clean_retry_after(retry_after)


class TemporaryError(_RetryableError):
    result = CallResult.NOT_ACCEPTED


class PermanentError(ProviderError):
    pass


class LookupRefused(PermanentError):
    """Signal that the account may send but may not look up messages."""


class UnknownOutcome(_RetryableError):
    result = CallResult.UNKNOWN


ProviderOutcome = ProviderAcceptance | ProviderRefusal | ProviderError
