"""Find warnings for a saved notification type. Used by the route of types."""

from collections.abc import Iterator, Mapping, Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from domain.channels import Channel
from domain.json_types import Json
from storage.notification_types import find_unknown_names, is_name_used
from storage.templates import PublishedText, list_published_texts


async def find_template_warnings(session: AsyncSession, tenant: UUID, templates: Mapping[Channel, str]) -> list[str]:
    """Return a warning for each channel that cannot be sent, because its template is missing or lacks a required
    part."""
    texts = await list_published_texts(session, tenant, sorted(set(templates.values())))
    return [warning for channel, name in templates.items() for warning in _channel_warnings(channel, name, texts)]


async def find_preference_warnings(session: AsyncSession, tenant: UUID, before: Json | None, after: Json) -> list[str]:
    """Return a warning if preferences name the type's former category, which no type has any more."""
    former = (before or {}).get("category")
    if former in (None, after.get("category")) or not await find_unknown_names(session, tenant, [former]):
        return []
    if not await is_name_used(session, tenant, former):
        return []
    return [f"/category: preferences name '{former}', which is no longer a category: they have no effect"]


def _channel_warnings(channel: Channel, name: str, texts: Sequence[PublishedText]) -> Iterator[str]:
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
