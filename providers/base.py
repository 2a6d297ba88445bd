"""What every adapter is: a class that sends one message once, and reads its vendor's receipts.

An adapter never retries, sleeps or knows Temporal or the database. `docs/providers.md` says how to add one.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, NoReturn, Self
from uuid import UUID

from config_sources import ProviderSettings
from domain.channels import Channel, DeviceKind
from domain.evidence import Evidence, ReceiptKind
from domain.outgoing_messages import OutgoingMessage
from domain.vendor_values import clean_id, clean_reason
from providers.context import ProviderContext
from providers.outcomes import ProviderAcceptance, ProviderRefusal

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderReceipt:
    """What a vendor says happened, in house words. Matched by our reference, else by the vendor's message id. Where
    somebody wrote to us there is `phone` instead: then it is about the number, for every tenant that has it. `raw` is
    as it came: the receipt is identified by it. `kept` is stored in its place, if it is given."""

    kind: ReceiptKind
    occurred_at: datetime
    attempt_id: UUID | None = None
    provider_message_id: str | None = None
    phone: str | None = None
    reason: str | None = None
    raw: Json
    stored_raw: Json | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "provider_message_id", clean_id(self.provider_message_id))
        object.__setattr__(self, "reason", None if self.reason is None else clean_reason(self.reason))


class ForgedReceipt(Exception):
    """The signature is missing or wrong; the text says which, for our log, and quotes nothing of what came."""


class UnreadableReceipt(Exception):
    """The signature is right and the body is not what the vendor documents."""


def read_json(body: bytes) -> Any:
    """What Postgres can keep too: no NaN, no lone surrogates, no bottomless nesting. UnreadableReceipt otherwise."""
    try:
        value = json.loads(body, parse_constant=_reject_constant)
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise UnreadableReceipt("not JSON that can be kept") from error
    return value


def _reject_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def parse_reference(text: str | None) -> UUID | None:
    """Our attempt's id as a vendor gave it back; None for what is none of ours."""
    try:
        return UUID(text or "")
    except ValueError:
        return None


class Provider:
    """`deadline` is the whole call's, in seconds. `idempotent`: the same attempt may be sent again without harm.

    `max_events` is how many events one callback may report: a larger one is refused, and the vendor repeats it until it
    gives up, so it must be at least what the vendor sends at once.
    `max_evidence` is the most that it reports of a message; a goal beyond that is warned of.
    `lookup` says what asking proves: `definitive`, `positive_only` or `none`; `settle_window` is how long, in seconds
    after the call, the vendor's records may lag behind what it accepted. `has_circuit` False: what one person's
    endpoint does says nothing of the next one's. `settings` is what `build` loads.
    """

    name: ClassVar[str]
    channels: ClassVar[frozenset[Channel]]
    device_kinds: ClassVar[frozenset[DeviceKind]] = frozenset()
    deadline: ClassVar[float] = 10.0
    idempotent: ClassVar[bool] = False
    lookup: ClassVar[str] = "none"
    settle_window: ClassVar[float] = 0.0
    has_circuit: ClassVar[bool] = True
    parses_receipts: ClassVar[bool] = False
    max_evidence: ClassVar[Evidence] = Evidence.SENT
    max_events: ClassVar[int] = 1_000
    settings: ClassVar[type[ProviderSettings]] = ProviderSettings

    @classmethod
    def build(cls, context: ProviderContext) -> Self:
        """At start, once. Raises InvalidSettings, which names the variable."""
        raise NotImplementedError

    async def send(self, message: OutgoingMessage) -> ProviderAcceptance | ProviderRefusal:
        """One request. Raises TemporaryError, PermanentError or Unknown; `deliver` holds the deadline."""
        raise NotImplementedError

    def content_refusal(self, content: Mapping[str, Any]) -> ProviderRefusal | None:
        """Return why `send` would refuse this content without a call."""
        return None

    async def check(self) -> str:
        """What the vendor says of our credentials, as a short sentence; nothing is sent. Raises TemporaryError or PermanentError,
        within `deadline`."""
        raise NotImplementedError

    async def look_up(self, message: OutgoingMessage, since: datetime) -> list[ProviderAcceptance]:
        """What the vendor has that may be this attempt, oldest first; `since` is when its row was written. An empty
        list proves absence only where `lookup` is `definitive`, and only after `settle_window`. One request; raises
        TemporaryError or PermanentError, within `deadline`."""
        raise NotImplementedError

    def parse_receipts(self, headers: Mapping[str, str], body: bytes, query: str = "") -> list[ProviderReceipt]:
        """Verify over the raw bytes, then read. `query` is what followed the `?`, as it came: some vendors sign the
        whole address. Raises ForgedReceipt or UnreadableReceipt."""
        raise ForgedReceipt(f"{self.name} reports nothing")
