"""Define the messages of digests and ticks in Temporal: ids and times, as in `domain/messages.py`."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class TickInput:
    tenant: UUID
    notification_type: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TickOutcome:
    """Count the work that was due and done, by kind."""

    done: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class DigestStart:
    """Start the windows of one type, recipient and key, which `digest_key` stands for. The open window closes at
    `closes_at`."""

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
    """Return when the open window closes; None: no window is open."""

    closes_at: datetime | None
