"""Change the chat rooms of a tenant. Called by the route of settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from domain.chat_urls import ChatService, chat_service_of
from domain.json_types import Json
from domain.stored_limits import MAX_CHAT_ROOMS
from domain.validation_issues import InvalidInput, issue_at
from storage import chat_rooms


@dataclass(frozen=True, slots=True)
class ChatRooms:
    """Hold the URLs of the rooms by name. None: the key of the secret is missing."""

    urls: Mapping[str, str | None]

    @property
    def services(self) -> dict[str, ChatService | None]:
        return {name: chat_service_of(url) for name, url in self.urls.items()}

    @property
    def audited_values(self) -> Json:
        """Return what the audit log compares. It masks `chat_url`."""
        return {
            "chat_rooms": {
                name: {"chat_service": chat_service_of(url), "chat_url": url} for name, url in self.urls.items()
            }
        }


async def read_rooms(session: AsyncSession, tenant: UUID) -> ChatRooms:
    return ChatRooms(await chat_rooms.read_urls(session, tenant))


async def change_rooms(
    session: AsyncSession, tenant: UUID, before: ChatRooms, changes: Mapping[str, str | None] | None
) -> ChatRooms:
    """Save the rooms with a URL and remove those with null; null alone removes all. The caller holds the lock of the
    tenant's settings. Raise InvalidInput if the tenant would have too many rooms."""
    given = dict.fromkeys(before.urls) if changes is None else changes
    saved = {name: url for name, url in given.items() if url is not None}
    kept = {name: url for name, url in before.urls.items() if name not in given}
    if len(after := dict(sorted((kept | saved).items()))) > MAX_CHAT_ROOMS:
        raise InvalidInput(issue_at("/chat_rooms", f"must leave at most {MAX_CHAT_ROOMS} rooms"))
    await chat_rooms.remove(session, tenant, [name for name in given if name not in saved])
    await chat_rooms.save(session, tenant, saved)
    return ChatRooms(after)
