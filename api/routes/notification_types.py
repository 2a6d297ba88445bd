"""Routes of notification types: the channels of a type, their order and its rules."""

from fastapi import APIRouter, Request, Response

from api.authenticated_route import AuthenticatedRoute, scope
from api.dependencies import CallerDep, ContainerDep
from api.paging import Page, PagingDep
from api.problems import invalid, not_found
from api.schemas.base import Key
from api.schemas.notification_types import SavedType, TypeBody, TypeResponse
from bootstrap import Container
from domain.goals import ReportedEvidence
from domain.json_types import Json
from domain.validation_issues import issue_at
from models.notification_types import NotificationTypeVersion
from services.contact_rules import ContactRules
from services.notification_types import delete_type, save_type
from storage import notification_types

router = APIRouter(prefix="/notification-types", tags=["notification types"], route_class=AuthenticatedRoute)


@router.put(
    "/{key}",
    response_model=SavedType,
    response_model_exclude_unset=True,
    responses={201: {"model": SavedType, "description": "Created: a new type, or a new version of it"}},
)
@scope("manage")
async def put_notification_type(
    key: Key, body: TypeBody, request: Request, response: Response, caller: CallerDep, container: ContainerDep
) -> SavedType:
    """Create or replace a type. A change creates a new version, used from now on; an equal body changes nothing."""
    _check_body(key, body, ContactRules.of(container.settings, caller))
    saved = await save_type(
        container.database, container.catalog, caller, key, body.spec(key), _reported_evidence(container)
    )
    if saved.is_written:
        response.status_code = 201
        response.headers["Location"] = request.url.path
    warnings = {"warnings": saved.warnings} if saved.warnings else {}
    return SavedType.model_validate(_type_fields(saved.row) | warnings)


@router.get("/{key}", response_model=TypeResponse, response_model_exclude_unset=True)
@scope("read")
async def get_notification_type(key: str, caller: CallerDep, container: ContainerDep) -> TypeResponse:
    """Return the current version of a type, with defaults written out."""
    async with container.database.transaction() as session:
        row = await notification_types.find_current(session, caller.tenant, key)
    if row is None:
        raise type_not_found()
    return type_response(row)


@router.get("", response_model=Page[TypeResponse], response_model_exclude_unset=True)
@scope("read")
async def list_notification_types(paging: PagingDep, caller: CallerDep, container: ContainerDep) -> Page[TypeResponse]:
    """List the current versions of all types, by key."""
    async with container.database.transaction() as session:
        rows = await notification_types.list_page(session, caller.tenant, paging.after, paging.fetch_limit)
    return paging.page(rows, lambda row: row.key, type_response)


@router.delete("/{key}", status_code=204)
@scope("manage")
async def delete_notification_type(key: str, caller: CallerDep, container: ContainerDep) -> None:
    """Delete a type. New sends of it are refused; accepted notifications continue with their version."""
    if not await delete_type(container.database, container.catalog, caller, key):
        raise type_not_found()


def type_response(row: NotificationTypeVersion) -> TypeResponse:
    return TypeResponse.model_validate(_type_fields(row))


def _check_body(key: str, body: TypeBody, rules: ContactRules) -> None:
    if body.key not in (None, key):
        raise invalid(issue_at("/key", "must be the key in the path"))
    if twice := body.channels_sent_twice:
        raise invalid(
            *(issue_at("/always", f"{name} is also on the route, so it would be sent twice") for name in twice)
        )
    if lacking := body.channels_without_template:
        detail = "is required, because the route has this channel"
        raise invalid(*(issue_at(f"/templates/{channel}", detail) for channel in lacking))
    spec = body.spec(key)
    if foreign := [issue for name in ("from", "reply_to") for issue in rules.find_mailbox_issues(spec.get(name), name)]:
        raise invalid(*foreign)


def _type_fields(row: NotificationTypeVersion) -> Json:
    return {**row.spec, "version": row.version, "created_at": row.created_at}


def _reported_evidence(container: Container) -> ReportedEvidence:
    return {
        channel: [container.providers[member.name].max_evidence for member in pool]
        for channel, pool in container.pools.items()
    }


def type_not_found() -> Exception:
    return not_found("There is no notification type with this key.")
