"""Fixed windows of a limit, from the first that is let in. Nothing is counted: a window knows what it has let in."""

from dataclasses import dataclass, replace
from datetime import datetime

from domain.timing import FrequencyLimit


@dataclass(frozen=True, kw_only=True, slots=True)
class CountedLimit:
    """A limit that a notification counts for; `key` says whose it is."""

    key: str
    limit: FrequencyLimit


@dataclass(frozen=True, kw_only=True, slots=True)
class LimitWindow:
    """`waiting_ahead` waits for it longer or more urgently than whoever asks, counted up to what the limit allows. `has_slot`:
    whoever asks has a slot already. `awaited`: others wait for the next one."""

    key: str
    starts_at: datetime
    ends_at: datetime
    used: int
    waiting_ahead: int = 0
    has_slot: bool = False
    awaited: bool = False


def has_free_slot(limit: FrequencyLimit, window: LimitWindow, at: datetime) -> bool:
    """One that is over and awaited is begun by the dispatcher, which tells those who wait: nobody begins it for
    themselves, and leaves the others untold."""
    if window.has_slot:
        return True
    over = window.ends_at <= at
    return not (over and window.awaited) and (0 if over else window.used) + window.waiting_ahead < limit.max_count


def with_slot_taken(limit: FrequencyLimit, window: LimitWindow, at: datetime) -> LimitWindow:
    """With one more let in; the first one after its end begins the next."""
    if window.has_slot:
        return window
    if window.ends_at <= at:
        return LimitWindow(key=window.key, starts_at=at, ends_at=at + limit.per, used=1)
    return LimitWindow(key=window.key, starts_at=window.starts_at, ends_at=window.ends_at, used=window.used + 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class SlotQueue:
    """How many wait for slots of a limit, and how many of them are `waiting_ahead` of one that asks now."""

    waiting: int = 0
    waiting_ahead: int = 0


def slot_at(limit: FrequencyLimit, window: LimitWindow, slot_queue: SlotQueue, at: datetime) -> datetime:
    """Return when one that asks `at` this moment gets a slot, if nothing else is sent. Each window that others wait for
    begins when the one before it ends."""
    if at < window.ends_at:
        free = has_free_slot(limit, replace(window, waiting_ahead=slot_queue.waiting_ahead), at)
        return at if free else window.ends_at + slot_queue.waiting_ahead // limit.max_count * limit.per
    number = (at - window.ends_at) // limit.per
    if slot_queue.waiting - number * limit.max_count < limit.max_count:
        return at
    later = max(0, slot_queue.waiting_ahead - (number + 1) * limit.max_count) // limit.max_count
    return window.ends_at + (number + 1 + later) * limit.per
