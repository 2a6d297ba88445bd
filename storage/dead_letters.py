"""Filter dead letters, for redrives and for the list of failures."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domain.channels import Channel
from domain.json_types import JsonObject
from domain.redrives import DEAD_LETTER_STATUSES
from storage.database import to_json


@dataclass(frozen=True, kw_only=True, slots=True)
class NotificationFilter:
    """Select notifications. A field of None matches all; without `status`, all dead letters match.

    `failure_reason` is the code of one channel (of `channel`, if set) or of its cause: `retries_exhausted`, `timeout`
    or `retries_exhausted: timeout`; or several with their channels, as in the text of a notification."""

    notification_type: str | None = None
    status: str | None = None
    channel: str | None = None
    failure_reason: str | None = None
    recipient_id: str | None = None
    tag: str | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None


IS_DEAD_LETTER = "n.status IN ({})".format(", ".join(f"'{status}'" for status in DEAD_LETTER_STATUSES))
HAS_CHANNEL = """EXISTS (SELECT 1 FROM delivery d WHERE d.notification_id = n.id AND d.generation = n.generation
   AND d.channel = :channel)"""
HAS_REASON = "(n.failures @> CAST(:as_code AS jsonb) OR n.failures @> CAST(:as_cause AS jsonb))"

CONDITIONS = {
    "notification_type": "n.notification_type = :notification_type",
    "recipient_id": "n.recipient_id = :recipient_id",
    "tag": "n.tags @> ARRAY[CAST(:tag AS text)]",
    "created_from": "n.created_at >= :created_from",
    "created_before": "n.created_at < :created_before",
}


def build_conditions(criteria: NotificationFilter, status: str | None = None) -> str:
    """SQL over the notification `n`, of constants of our own; its parameters are those of `values`. `status`: SQL for
    one status, instead of those of the filter."""
    of_filter = IS_DEAD_LETTER if criteria.status is None else "n.status = :status"
    found = ["n.tenant = :tenant", f"n.status = {status}" if status else of_filter]
    found += [sql for name, sql in CONDITIONS.items() if getattr(criteria, name) is not None]
    if criteria.failure_reason is not None:
        found.append(HAS_REASON)
    elif criteria.channel is not None:
        found.append(HAS_CHANNEL)
    return " AND ".join(found)


def build_id_query(criteria: NotificationFilter) -> str:
    """SQL of a query: the first `:limit` ids after `:after`. One branch per status, as the index of statuses is in the
    order of ids only within a status."""
    statuses = [f"'{status}'" for status in DEAD_LETTER_STATUSES] if criteria.status is None else [":status"]
    branches = [
        f"(SELECT n.id FROM notification n WHERE {build_conditions(criteria, status)} AND n.id > :after"  # noqa: S608 - our own
        " ORDER BY n.id LIMIT :limit)"
        for status in statuses
    ]
    return f"SELECT id FROM ({' UNION ALL '.join(branches)}) branch ORDER BY id LIMIT :limit"  # noqa: S608


def filter_values(tenant: UUID, criteria: NotificationFilter) -> JsonObject:
    given = {name: getattr(criteria, name) for name in criteria.__slots__}
    used = {name: value for name, value in given.items() if value is not None}
    return {"tenant": tenant, **used, **_reason_values(criteria)}


def _reason_values(criteria: NotificationFilter) -> JsonObject:
    if criteria.failure_reason is None:
        return {}
    codes = [_parse_failure(part, criteria.channel) for part in criteria.failure_reason.split("; ")]
    causes = [{"args": {"cause": code.pop("code")}, **code} for code in (dict(each) for each in codes)]
    return {"as_code": to_json(codes), "as_cause": to_json(codes if "args" in codes[0] else causes)}


def _parse_failure(text: str, channel: str | None) -> JsonObject:
    """What a failure of this text has, such as `email: retries_exhausted: timeout`."""
    first, _, rest = text.partition(": ")
    if first in set(Channel):
        channel, text = channel or first, rest
    code, _, cause = text.partition(": ")
    given: JsonObject = {"code": code.partition(" (")[0]} | ({"channel": channel} if channel else {})
    return given | ({"args": {"cause": cause}} if cause else {})
