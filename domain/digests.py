"""Collecting: which window an item falls into, when that closes, and what its items come to. Pure; `storage/` locks and
writes the rows, `dispatch/` and the digest's activities call it."""

import hmac
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from domain.local_times import known_zone_or_utc
from domain.notification_types import NotificationType
from domain.recurrence import next_due
from domain.statuses import NotificationStatus
from domain.timing import DigestRule

Json = dict[str, Any]
MAX_BYTES = 1_000_000  # of the items of one digest, as text
MAX_TAGS = 20  # of one notification


@dataclass(frozen=True, kw_only=True, slots=True)
class DigestItem:
    """`at` is when it was accepted, is to be sent, or was handed over; `zone` that of its person by now.

    `is_handed_over`: by a gate, so that it has had a workflow, and cannot go out by itself any more."""

    id: UUID
    at: datetime
    bytes: int
    type_id: UUID
    zone: str
    is_handed_over: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class DigestWindow:
    """`calendar`: it closes by a schedule. `members` are those that came now; `is_full`: nothing more may join, it is to
    be closed."""

    id: UUID
    type_id: UUID
    opened_at: datetime
    closes_at: datetime
    closes_by: datetime | None
    calendar: bool = False
    items: int = 0
    bytes: int = 0
    members: tuple[UUID, ...] = ()
    is_full: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class CollectResult:
    """`released` goes out by itself, since nothing like it came lately."""

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
    """What is sent in one: to a person, with the same value of the payload, on the same `channels` of the route."""
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
    """Stands for a person and a value of the payload where neither may be read, such as a workflow's id."""
    only = "" if channels is None else ",".join(sorted(set(channels)))
    message = "\0".join([str(tenant), type_key, recipient_id, "" if key_value is None else f"={key_value}", only])
    return hmac.new(secret, message.encode(), sha256).hexdigest()[:32]


def digest_key_value(rule: DigestRule, payload: Mapping[str, Any]) -> str | None:
    """The value of the payload that tells digests of one person apart, as JSON: the number 1 is not the text "1"."""
    if rule.key is None:
        return None
    value = payload.get(rule.key)
    return None if value is None else json.dumps(value, sort_keys=True)


def collect_items(
    rule: DigestRule, open_window: DigestWindow | None, items: Iterable[DigestItem], new_id: Callable[[], UUID]
) -> CollectResult:
    """Of one group, in the order in which they came. A window that is over takes nothing more, closed or not."""
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
    """When a window that opens at this moment closes, and by when at the latest if others may move that."""
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
        calendar=rule.schedule is not None,
    )


def _join_window(rule: DigestRule, window: DigestWindow, item: DigestItem) -> DigestWindow:
    """It follows the newest version of its type, unless that closes in another way: a window stays what it is."""
    same = window.calendar is (rule.schedule is not None)
    closes_at = window.closes_at
    if rule.window is not None and window.closes_by is not None:
        closes_at = max(closes_at, min(item.at + rule.window, window.closes_by))
    joined = replace(
        window,
        type_id=item.type_id if same else window.type_id,
        closes_at=closes_at,
        items=window.items + 1,
        bytes=window.bytes + item.bytes,
        members=(*window.members, item.id),
    )
    return replace(joined, is_full=joined.items >= rule.max_items or joined.bytes >= MAX_BYTES)


@dataclass(frozen=True, kw_only=True, slots=True)
class DigestMember:
    """One that was collected, as its row stands when the window is closed. `canceled`: its person was erased."""

    id: UUID
    payload: Json
    priority: int
    canceled: bool
    expires_at: datetime | None
    channels: tuple[str, ...] | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class MergedItems:
    """What the members come to: `ends` by id, and the items of those that are in it. All of them ask for the same
    `channels`; `tags` are those of any of them."""

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
