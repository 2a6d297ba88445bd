"""Compute the fixed windows of a limit, from the first slot. Nothing is counted: a window stores its used slots."""

from dataclasses import dataclass, replace
from datetime import datetime

from domain.timing import FrequencyLimit


@dataclass(frozen=True, kw_only=True, slots=True)
class CountedLimit:
    """Hold a limit that a notification counts for; `key` identifies its owner."""

    key: str
    limit: FrequencyLimit


@dataclass(frozen=True, kw_only=True, slots=True)
class LimitWindow:
    """Describe a window. `waiting_ahead` counts the notifications that wait longer or are more urgent, up to the
    limit. `has_slot`: the notification has a slot already. `has_waiters`: others wait for the next window."""

    key: str
    starts_at: datetime
    ends_at: datetime
    used_slots: int
    waiting_ahead: int = 0
    has_slot: bool = False
    has_waiters: bool = False


def has_free_slot(limit: FrequencyLimit, window: LimitWindow, at: datetime) -> bool:
    """Return whether the notification may take a slot. The dispatcher opens the next window of one that is over and
    awaited, and resumes those that wait; a notification that opened it itself would leave them waiting."""
    if window.has_slot:
        return True
    over = window.ends_at <= at
    return (
        not (over and window.has_waiters)
        and (0 if over else window.used_slots) + window.waiting_ahead < limit.max_count
    )


def with_slot_taken(limit: FrequencyLimit, window: LimitWindow, at: datetime) -> LimitWindow:
    """Return the window with one more used slot; the first slot after its end begins the next window."""
    if window.has_slot:
        return window
    if window.ends_at <= at:
        return LimitWindow(key=window.key, starts_at=at, ends_at=at + limit.per, used_slots=1)
    return LimitWindow(
        key=window.key, starts_at=window.starts_at, ends_at=window.ends_at, used_slots=window.used_slots + 1
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class SlotQueue:
    """Count the notifications that wait for slots of a limit, and those of them that precede a new one."""

    waiting: int = 0
    waiting_ahead: int = 0


def slot_at(limit: FrequencyLimit, window: LimitWindow, slot_queue: SlotQueue, at: datetime) -> datetime:
    """Return when a notification that asks `at` this time gets a slot, if nothing else is sent. Each window that
    others wait for begins when the one before it ends."""
    if at < window.ends_at:
        free = has_free_slot(limit, replace(window, waiting_ahead=slot_queue.waiting_ahead), at)
        return at if free else window.ends_at + slot_queue.waiting_ahead // limit.max_count * limit.per
    number = (at - window.ends_at) // limit.per
    if slot_queue.waiting - number * limit.max_count < limit.max_count:
        return at
    later = max(0, slot_queue.waiting_ahead - (number + 1) * limit.max_count) // limit.max_count
    return window.ends_at + (number + 1 + later) * limit.per
