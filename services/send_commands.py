"""Define the input and the results of accepting sends: `services/acceptance.py`, `services/multi_sends.py`."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from domain.channels import Channel
from domain.json_types import Json
from domain.validation_issues import ERROR_LIMIT, ValidationIssue

# Listed errors of one response. Each further item still lists its first error.
BATCH_ERROR_LIMIT = 1_000


@dataclass(frozen=True, kw_only=True, slots=True)
class SendCommand:
    """One send to one recipient. `profile` is `{contact, locale, timezone, attributes}` of a recipient given inline.
    `is_inline`: address and content are in the send. `email_options` is `{reply_to, cc, bcc, headers, attachments}`.
    `body_hash` is the hash of the canonical body, set only with an idempotency key."""

    notification_type: str
    recipient_id: str
    profile: Json | None
    payload: Json
    channels: Sequence[Channel] | None
    priority: int | None
    send_at: datetime | None
    expires_in: timedelta | None
    tags: Sequence[str]
    cancel_key: str | None
    is_inline: bool = False
    email_options: Json | None = None
    key: str | None = None
    body_hash: str | None = None

    @property
    def copies(self) -> int:
        """Return how many further addresses get the email."""
        options = self.email_options or {}
        return len(options.get("cc", ())) + len(options.get("bcc", ()))


@dataclass(frozen=True, kw_only=True, slots=True)
class AcceptedSend:
    """An accepted notification. `replayed` if an earlier request with the same key created it."""

    values: Json
    replayed: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class RejectedItem:
    """An item that is not a valid send. `status` is that of a single send with the same body."""

    status: int
    errors: list[ValidationIssue]


SendResult = AcceptedSend | list[ValidationIssue]


class ErrorListing:
    """The errors of one response, of which at most 1,000 are listed, plus the first error of each further item."""

    def __init__(self) -> None:
        self._left = BATCH_ERROR_LIMIT

    def error_fields(self, result: list[ValidationIssue] | RejectedItem) -> Json:
        """Return `status`, `errors` and `more_errors` of an item."""
        status, errors = (result.status, result.errors) if isinstance(result, RejectedItem) else (422, result)
        listed = errors[: max(1, min(ERROR_LIMIT, self._left))]
        self._left -= len(listed)
        shown = [{name: str(value) for name, value in error.items()} for error in listed]
        return {"status": status, "errors": shown, "more_errors": len(listed) < len(errors)}


def body_hash_of(body: Json, key: str | None) -> str | None:
    """Return the hash of the canonical body, which ignores member order and white space. Return None without a key,
    because the hash is only compared for requests with a key."""
    if key is None:
        return None
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return sha256(canonical.encode()).hexdigest()
