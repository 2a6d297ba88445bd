"""Count what happens to notifications. Incremented by `api` and `storage`."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from uuid import UUID

from prometheus_client import Counter, Histogram

from domain.reasons import ChannelReason
from domain.records import Ledger
from domain.statuses import NotificationStatus
from metrics.reasons import CATEGORIES, OTHER, category_of
from metrics.registry import REGISTRY

ACCEPT_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

ACCEPTED = Counter(
    "tocsin_notifications_accepted", "Notifications stored and answered with 202.", ["priority"], registry=REGISTRY
)
ACCEPT_SECONDS = Histogram(
    "tocsin_accept_duration_seconds",
    "Time to check and store the sends of one request.",
    buckets=ACCEPT_BUCKETS,
    registry=REGISTRY,
)
SENT = Counter("tocsin_notifications_sent", "Notifications that a provider accepted first.", registry=REGISTRY)
DELIVERED = Counter("tocsin_notifications_delivered", "Notifications reported as delivered first.", registry=REGISTRY)
FAILED = Counter(
    "tocsin_notifications_failed", "Notifications that became FAILED, by category.", ["reason"], registry=REGISTRY
)
SUPPRESSED = Counter("tocsin_notifications_suppressed", "Notifications that became SUPPRESSED.", registry=REGISTRY)
IN_DOUBT = Counter("tocsin_notifications_in_doubt", "Notifications that became IN_DOUBT.", registry=REGISTRY)
CANCELED = Counter("tocsin_notifications_canceled", "Notifications that became CANCELED.", registry=REGISTRY)
EXPIRED = Counter("tocsin_notifications_expired", "Notifications that became EXPIRED.", registry=REGISTRY)

DELIVERIES = Counter(
    "tocsin_deliveries", "Deliveries that moved into a status.", ["channel", "status"], registry=REGISTRY
)

DELIVERED_STATUSES = (NotificationStatus.DELIVERED, NotificationStatus.OPENED)
SENT_STATUSES = (NotificationStatus.SENT, *DELIVERED_STATUSES)
FINAL_COUNTERS = {
    NotificationStatus.SUPPRESSED: SUPPRESSED,
    NotificationStatus.IN_DOUBT: IN_DOUBT,
    NotificationStatus.CANCELED: CANCELED,
    NotificationStatus.EXPIRED: EXPIRED,
}


@contextmanager
def observe_duration(histogram: Histogram) -> Iterator[None]:
    """Observe how long the block takes, also if it raises."""
    started_at = perf_counter()
    try:
        yield
    finally:
        histogram.observe(perf_counter() - started_at)


def count_status_changes(changes: Sequence[tuple[Ledger, Ledger]], written: Iterable[UUID]) -> set[UUID]:
    """Count the status changes of the written ledgers, given as pairs of before and after. Return `written`."""
    ids = set(written)
    for before, after in changes:
        if after.notification_id in ids:
            _count_changes(before, after)
    return ids


def _count_changes(before: Ledger, after: Ledger) -> None:
    if after.status is not before.status:
        _count_status(before.status, after.status, after.failures)
    for delivery in after.deliveries.values():
        previous = before.deliveries.get(delivery.id)
        if previous is None or previous.status is not delivery.status:
            DELIVERIES.labels(delivery.channel.value, delivery.status.lower()).inc()


def _count_status(
    before: NotificationStatus, after: NotificationStatus, channel_reasons: Sequence[ChannelReason]
) -> None:
    """Count a status. A receipt may arrive before the outcome of the call: DELIVERED counts as sent too."""
    if after in SENT_STATUSES and before not in SENT_STATUSES:
        SENT.inc()
    if after in DELIVERED_STATUSES and before not in DELIVERED_STATUSES:
        DELIVERED.inc()
    if after is NotificationStatus.FAILED:
        FAILED.labels(category_of(channel_reasons)).inc()
    if after in FINAL_COUNTERS:
        FINAL_COUNTERS[after].inc()


# Present from the start, so that the first increase is one.
for reason in (*CATEGORIES, OTHER):
    FAILED.labels(reason)
