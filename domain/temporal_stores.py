"""Decide which Temporal store has our workflows, and when another one replaces it.

The id of our namespace identifies a store. Another id means that the store was lost, or that an address is wrong. In
the second case the workflows still exist, and nothing may be started again.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

# All processes must see the same other store for this long.
RESET_AFTER = timedelta(minutes=2)
# Processes look every five seconds. A longer gap starts the count again.
INTERRUPTED_AFTER = timedelta(seconds=20)
# After any process has seen a store that is not adopted, nothing is started again for this long.
CERTAIN_AFTER = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownNamespace:
    """Hold what is known. `namespace_id` is the adopted store, seen last at `seen_at`. `other_id` has been seen
    instead from `other_since` until `other_seen_at`; both stay after that store was seen no more. An operator may
    have confirmed `confirmed_id`."""

    namespace_id: str | None = None
    seen_at: datetime | None = None
    other_id: str | None = None
    other_since: datetime | None = None
    other_seen_at: datetime | None = None
    confirmed_id: str | None = None


def observe_store(known: KnownNamespace, seen_id: str, at: datetime) -> KnownNamespace:
    """Return what is known after a process has seen a store. Its `namespace_id` is `seen_id` if that is adopted."""
    if known.namespace_id in (None, seen_id):
        return replace(known, namespace_id=seen_id, seen_at=at, other_since=None, confirmed_id=None)
    since = known.other_since if _is_uninterrupted(known, seen_id, at) else None
    other = replace(known, other_id=seen_id, other_since=since or at, other_seen_at=at)
    return _as_new_namespace(at, seen_id) if _is_lost(other, at) else other


def _is_uninterrupted(known: KnownNamespace, seen_id: str, at: datetime) -> bool:
    last = known.other_seen_at
    return known.other_id == seen_id and last is not None and at - last <= INTERRUPTED_AFTER


def _is_lost(known: KnownNamespace, at: datetime) -> bool:
    """Return whether no process has seen the adopted store for long enough, or the other one was confirmed."""
    if known.confirmed_id == known.other_id:
        return True
    times = [time for time in (known.seen_at, known.other_since) if time is not None]
    return at - max(times) >= RESET_AFTER


def _as_new_namespace(at: datetime, seen_id: str) -> KnownNamespace:
    return KnownNamespace(namespace_id=seen_id, seen_at=at)


def is_certain(known: KnownNamespace, seen_id: str, at: datetime) -> bool:
    """Return whether a process that sees this store may treat a missing workflow as lost. It may not if any process
    has recently seen another store."""
    other = known.other_seen_at
    return known.namespace_id == seen_id and (other is None or at - other > CERTAIN_AFTER)
