"""Which notifications are parked, and which of them somebody means: what redrives and the list of failures share."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domain.redrives import PARKED
from storage.rows import Json


@dataclass(frozen=True, kw_only=True, slots=True)
class Filter:
    """What is not named is anything; without `status`, everything that is parked. `failure_reason` is the beginning of
    the notification's reason, or of one channel's (of `channel`, if that is named); numbers in it are as good as N."""

    notification_type: str | None = None
    status: str | None = None
    channel: str | None = None
    failure_reason: str | None = None
    recipient_id: str | None = None
    tag: str | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None


def folded(reason: str) -> str:
    """SQL: failures that differ in a number are the same failure."""
    return rf"regexp_replace({reason}, '\m\d+\M', 'N', 'g')"


IS_PARKED = "n.status IN ({})".format(", ".join(f"'{status}'" for status in PARKED))
BEGINS = "starts_with({}, {})".format(folded("{}"), folded("CAST(:failure_reason AS text)"))
OF_CHANNEL = """EXISTS (SELECT 1 FROM delivery d WHERE d.notification_id = n.id AND d.generation = n.generation
   AND (CAST(:channel AS text) IS NULL OR d.channel = :channel) {})"""
WITH_REASON = OF_CHANNEL.format(f"AND {BEGINS.format('d.failure_reason')}")

CONDITIONS = {
    "notification_type": "n.notification_type = :notification_type",
    "recipient_id": "n.recipient_id = :recipient_id",
    "tag": "n.tags @> ARRAY[CAST(:tag AS text)]",
    "created_from": "n.created_at >= :created_from",
    "created_before": "n.created_at < :created_before",
}


def conditions(wanted: Filter, status: str | None = None) -> str:
    """SQL over the notification `n`, of constants of our own; its parameters are those of `values`. `status`: SQL for
    one status, instead of those of the filter."""
    of_filter = IS_PARKED if wanted.status is None else "n.status = :status"
    found = ["n.tenant = :tenant", f"n.status = {status}" if status else of_filter]
    found += [sql for name, sql in CONDITIONS.items() if getattr(wanted, name) is not None]
    if wanted.failure_reason is not None and wanted.channel is None:
        found.append(f"({BEGINS.format('n.failure_reason')} OR {WITH_REASON})")
    elif wanted.failure_reason is not None:
        found.append(WITH_REASON)
    elif wanted.channel is not None:
        found.append(OF_CHANNEL.format(""))
    return " AND ".join(found)


def ids_in_order(wanted: Filter) -> str:
    """SQL of a query: the first `:limit` ids after `:after`. One branch per status, as the index of statuses is in the
    order of ids only within a status."""
    statuses = [f"'{status}'" for status in PARKED] if wanted.status is None else [":status"]
    branches = [
        f"(SELECT n.id FROM notification n WHERE {conditions(wanted, status)} AND n.id > :after"  # noqa: S608 - our own
        " ORDER BY n.id LIMIT :limit)"
        for status in statuses
    ]
    return f"SELECT id FROM ({' UNION ALL '.join(branches)}) branch ORDER BY id LIMIT :limit"  # noqa: S608


def values(tenant: UUID, wanted: Filter) -> Json:
    named = {name: getattr(wanted, name) for name in wanted.__slots__}
    used = {name: value for name, value in named.items() if value is not None}
    return {"tenant": tenant, **({"channel": None} if wanted.failure_reason is not None else {}), **used}
