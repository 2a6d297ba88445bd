"""Collect items into digest windows and merge the items of a closed window. Pure: `storage/` locks and writes the
rows; `dispatch/` and the activities of digests call it."""

import hmac
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from domain.json_types import Json
from domain.local_times import known_zone_or_utc
from domain.notification_types import NotificationType
from domain.recurrence import next_due
from domain.statuses import NotificationStatus
from domain.timing import DigestRule

MAX_BYTES = 1_000_000  # of the items of one digest, as text
MAX_TAGS = 20  # of one notification


@dataclass(frozen=True, kw_only=True, slots=True)
class DigestItem:
    """Describe an item. `at` is when it was accepted, is to be sent, or was handed over; `zone` is the recipient's
    present zone.

    `is_handed_over`: a gate handed it over after its workflow ran, so it can no longer be sent alone.
    """

    id: UUID
    at: datetime
    bytes: int
    type_id: UUID
    zone: str
    is_handed_over: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class DigestWindow:
    """Describe a window. `members` are the items of this batch. `is_full`: nothing more may join, and it is to be
    closed."""

    id: UUID
    type_id: UUID
    opened_at: datetime
    closes_at: datetime
    closes_by: datetime | None
    closes_on_schedule: bool = False
    item_count: int = 0
    item_bytes: int = 0
    members: tuple[UUID, ...] = ()
    is_full: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class CollectResult:
    """Hold the changed windows. `released` is sent alone, because no window of its group was open."""

    windows: tuple[DigestWindow, ...]
    released: DigestItem | None = None


def digest_key_of(
    secret: bytes,
    tenant: UUID,
    notification_type: NotificationType,
    recipient_id: str,
    payload: Mapping[str, Any],
    channels: Iterable[str] | None,
) -> str:
    """Return the key of the digest: the same recipient, the same value in the payload, the same `channels` of the
    route."""
    key_value = (
        None if notification_type.timing.digest is None else digest_key_value(notification_type.timing.digest, payload)
    )
    return digest_key(secret, tenant, notification_type.key, recipient_id, key_value, channels)


def digest_key(
    secret: bytes,
    tenant: UUID,
    type_key: str,
    recipient_id: str,
    key_value: str | None,
    channels: Iterable[str] | None = None,
) -> str:
    """Hash a recipient and a value of the payload, for places where neither may be readable, such as a workflow id."""
    only = "" if channels is None else ",".join(sorted(set(channels)))
    message = "\0".join([str(tenant), type_key, recipient_id, "" if key_value is None else f"={key_value}", only])
    return hmac.new(secret, message.encode(), sha256).hexdigest()[:32]


def digest_key_value(rule: DigestRule, payload: Mapping[str, Any]) -> str | None:
    """Return the value of the payload that separates the digests of a recipient, as JSON: the number 1 is not the
    text "1"."""
    if rule.key is None:
        return None
    value = payload.get(rule.key)
    return None if value is None else json.dumps(value, sort_keys=True)


def collect_items(
    rule: DigestRule, open_window: DigestWindow | None, items: Iterable[DigestItem], new_id: Callable[[], UUID]
) -> CollectResult:
    """Collect the items of one group in order of arrival. A window whose time has ended takes no items, even if it is
    not closed yet."""
    windows: list[DigestWindow] = [] if open_window is None else [open_window]
    released: DigestItem | None = None
    for item in items:
        current = windows[-1] if windows else None
        if current is not None and not current.is_full and current.closes_at <= item.at:
            current = windows[-1] = replace(current, is_full=True)
        if current is None or current.is_full:
            windows.append(_open_window(rule, item, new_id()))
            if current is None and rule.send_first_immediately and not item.is_handed_over:
                released = item
                continue
        windows[-1] = _join_window(rule, windows[-1], item)
    return CollectResult(windows=tuple(windows), released=released)


def closing_times(rule: DigestRule, zone: str, at: datetime) -> tuple[datetime, datetime | None]:
    """Return when a window that opens now closes, and by when at the latest if items may extend it."""
    if rule.schedule is not None:
        return next_due(rule.schedule, known_zone_or_utc(zone), at), None
    window = rule.window or timedelta()
    return at + window, at + (rule.max_window or window) if rule.sliding else None


def _open_window(rule: DigestRule, item: DigestItem, id: UUID) -> DigestWindow:
    closes_at, closes_by = closing_times(rule, item.zone, item.at)
    return DigestWindow(
        id=id,
        type_id=item.type_id,
        opened_at=item.at,
        closes_at=closes_at,
        closes_by=closes_by,
        closes_on_schedule=rule.schedule is not None,
    )


def _join_window(rule: DigestRule, window: DigestWindow, item: DigestItem) -> DigestWindow:
    """Add an item to the window by the newest version of the type, unless that version closes windows in another
    way."""
    same = window.closes_on_schedule is (rule.schedule is not None)
    closes_at = window.closes_at
    if rule.window is not None and window.closes_by is not None:
        closes_at = max(closes_at, min(item.at + rule.window, window.closes_by))
    joined = replace(
        window,
        type_id=item.type_id if same else window.type_id,
        closes_at=closes_at,
        item_count=window.item_count + 1,
        item_bytes=window.item_bytes + item.bytes,
        members=(*window.members, item.id),
    )
    return replace(joined, is_full=joined.item_count >= rule.max_items or joined.item_bytes >= MAX_BYTES)


@dataclass(frozen=True, kw_only=True, slots=True)
class DigestMember:
    """Describe an item as its row is when the window closes. `canceled`: its recipient was erased."""

    id: UUID
    payload: Json
    priority: int
    canceled: bool
    expires_at: datetime | None
    channels: tuple[str, ...] | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class MergedItems:
    """Hold the merged items: `ends` by id, and the content of those that are included. All have the same `channels`;
    `tags` are those of any of them."""

    items: tuple[Json, ...]
    priority: int
    channels: tuple[str, ...] | None = None
    tags: tuple[str, ...] = ()
    ends: dict[UUID, NotificationStatus] = field(default_factory=dict)

    @property
    def payload(self) -> Json:
        return {"items": list(self.items), "total": len(self.items)}


def merge_items(members: Sequence[DigestMember], at: datetime) -> MergedItems:
    ends = {member.id: _end(member, at) for member in members}
    merged = [member for member in members if ends[member.id] is NotificationStatus.DIGESTED]
    return MergedItems(
        items=tuple(member.payload for member in merged),
        priority=min((member.priority for member in merged), default=5),
        channels=merged[0].channels if merged else None,
        tags=tuple(dict.fromkeys(tag for member in merged for tag in member.tags))[:MAX_TAGS],
        ends=ends,
    )


def _end(member: DigestMember, at: datetime) -> NotificationStatus:
    if member.canceled:
        return NotificationStatus.CANCELED
    if member.expires_at is not None and member.expires_at <= at:
        return NotificationStatus.EXPIRED
    return NotificationStatus.DIGESTED
