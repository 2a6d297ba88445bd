"""What a notification's steps need to know of the row and the person, in one read each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.channels import Channel, DeviceKind
from domain.json_types import JsonObject
from domain.preferences import RecipientPreferences
from domain.quiet_hours import QuietHours
from domain.rates import ProviderRateLimits
from domain.routing import LastAttempt
from domain.statuses import NotificationStatus
from domain.timing import FrequencyLimit, limit_of
from storage.provider_health import LIMITS_COLUMN, limits_of
from storage.recipients import IS_BEING_ERASED
from storage.rows import decoded
from storage.statements import Executor


@dataclass(frozen=True, kw_only=True, slots=True)
class RecipientContext:
    """`contacts` names the contact points that exist (never their values); `devices` are ids with their kinds, the one
    that was registered last first.

    `last_attempts`, by delivery and endpoint, is empty unless an earlier workflow of this notification was lost.
    `suppression_reasons` are the reasons, by channel, why the address of the recipient is suppressed. `timezone` is the
    zone of the recipient, else of the tenant. `is_collected`: it becomes part of a digest. `now` is by the clock of the
    database. `template_context` is what rendering its first step needs, `limits` are the rates that operators have set,
    by provider. `phone` is used to find its region.
    """

    status: NotificationStatus
    failure_reason: str | None
    generation: int
    is_finished: bool
    template_context: "TemplateContext"
    priority: int
    channels: tuple[Channel, ...] | None
    is_known: bool
    contacts: frozenset[str]
    devices: tuple[tuple[str, DeviceKind], ...]
    preferences: RecipientPreferences
    last_attempts: dict[tuple[UUID, str], LastAttempt]
    suppression_reasons: dict[Channel, str]
    recipient_id: str
    timezone: str
    quiet_hours: QuietHours | None
    frequency_cap: FrequencyLimit | None
    waits_for: str | None
    is_collected: bool
    limits: Mapping[str, ProviderRateLimits]
    now: datetime
    phone: str | None = field(repr=False)
    phone_regions: list[str] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class TemplateContext:
    """Hold the values that templates may use and that select language and version. `digest`: the notification
    combines several."""

    type_id: UUID
    created_at: datetime
    payload: JsonObject
    recipient: JsonObject
    locale: str | None
    default_language: str
    digest: bool


# Of a suppression `s`.
SUPPRESSION_IN_FORCE = "s.lifted_at IS NULL AND (s.expires_at IS NULL OR s.expires_at > now())"

TEMPLATE_CONTEXT_COLUMNS = """
       n.type_id, n.created_at, n.event_payload, n.recipient_id, r.locale, r.timezone AS own_timezone, r.attributes,
       t.default_language, n.digest_id IS NOT NULL AND n.digest_key IS NULL AS digest
""".strip()

SELECT_CONTEXTS = f"""
SELECT n.id, {TEMPLATE_CONTEXT_COLUMNS}, n.status, n.failure_reason, n.generation, n.finished_at, n.priority,
       n.channels,
       (SELECT q.waits_for FROM queue_entry q
         WHERE q.notification_id = n.id AND q.generation = n.generation) AS waits_for,
       n.digest_key IS NOT NULL AS collected, r.contact,
       COALESCE(r.timezone, t.timezone) AS timezone, t.frequency_cap, t.phone_regions, p.global_channel_opt_in,
       p.type_channel_preferences, p.quiet_hours, clock_timestamp() AS now, {LIMITS_COLUMN} AS limits,
       (SELECT jsonb_agg(jsonb_build_array(d.id, d.kind) ORDER BY d.updated_at DESC, d.id DESC) FROM device d
         WHERE d.tenant = n.tenant AND d.recipient_id = n.recipient_id) AS devices,
       (SELECT jsonb_agg(jsonb_build_array(a.delivery_id, a.endpoint_id, a.last, a.unknown))
          FROM (SELECT delivery_id, endpoint_id, max(number) AS last, count(*) FILTER (WHERE state = 'unknown')
                       - ((array_agg(state ORDER BY number DESC))[1] = 'unknown')::int AS unknown FROM attempt
                 WHERE notification_id = n.id GROUP BY delivery_id, endpoint_id) a) AS attempts,
       (SELECT jsonb_object_agg(s.channel, s.reason) FROM suppression s
         WHERE {SUPPRESSION_IN_FORCE} AND s.tenant = n.tenant AND s.channel IN ('email', 'sms')
           AND s.address_hash IN (r.address_hashes->>'email', r.address_hashes->>'phone')) AS suppressed
  FROM notification n
  JOIN tenant t ON t.id = n.tenant
  LEFT JOIN recipient r ON r.tenant = n.tenant AND r.recipient_id = n.recipient_id AND NOT {IS_BEING_ERASED}
  LEFT JOIN user_preference p ON p.tenant = n.tenant AND p.user_id = n.recipient_id
"""  # noqa: S608 - constants of our own
SELECT_CONTEXT = text(f"{SELECT_CONTEXTS} WHERE n.id = :id AND n.tenant = :tenant")
SELECT_CONTEXTS_BY_ID = text(f"{SELECT_CONTEXTS} WHERE n.id = ANY(:ids) AND n.tenant = :tenant")

SELECT_TEMPLATE_CONTEXT = text(f"""
SELECT {TEMPLATE_CONTEXT_COLUMNS}
  FROM notification n
  JOIN tenant t ON t.id = n.tenant
  LEFT JOIN recipient r ON r.tenant = n.tenant AND r.recipient_id = n.recipient_id
 WHERE n.id = :id AND n.tenant = :tenant
""")  # noqa: S608


async def read_recipient_context(session: Executor, notification_id: UUID, tenant: UUID) -> RecipientContext | None:
    row = (await session.execute(SELECT_CONTEXT, {"id": notification_id, "tenant": tenant})).mappings().one_or_none()
    return None if row is None else recipient_context_of(row)


async def read_recipient_contexts(
    session: Executor, notification_ids: Sequence[UUID], tenant: UUID
) -> dict[UUID, RecipientContext]:
    rows = await session.execute(SELECT_CONTEXTS_BY_ID, {"ids": list(notification_ids), "tenant": tenant})
    return {row["id"]: recipient_context_of(row) for row in rows.mappings()}


def recipient_context_of(row: Any) -> RecipientContext:
    """Return the context from a row of the query."""
    contact = decoded(row["contact"]) or {}
    return RecipientContext(
        status=NotificationStatus(row["status"]),
        failure_reason=row["failure_reason"],
        generation=row["generation"],
        is_finished=row["finished_at"] is not None,
        template_context=_template_context_of(row),
        priority=row["priority"],
        channels=None if row["channels"] is None else tuple(Channel(name) for name in row["channels"]),
        is_known=row["contact"] is not None,
        contacts=frozenset(name for name, value in contact.items() if value),
        devices=tuple((id, DeviceKind(kind)) for id, kind in decoded(row["devices"]) or []),
        preferences=preferences_of(row),
        suppression_reasons={
            Channel(channel): reason for channel, reason in (decoded(row["suppressed"]) or {}).items()
        },
        last_attempts={
            (UUID(delivery), endpoint): LastAttempt(number=last, earlier_unknown_outcomes=unknown)
            for delivery, endpoint, last, unknown in decoded(row["attempts"]) or []
        },
        recipient_id=row["recipient_id"],
        timezone=row["timezone"],
        quiet_hours=quiet_hours_of(row),
        frequency_cap=None if row["frequency_cap"] is None else limit_of(decoded(row["frequency_cap"])),
        waits_for=row["waits_for"],
        is_collected=row["collected"],
        limits=limits_of(row["limits"]),
        now=row["now"],
        phone=contact.get("phone"),
        phone_regions=row["phone_regions"],
    )


def quiet_hours_of(row: Any) -> QuietHours | None:
    stored = decoded(row["quiet_hours"])
    return None if stored is None else QuietHours.from_json(stored)


def preferences_of(row: Any) -> RecipientPreferences:
    return RecipientPreferences(
        channels=decoded(row["global_channel_opt_in"]) or {}, types=decoded(row["type_channel_preferences"]) or {}
    )


async def read_template_context(session: AsyncSession, notification_id: UUID, tenant: UUID) -> TemplateContext:
    return _template_context_of(
        (await session.execute(SELECT_TEMPLATE_CONTEXT, {"id": notification_id, "tenant": tenant})).mappings().one()
    )


def _template_context_of(row: Any) -> TemplateContext:
    recipient = {
        "id": row["recipient_id"],
        "locale": row["locale"],
        "timezone": row["own_timezone"],
        "attributes": decoded(row["attributes"]) or {},
    }
    return TemplateContext(
        type_id=row["type_id"],
        created_at=row["created_at"],
        payload=decoded(row["event_payload"]),
        recipient=recipient,
        locale=row["locale"],
        default_language=row["default_language"],
        digest=row["digest"],
    )
