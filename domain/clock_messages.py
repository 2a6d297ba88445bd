"""What travels through Temporal with digests and ticks: ids and moments, as in `domain/messages.py`."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class TickInput:
    tenant: UUID
    notification_type: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TickOutcome:
    """How many of each kind of work were due and done."""

    done: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class DigestStart:
    """The windows of one type, person and key, which `group` stands for; the open one closes at `closes_at`."""

    tenant: UUID
    notification_type: str
    digest_key: str
    closes_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class DigestCloseInput:
    tenant: UUID
    digest_key: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DigestCloseResult:
    """When the open window closes; None: none is open."""

    closes_at: datetime | None
