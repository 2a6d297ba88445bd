"""Event webhooks: a tenant's own endpoints for status events."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api import auditing
from api.callers import Caller, CallerDep
from api.contact_rules import ContactRules, refuse
from api.front_door import FrontDoor, scope
from api.openapi import answers
from api.paging import Page, PagingDep
from api.parts import PartsDep
from api.places import before
from api.problems import at, conflict, invalid, not_found
from api.schemas.base import Key
from api.schemas.event_endpoints import (
    EndpointBody,
    EndpointSaved,
    EndpointView,
    EventMessageView,
    NewSecret,
    ReplayAccepted,
    ReplayBody,
    TestSent,
)
from bootstrap import Parts
from domain.event_webhooks import TEST
from domain.places import place_text
from models.event_webhooks import EventEndpoint, EventMessage
from storage import event_endpoints, event_messages
from storage.event_messages import Standing
from storage.event_outbox import tell

router = APIRouter(prefix="/event-endpoints", tags=["event webhooks"], route_class=FrontDoor)

REPLAYED = "event_endpoint.replayed"
DISABLED = "The endpoint is disabled; enable it first."


@router.put(
    "/{key}",
    response_model=EndpointSaved,
    response_model_exclude_unset=True,
    responses={201: {"model": EndpointSaved, "description": "Created, with its secret"}, **answers(409)},
)
@scope("manage")
async def put_event_endpoint(
    key: Key, body: EndpointBody, request: Request, response: Response, caller: CallerDep, parts: PartsDep
) -> EndpointSaved:
    """Exactly this from now on. The secret is answered only when the endpoint is made, and by rotate-secret."""
    refuse(ContactRules.of(parts.settings, caller).url_faults(body.url, "url"))
    async with parts.database.transaction() as session:
        before = _audited(parts, await event_endpoints.find(session, caller.tenant, key, lock=True))
        try:
            row, made = await event_endpoints.put(
                session, caller.tenant, key, body.url, body.events, enabled=body.enabled
            )
        except event_endpoints.TooMany:
            raise conflict(f"There can be {event_endpoints.MOST} event endpoints at most.") from None
        await auditing.note(session, caller, "event_endpoint.saved", _subject(key), before, _audited(parts, row))
    if not made:
        return EndpointSaved(**_fields(parts, row))
    response.status_code = 201
    response.headers["Location"] = request.url.path
    response.headers["Cache-Control"] = "no-store"
    return EndpointSaved(**_fields(parts, row), secret=event_endpoints.secret_of(parts.database.encryption, row))


@router.get("")
@scope("manage")
async def list_event_endpoints(paging: PagingDep, caller: CallerDep, parts: PartsDep) -> Page[EndpointView]:
    """All of them, by key; their secrets are not shown."""
    async with parts.database.transaction() as session:
        rows = await event_endpoints.listed(session, caller.tenant, paging.after, paging.fetch)
    return paging.page(rows, lambda row: row.key, partial(_view, parts))


@router.get("/{key}")
@scope("manage")
async def get_event_endpoint(key: str, caller: CallerDep, parts: PartsDep) -> EndpointView:
    """Where it is, what it is told and whether it works; its secret is not shown."""
    async with parts.database.transaction() as session:
        return _view(parts, await _found(session, caller, key))


@router.delete("/{key}", status_code=204)
@scope("manage")
async def delete_event_endpoint(key: str, caller: CallerDep, parts: PartsDep) -> None:
    """Nothing more is sent to it; what it was told is forgotten."""
    async with parts.database.transaction() as session:
        before = _audited(parts, await event_endpoints.find(session, caller.tenant, key, lock=True))
        if not await event_endpoints.remove(session, caller.tenant, key):
            raise unknown()
        await auditing.note(session, caller, "event_endpoint.deleted", _subject(key), before)


@router.post("/{key}/rotate-secret")
@scope("manage")
async def rotate_event_secret(key: str, caller: CallerDep, parts: PartsDep, response: Response) -> NewSecret:
    """A new secret. For a day messages carry two signatures, by the new one and by the one before."""
    async with parts.database.transaction() as session:
        row = await event_endpoints.rotate(session, caller.tenant, key)
        if row is None or row.previous_until is None:
            raise unknown()
        after = {"previous_secret_until": row.previous_until}
        await auditing.note(session, caller, "event_endpoint.secret_rotated", _subject(key), None, after)
    response.headers["Cache-Control"] = "no-store"
    secret = event_endpoints.secret_of(parts.database.encryption, row)
    return NewSecret(secret=secret, previous_secret_until=row.previous_until)


@router.post("/{key}/test", status_code=202, responses=answers(409))
@scope("manage")
async def test_event_endpoint(key: str, caller: CallerDep, parts: PartsDep) -> TestSent:
    """Sends `endpoint.test` the way every event goes; its attempts tell what became of it."""
    async with parts.database.transaction() as session:
        row = await _found(session, caller, key)
        told = await tell(session, [row.id], TEST, {"endpoint": row.key})
    if not told:
        raise conflict(DISABLED)
    return TestSent(message_id=told[0])


@router.post("/{key}/replay", status_code=202, responses=answers(409))
@scope("manage")
async def replay_events(key: str, body: ReplayBody, caller: CallerDep, parts: PartsDep) -> ReplayAccepted:
    """Sends again, with the same `webhook-id`: one message, or what failed since a time."""
    async with parts.database.transaction() as session:
        row = await _found(session, caller, key)
        if not row.enabled:
            raise conflict(DISABLED)
        if body.since is not None:
            await auditing.note(session, caller, REPLAYED, _subject(key), None, body.model_dump(exclude_unset=True))
            done = await event_messages.replay_since(session, row.id, body.since, body.until, all=body.all)
            return ReplayAccepted(replayed=done.count, through=done.through, more=done.more)
        if body.message_id is None or not await event_messages.replay_one(session, row.id, body.message_id):
            raise invalid(at("/message_id", "the endpoint was sent no such message"))
        await auditing.note(session, caller, REPLAYED, _subject(key), None, {"message_id": body.message_id})
    return ReplayAccepted(replayed=1)


@router.get("/{key}/attempts")
@scope("manage")
async def list_event_attempts(
    key: str, caller: CallerDep, parts: PartsDep, paging: PagingDep, status: Annotated[Standing | None, Query()] = None
) -> Page[EventMessageView]:
    """What the endpoint was told, newest first, with the tries of each message. Kept for thirty days."""
    async with parts.database.transaction() as session:
        row = await _found(session, caller, key)
        rows = await event_messages.page(session, row.id, status, before=before(paging), limit=paging.fetch)
    return paging.page(rows, lambda row: place_text(row.occurred_at, row.id), _message)


async def _found(session: AsyncSession, caller: Caller, key: str) -> EventEndpoint:
    row = await event_endpoints.find(session, caller.tenant, key)
    if row is None:
        raise unknown()
    return row


def _subject(key: str) -> str:
    return f"event_endpoint/{key}"


def _audited(parts: Parts, row: EventEndpoint | None) -> dict[str, Any] | None:
    if row is None:
        return None
    url = event_endpoints.url_of(parts.database.encryption, row)
    return {"url": url, "events": row.events, "enabled": row.enabled}


def _fields(parts: Parts, row: EventEndpoint) -> dict[str, Any]:
    own = {
        "url": event_endpoints.url_of(parts.database.encryption, row),
        "previous_secret_until": row.previous_until,
    }
    return {name: getattr(row, name) for name in EndpointView.model_fields if name not in own} | own


def _view(parts: Parts, row: EventEndpoint) -> EndpointView:
    return EndpointView.model_validate(_fields(parts, row))


def _message(row: EventMessage) -> EventMessageView:
    named = {"type": row.kind, "status": event_messages.standing_of(row)}
    names = [name for name in EventMessageView.model_fields if name not in named]
    return EventMessageView.model_validate(named | {name: getattr(row, name) for name in names})


def unknown() -> Exception:
    return not_found("There is no event endpoint with this key.")
