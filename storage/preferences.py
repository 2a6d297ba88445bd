"""Read and change the preferences of a recipient, and read what the steps of a notification need of its recipient.

The row is updated in place and never replaced: the guard of a delivery locks it, so an opt-out that was committed
before a message goes out is always seen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from domain.channels import Channel, DeviceKind
from domain.json_types import Json
from domain.languages import fallback_languages
from domain.preferences import RecipientPreferences
from domain.quiet_hours import QuietHours
from domain.rates import ProviderRateLimits
from domain.routing import LastAttempt
from domain.statuses import NotificationStatus
from domain.timing import FrequencyLimit, limit_of
from storage.database import to_json
from storage.provider_health import limits_of
from storage.statements import Executor, decoded, statement


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredPreferences:
    """`channels` is by channel, `types` by type or category and then channel, as the recipient chose."""

    channels: Json
    types: Json
    quiet_hours: Json | None
    updated_at: datetime

    def differs_from(self, other: "StoredPreferences") -> bool:
        """Return whether anything except the time of the last write differs."""
        return replace(self, updated_at=other.updated_at) != other


FIND = statement("preferences/select_preferences")
LOCK = statement("preferences/lock_preferences")
SAVE = statement("preferences/save_preferences")
SELECT_CONTEXTS = statement("preferences/select_contexts")
SELECT_TEMPLATE_CONTEXT = statement("preferences/select_template_context")


async def find(
    session: AsyncSession, tenant: UUID, recipient_id: str, *, lock: bool = False
) -> StoredPreferences | None:
    """Return None for an unknown recipient. Lock to change what was read."""
    values = {"tenant": tenant, "recipient_id": recipient_id}
    row = (await session.execute(LOCK if lock else FIND, values)).mappings().one_or_none()
    return None if row is None else _preferences_of(row)


async def save(
    session: AsyncSession,
    tenant: UUID,
    recipient_id: str,
    channels: Json,
    types: Json,
    quiet_hours: Json | None,
) -> StoredPreferences | None:
    """Replace the preferences. Return None for an unknown recipient."""
    values = {
        "tenant": tenant,
        "recipient_id": recipient_id,
        "channels": to_json(channels),
        "types": to_json(types),
        "quiet_hours": None if quiet_hours is None else to_json(quiet_hours),
    }
    row = (await session.execute(SAVE, values)).mappings().one_or_none()
    return None if row is None else _preferences_of(row)


def _preferences_of(row: Any) -> StoredPreferences:
    return StoredPreferences(
        channels=decoded(row["global_channel_opt_in"]),
        types=decoded(row["type_channel_preferences"]),
        quiet_hours=decoded(row["quiet_hours"]),
        updated_at=row["updated_at"],
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class RecipientContext:
    """`contacts` names the contact points that exist (never their values); `devices` are ids with their kinds, the one
    that was registered last first; `device_locales` are those of devices with their own locale.

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
    device_locales: Mapping[str, str]
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
    payload: Json
    recipient: Json
    locale: str | None
    default_language: str
    digest: bool

    @property
    def languages(self) -> list[str]:
        """Return the languages in which templates are searched."""
        return fallback_languages(self.locale, self.default_language)


async def read_recipient_context(session: Executor, notification_id: UUID, tenant: UUID) -> RecipientContext | None:
    return (await read_recipient_contexts(session, [notification_id], tenant)).get(notification_id)


async def read_recipient_contexts(
    session: Executor, notification_ids: Sequence[UUID], tenant: UUID
) -> dict[UUID, RecipientContext]:
    rows = await session.execute(SELECT_CONTEXTS, {"ids": list(notification_ids), "tenant": tenant})
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
        device_locales=decoded(row["device_locales"]) or {},
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
