"""What every adapter is: a class that sends one message once, and reads its vendor's receipts.

An adapter never retries, sleeps or knows Temporal or the database. `docs/providers.md` says how to add one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from domain.channels import Channel, DeviceKind
from domain.evidence import ReceiptKind
from domain.outgoing import Message
from providers.outcomes import Accepted, Refused

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderReceipt:
    """What a vendor says happened, in house words. Matched by our reference, else by the vendor's message id."""

    kind: ReceiptKind
    occurred_at: datetime
    attempt_id: UUID | None = None
    provider_message_id: str | None = None
    reason: str | None = None
    raw: Json


class ForgedReceipt(Exception):
    """The signature is missing or wrong."""


class UnreadableReceipt(Exception):
    """The signature is right and the body is not what the vendor documents."""


class Provider:
    """`deadline` is the whole call's, in seconds. `idempotent`: the same attempt may be sent again without harm.

    `lookup` says what asking proves: `definitive`, `positive_only` or `none`.
    """

    name: ClassVar[str]
    channels: ClassVar[frozenset[Channel]]
    device_kinds: ClassVar[frozenset[DeviceKind]] = frozenset()
    deadline: ClassVar[float] = 10.0
    idempotent: ClassVar[bool] = False
    lookup: ClassVar[str] = "none"
    parses_receipts: ClassVar[bool] = False

    async def send(self, message: Message) -> Accepted | Refused:
        """One request. Raises Temporary, Permanent or Unknown; `deliver` holds the deadline."""
        raise NotImplementedError

    def parse_receipts(self, headers: Mapping[str, str], body: bytes) -> list[ProviderReceipt]:
        """Verify over the raw bytes, then read. Raises ForgedReceipt or UnreadableReceipt."""
        raise ForgedReceipt(f"{self.name} reports nothing")
