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

from domain.local_times import reckoned_in
from domain.notification_types import NotificationType
from domain.recurrence import next_due
from domain.statuses import NotificationStatus
from domain.timing import Digest

Json = dict[str, Any]
MAX_BYTES = 1_000_000  # of the items of one digest, as text
MAX_TAGS = 20  # of one notification


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """`at` is when it was accepted, is to be sent, or was handed over; `zone` that of its person by now.

    `handed_over`: by a gate, so that it has had a workflow, and cannot go out by itself any more."""

    id: UUID
    at: datetime
    bytes: int
    type_id: UUID
    zone: str
    handed_over: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """`calendar`: it closes by a schedule. `members` are those that came now; `full`: nothing more may join, it is to
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
    full: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Collected:
    """`released` goes out by itself, since nothing like it came lately."""

    windows: tuple[Window, ...]
    released: Item | None = None


def group_of(
    secret: bytes,
    tenant: UUID,
    kind: NotificationType,
    recipient_id: str,
    payload: Mapping[str, Any],
    channels: Iterable[str] | None,
) -> str:
    """What is sent in one: to a person, with the same value of the payload, on the same `channels` of the route."""
    part = None if kind.timing.digest is None else part_of(kind.timing.digest, payload)
    return group_key(secret, tenant, kind.key, recipient_id, part, channels)


def group_key(
    secret: bytes,
    tenant: UUID,
    type_key: str,
    recipient_id: str,
    part: str | None,
    channels: Iterable[str] | None = None,
) -> str:
    """Stands for a person and a value of the payload where neither may be read, such as a workflow's id."""
    only = "" if channels is None else ",".join(sorted(set(channels)))
    said = "\0".join([str(tenant), type_key, recipient_id, "" if part is None else f"={part}", only])
    return hmac.new(secret, said.encode(), sha256).hexdigest()[:32]


def part_of(rule: Digest, payload: Mapping[str, Any]) -> str | None:
    """The value of the payload that tells digests of one person apart, as JSON: the number 1 is not the text "1"."""
    if rule.key is None:
        return None
    value = payload.get(rule.key)
    return None if value is None else json.dumps(value, sort_keys=True)


def collect(rule: Digest, open_window: Window | None, items: Iterable[Item], new_id: Callable[[], UUID]) -> Collected:
    """Of one group, in the order in which they came. A window that is over takes nothing more, closed or not."""
    windows: list[Window] = [] if open_window is None else [open_window]
    released: Item | None = None
    for item in items:
        current = windows[-1] if windows else None
        if current is not None and not current.full and current.closes_at <= item.at:
            current = windows[-1] = replace(current, full=True)
        if current is None or current.full:
            windows.append(_opened(rule, item, new_id()))
            if current is None and rule.first_at_once and not item.handed_over:
                released = item
                continue
        windows[-1] = _joined(rule, windows[-1], item)
    return Collected(windows=tuple(windows), released=released)


def closing(rule: Digest, zone: str, at: datetime) -> tuple[datetime, datetime | None]:
    """When a window that opens at this moment closes, and by when at the latest if others may move that."""
    if rule.schedule is not None:
        return next_due(rule.schedule, reckoned_in(zone), at), None
    window = rule.window or timedelta()
    return at + window, at + (rule.at_most or window) if rule.sliding else None


def _opened(rule: Digest, item: Item, id: UUID) -> Window:
    closes_at, closes_by = closing(rule, item.zone, item.at)
    return Window(
        id=id,
        type_id=item.type_id,
        opened_at=item.at,
        closes_at=closes_at,
        closes_by=closes_by,
        calendar=rule.schedule is not None,
    )


def _joined(rule: Digest, window: Window, item: Item) -> Window:
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
    return replace(joined, full=joined.items >= rule.max_items or joined.bytes >= MAX_BYTES)


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """One that was collected, as its row stands when the window is closed. `canceled`: its person was erased."""

    id: UUID
    payload: Json
    priority: int
    canceled: bool
    expires_at: datetime | None
    channels: tuple[str, ...] | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Folded:
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


def fold(members: Sequence[Member], at: datetime) -> Folded:
    ends = {member.id: _end(member, at) for member in members}
    taken = [member for member in members if ends[member.id] is NotificationStatus.DIGESTED]
    return Folded(
        items=tuple(member.payload for member in taken),
        priority=min((member.priority for member in taken), default=5),
        channels=taken[0].channels if taken else None,
        tags=tuple(dict.fromkeys(tag for member in taken for tag in member.tags))[:MAX_TAGS],
        ends=ends,
    )


def _end(member: Member, at: datetime) -> NotificationStatus:
    if member.canceled:
        return NotificationStatus.CANCELED
    if member.expires_at is not None and member.expires_at <= at:
        return NotificationStatus.EXPIRED
    return NotificationStatus.DIGESTED
