"""Save, delete, test and replay event endpoints, and rotate their secrets. Called by the routes of event endpoints. A
function returns None if the tenant has no endpoint with the key."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from domain.audit import Caller
from domain.event_webhooks import TEST_EVENT
from domain.json_types import Json
from domain.validation_issues import InvalidInput, issue_at
from models.event_webhooks import EventEndpoint
from storage import audit, event_endpoints, event_outbox
from storage.database import Database
from storage.encryption import encryption_of
from storage.event_outbox import ReplayResult


class EndpointDisabled(Exception):
    """Report that nothing is sent to the endpoint until it is enabled."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplayCommand:
    """Replay one message, or those of a range. `given` is the request as the audit log shows it."""

    message_id: UUID | None
    since: datetime | None
    until: datetime | None
    all: bool
    given: Json


async def save(
    database: Database, caller: Caller, key: str, url: str, events: list[str], *, enabled: bool
) -> tuple[EventEndpoint, bool]:
    """Create or replace an endpoint; return True if it is new. Raise TooManyEndpoints."""
    async with database.transaction() as session:
        before = _audited_values(session, await event_endpoints.find(session, caller.tenant, key, lock=True))
        row, is_new = await event_endpoints.put(session, caller.tenant, key, url, events, enabled=enabled)
        await _record_change(session, caller, "event_endpoint.saved", key, before, _audited_values(session, row))
    return row, is_new


async def delete(database: Database, caller: Caller, key: str) -> bool:
    """Return False for an unknown key."""
    async with database.transaction() as session:
        before = _audited_values(session, await event_endpoints.find(session, caller.tenant, key, lock=True))
        if not await event_endpoints.remove(session, caller.tenant, key):
            return False
        await _record_change(session, caller, "event_endpoint.deleted", key, before, None)
    return True


async def rotate_secret(database: Database, caller: Caller, key: str) -> EventEndpoint | None:
    async with database.transaction() as session:
        row = await event_endpoints.rotate_secret(session, caller.tenant, key)
        if row is not None:
            after = {"previous_secret_until": row.previous_until}
            await _record_change(session, caller, "event_endpoint.secret_rotated", key, None, after)
    return row


async def send_test_event(database: Database, tenant: UUID, key: str) -> UUID | None:
    """Return the id of the message. Raise EndpointDisabled."""
    async with database.transaction() as session:
        row = await event_endpoints.find(session, tenant, key)
        if row is None:
            return None
        message_ids = await event_endpoints.enqueue_messages(session, [row.id], TEST_EVENT, {"endpoint": row.key})
    if not message_ids:
        raise EndpointDisabled
    return message_ids[0]


async def replay(database: Database, caller: Caller, key: str, command: ReplayCommand) -> ReplayResult | None:
    """Send messages again with the same id. Raise EndpointDisabled, or InvalidInput for an unknown message."""
    async with database.transaction() as session:
        row = await event_endpoints.find(session, caller.tenant, key)
        if row is None:
            return None
        if not row.enabled:
            raise EndpointDisabled
        await _record_change(session, caller, "event_endpoint.replayed", key, None, command.given)
        if command.since is not None:
            return await event_outbox.replay_since(session, row.id, command.since, command.until, all=command.all)
        if command.message_id is None or not await event_outbox.replay_one(session, row.id, command.message_id):
            raise InvalidInput(issue_at("/message_id", "no such message was sent to this endpoint"))
    return ReplayResult(count=1, through=None, more=False)


async def _record_change(
    session: AsyncSession, caller: Caller, action: str, key: str, before: Json | None, after: Json | None
) -> None:
    await audit.record_change(session, caller.change(action, f"event_endpoint/{key}", before, after))


def _audited_values(session: AsyncSession, row: EventEndpoint | None) -> Json | None:
    if row is None:
        return None
    url = event_endpoints.decrypt_url(encryption_of(session), row)
    return {"url": url, "events": row.events, "enabled": row.enabled}
