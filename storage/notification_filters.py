"""Select notifications by their properties. Used by the search, the list of failures and redrives."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, ColumnExpressionArgument, func, literal_column, or_
from sqlmodel import col, select

from domain.channels import Channel
from domain.json_types import JsonObject
from domain.redrives import DEAD_LETTER_STATUSES
from models.notifications import Delivery, Notification


@dataclass(frozen=True, kw_only=True, slots=True)
class NotificationFilter:
    """A notification must match every given member.

    `text` are words of the content, in the syntax of web searches. `failure_reason` is the code of one channel (of
    `channel`, if given) or of its cause: `retries_exhausted`, `timeout` or `retries_exhausted: timeout`; or several
    with their channels, as in the text of a notification.
    """

    notification_type: str | None = None
    status: str | None = None
    channel: str | None = None
    failure_reason: str | None = None
    recipient_id: str | None = None
    tag: str | None = None
    cancel_key: str | None = None
    text: str | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None
    digest_id: UUID | None = None


# As in the index on `delivery`.
CONTENT_WORDS: ColumnElement[str] = literal_column("content_words(delivery.rendered_content)")


def build_conditions(tenant: UUID, criteria: NotificationFilter) -> list[ColumnElement[bool]]:
    """Return the conditions on `Notification`. The channel is one of any generation."""
    conditions = _column_conditions(tenant, criteria) + _reason_conditions(criteria)
    found = []
    if criteria.channel is not None and criteria.failure_reason is None:
        found.append(col(Delivery.channel) == criteria.channel)
    if criteria.text is not None:
        found.append(
            CONTENT_WORDS.op("@@")(func.websearch_to_tsquery(literal_column("'simple'::regconfig"), criteria.text))
        )
    return [*conditions, _has_delivery(*found)] if found else conditions


def build_dead_letter_conditions(
    tenant: UUID, criteria: NotificationFilter, status: str | None = None
) -> list[ColumnElement[bool]]:
    """Return the conditions on `Notification`. The channel is one of the present generation. Without a status in the
    filter: `status`, or every status of a dead letter."""
    conditions = _column_conditions(tenant, criteria) + _reason_conditions(criteria)
    if criteria.status is None:
        conditions.append(col(Notification.status).in_(DEAD_LETTER_STATUSES if status is None else [status]))
    if criteria.channel is not None and criteria.failure_reason is None:
        is_present = col(Delivery.generation) == col(Notification.generation)
        conditions.append(_has_delivery(col(Delivery.channel) == criteria.channel, is_present))
    return conditions


def _column_conditions(tenant: UUID, criteria: NotificationFilter) -> list[ColumnElement[bool]]:
    equal = {
        Notification.recipient_id: criteria.recipient_id,
        Notification.notification_type: criteria.notification_type,
        Notification.status: criteria.status,
        Notification.digest_id: criteria.digest_id,
        Notification.cancel_key: criteria.cancel_key,
    }
    conditions = [col(Notification.tenant) == tenant]
    conditions += [col(column) == value for column, value in equal.items() if value is not None]
    if criteria.tag is not None:
        conditions.append(col(Notification.tags).contains([criteria.tag]))
    if criteria.created_from is not None:
        conditions.append(col(Notification.created_at) >= criteria.created_from)
    if criteria.created_before is not None:
        conditions.append(col(Notification.created_at) < criteria.created_before)
    return conditions


def _has_delivery(*conditions: ColumnExpressionArgument[bool]) -> ColumnElement[bool]:
    same = (col(Delivery.notification_id) == col(Notification.id), col(Delivery.tenant) == col(Notification.tenant))
    return select(Delivery.id).where(*same, *conditions).correlate(Notification).exists()


def _reason_conditions(criteria: NotificationFilter) -> list[ColumnElement[bool]]:
    if criteria.failure_reason is None:
        return []
    codes = [_parse_failure(part, criteria.channel) for part in criteria.failure_reason.split("; ")]
    failures = col(Notification.failures)
    if "args" in codes[0]:
        return [failures.contains(codes)]
    causes = [{"args": {"cause": code.pop("code")}, **code} for code in (dict(each) for each in codes)]
    return [or_(failures.contains(codes), failures.contains(causes))]


def _parse_failure(text: str, channel: str | None) -> JsonObject:
    """Return what a failure with this text contains, such as `email: retries_exhausted: timeout`."""
    first, _, rest = text.partition(": ")
    if first in set(Channel):
        channel, text = channel or first, rest
    code, _, cause = text.partition(": ")
    given: JsonObject = {"code": code.partition(" (")[0]} | ({"channel": channel} if channel else {})
    return given | ({"args": {"cause": cause}} if cause else {})
