"""Routes of event endpoints: a tenant's own URLs that receive status events."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.authenticated_route import AuthenticatedRoute, scope
from api.dependencies import CallerDep, ContainerDep
from api.openapi import problem_responses
from api.paging import Page, PagingDep
from api.problems import conflict, not_found
from api.schemas.base import Key
from api.schemas.event_endpoints import (
    EndpointBody,
    EndpointView,
    EventMessageView,
    ReplayAccepted,
    ReplayBody,
    RotatedSecret,
    SavedEndpoint,
    TestEventAccepted,
)
from bootstrap import Container
from domain.audit import Caller
from domain.cursors import Cursor
from domain.validation_issues import raise_issues
from models.event_webhooks import EventEndpoint, EventMessage
from services import event_endpoints
from services.contact_rules import ContactRules
from services.event_endpoints import EndpointDisabled, ReplayCommand
from storage import event_outbox
from storage.event_endpoints import MAX_ENDPOINTS, TooManyEndpoints, decrypt_secret, decrypt_url
from storage.event_endpoints import find as find_endpoint
from storage.event_endpoints import list_page as list_endpoints
from storage.event_outbox import EventMessageStatus

router = APIRouter(prefix="/event-endpoints", tags=["event webhooks"], route_class=AuthenticatedRoute)

DISABLED = "The endpoint is disabled; enable it first."


@router.put(
    "/{key}",
    response_model=SavedEndpoint,
    response_model_exclude_unset=True,
    responses={201: {"model": SavedEndpoint, "description": "Created, with its secret"}, **problem_responses(409)},
)
@scope("manage")
async def put_event_endpoint(
    key: Key, body: EndpointBody, request: Request, response: Response, caller: CallerDep, container: ContainerDep
) -> SavedEndpoint:
    """Create or replace an endpoint. Only creation and rotate-secret return its secret."""
    raise_issues(ContactRules.of(container.settings, caller).find_url_issues(body.url, "url"))
    try:
        row, is_new = await event_endpoints.save(
            container.database, caller, key, body.url, body.events, enabled=body.enabled
        )
    except TooManyEndpoints:
        raise conflict(f"There can be at most {MAX_ENDPOINTS} event endpoints.") from None
    if not is_new:
        return SavedEndpoint(**_view_fields(container, row))
    response.status_code = 201
    response.headers["Location"] = request.url.path
    response.headers["Cache-Control"] = "no-store"
    return SavedEndpoint(**_view_fields(container, row), secret=decrypt_secret(container.database.encryption, row))


@router.get("")
@scope("manage")
async def list_event_endpoints(paging: PagingDep, caller: CallerDep, container: ContainerDep) -> Page[EndpointView]:
    """List all event endpoints by key, without their secrets."""
    async with container.database.transaction() as session:
        rows = await list_endpoints(session, caller.tenant, paging.after, paging.fetch_limit)
    return paging.page(rows, lambda row: row.key, partial(_view, container))


@router.get("/{key}")
@scope("manage")
async def get_event_endpoint(key: str, caller: CallerDep, container: ContainerDep) -> EndpointView:
    """Return one endpoint: URL, subscribed events and state. Its secret is not returned."""
    async with container.database.transaction() as session:
        return _view(container, await _get_endpoint(session, caller, key))


@router.delete("/{key}", status_code=204)
@scope("manage")
async def delete_event_endpoint(key: str, caller: CallerDep, container: ContainerDep) -> None:
    """Delete an endpoint with its messages. No further events are sent to it."""
    if not await event_endpoints.delete(container.database, caller, key):
        raise endpoint_not_found()


@router.post("/{key}/rotate-secret")
@scope("manage")
async def rotate_event_secret(
    key: str, caller: CallerDep, container: ContainerDep, response: Response
) -> RotatedSecret:
    """Create a new secret. For a day, messages are signed with both the new and the former secret."""
    row = await event_endpoints.rotate_secret(container.database, caller, key)
    if row is None or row.previous_until is None:
        raise endpoint_not_found()
    response.headers["Cache-Control"] = "no-store"
    secret = decrypt_secret(container.database.encryption, row)
    return RotatedSecret(secret=secret, previous_secret_until=row.previous_until)


@router.post("/{key}/test", status_code=202, responses=problem_responses(409))
@scope("manage")
async def test_event_endpoint(key: str, caller: CallerDep, container: ContainerDep) -> TestEventAccepted:
    """Send the event `endpoint.test` like any other event. `GET /event-endpoints/{key}/attempts` shows the outcome."""
    try:
        message_id = await event_endpoints.send_test_event(container.database, caller.tenant, key)
    except EndpointDisabled:
        raise conflict(DISABLED) from None
    if message_id is None:
        raise endpoint_not_found()
    return TestEventAccepted(message_id=message_id)


@router.post("/{key}/replay", status_code=202, responses=problem_responses(409))
@scope("manage")
async def replay_events(key: str, body: ReplayBody, caller: CallerDep, container: ContainerDep) -> ReplayAccepted:
    """Send messages again with the same `webhook-id`: one message, or those that failed since a time."""
    command = ReplayCommand(
        message_id=body.message_id,
        since=body.since,
        until=body.until,
        all=body.all,
        given=body.model_dump(exclude_unset=True),
    )
    try:
        result = await event_endpoints.replay(container.database, caller, key, command)
    except EndpointDisabled:
        raise conflict(DISABLED) from None
    if result is None:
        raise endpoint_not_found()
    return ReplayAccepted(replayed=result.count, through=result.through, more=result.more)


@router.get("/{key}/attempts")
@scope("manage")
async def list_event_attempts(
    key: str,
    caller: CallerDep,
    container: ContainerDep,
    paging: PagingDep,
    status: Annotated[EventMessageStatus | None, Query()] = None,
) -> Page[EventMessageView]:
    """List messages to the endpoint, newest first, with the attempts of each. They are kept for 30 days."""
    async with container.database.transaction() as session:
        row = await _get_endpoint(session, caller, key)
        rows = await event_outbox.list_page(
            session, row.id, status, before=paging.after_cursor, limit=paging.fetch_limit
        )
    return paging.page(rows, lambda row: Cursor(row.occurred_at, row.id), _message_view)


async def _get_endpoint(session: AsyncSession, caller: Caller, key: str) -> EventEndpoint:
    row = await find_endpoint(session, caller.tenant, key)
    if row is None:
        raise endpoint_not_found()
    return row


def _view_fields(container: Container, row: EventEndpoint) -> dict[str, Any]:
    own = {
        "url": decrypt_url(container.database.encryption, row),
        "previous_secret_until": row.previous_until,
    }
    return {name: getattr(row, name) for name in EndpointView.model_fields if name not in own} | own


def _view(container: Container, row: EventEndpoint) -> EndpointView:
    return EndpointView.model_validate(_view_fields(container, row))


def _message_view(row: EventMessage) -> EventMessageView:
    named = {"type": row.kind, "status": event_outbox.status_of(row)}
    names = [name for name in EventMessageView.model_fields if name not in named]
    return EventMessageView.model_validate(named | {name: getattr(row, name) for name in names})


def endpoint_not_found() -> Exception:
    return not_found("There is no event endpoint with this key.")
