"""Save and delete notification types, and find warnings for a saved one. Called by the route of types."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from domain.audit import Caller
from domain.channels import Channel
from domain.goals import ReportedEvidence, goal_warnings
from domain.json_types import Json
from domain.names import FLUSH_CHANNEL
from models.notification_types import NotificationTypeVersion
from storage import audit, chat_rooms, notification_types, ticks
from storage.catalog import Catalog
from storage.database import Database
from storage.notification_types import find_unknown_names, is_name_used
from storage.statements import notify
from storage.templates import PublishedText, list_published_texts


@dataclass(frozen=True, kw_only=True, slots=True)
class SaveTypeResult:
    """`is_written` is False if the current version was equal already."""

    row: NotificationTypeVersion
    is_written: bool
    warnings: list[str]


async def save_type(
    database: Database, catalog: Catalog, caller: Caller, key: str, spec: Json, reports: ReportedEvidence
) -> SaveTypeResult:
    """Create a new version unless the current one is equal. `reports` is what the providers of each channel report."""
    async with database.transaction() as session:
        row, is_written = await notification_types.put(session, caller.tenant, key, spec)
        warnings = [
            *goal_warnings(notification_types.notification_type_of(row), reports),
            *await find_template_warnings(session, caller.tenant, spec["templates"]),
            *await find_room_warnings(session, caller.tenant, spec),
        ]
        if is_written:
            before = await notification_types.find_previous_spec(session, row)
            await _record_change(session, caller, "notification_type.saved", key, before, row.spec)
            warnings += await find_preference_warnings(session, caller.tenant, before, row.spec)
    catalog.flush()
    return SaveTypeResult(row=row, is_written=is_written, warnings=warnings)


async def delete_type(database: Database, catalog: Catalog, caller: Caller, key: str) -> bool:
    """Return False if there is no such type."""
    async with database.transaction() as session:
        retired = await notification_types.retire(session, caller.tenant, key)
        if retired is None:
            return False
        await _record_change(session, caller, "notification_type.deleted", key, retired.spec, None)
    catalog.flush()
    return True


async def _record_change(
    session: AsyncSession, caller: Caller, action: str, key: str, before: Json | None, after: Json | None
) -> None:
    """Audit the change, update the tick of the type, and flush the caches of all processes."""
    await audit.record_change(session, caller.change(action, f"notification_type/{key}", before, after))
    await ticks.update_tick(session, caller.tenant, key)
    await notify(session, FLUSH_CHANNEL)


async def find_template_warnings(session: AsyncSession, tenant: UUID, templates: Mapping[str, str]) -> list[str]:
    """Return a warning for each channel that cannot be sent, because its template is missing or lacks a required
    part."""
    texts = await list_published_texts(session, tenant, sorted(set(templates.values())))
    return [warning for channel, name in templates.items() for warning in _channel_warnings(channel, name, texts)]


async def find_room_warnings(session: AsyncSession, tenant: UUID, spec: Json) -> list[str]:
    """Return a warning if the chat room of the type does not exist."""
    room = (spec.get("chat") or {}).get("room")
    if room is None or await chat_rooms.exists(session, tenant, room):
        return []
    return [f"/chat/room: the tenant has no chat room '{room}': the channel is skipped"]


async def find_preference_warnings(session: AsyncSession, tenant: UUID, before: Json | None, after: Json) -> list[str]:
    """Return a warning if preferences name the type's former category and no other type has it."""
    former = (before or {}).get("category")
    if former in (None, after.get("category")) or not await find_unknown_names(session, tenant, [former]):
        return []
    if not await is_name_used(session, tenant, former):
        return []
    return [f"/category: preferences name '{former}', which is no longer a category: they have no effect"]


def _channel_warnings(channel: str, name: str, texts: Sequence[PublishedText]) -> Iterator[str]:
    found = [text for text in texts if (text.name, text.channel) == (name, channel)]
    if not found:
        yield f"/templates/{channel}: template '{name}' has no published version for {channel}: the channel is skipped"
    for text in found:
        for part in _missing_parts(text):
            why = f"has no {part}: the provider would reject it, so it is not sent"
            yield f"/templates/{channel}: '{name}' in '{text.language}' {why}"


def _missing_parts(text: PublishedText) -> Iterator[str]:
    if text.channel == Channel.EMAIL and not (text.subject_template or "").strip():
        yield "subject"
    parts = [text.body_template, text.text_template if text.channel == Channel.EMAIL else None]
    if text.channel in (Channel.EMAIL, Channel.SMS) and not any((part or "").strip() for part in parts):
        yield "text"
