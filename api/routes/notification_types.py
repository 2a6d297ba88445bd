"""Notification types: what may be sent, on which channels, in which order."""

from fastapi import APIRouter, Request, Response

from api import auditing
from api.callers import CallerDep
from api.front_door import FrontDoor, scope
from api.paging import Page, PagingDep
from api.parts import PartsDep
from api.problems import at, invalid, not_found
from api.schemas.base import Json, Key
from api.schemas.notification_types import SavedType, TypeAnswer, TypeBody
from api.type_checks import preference_warnings, template_warnings
from bootstrap import Parts
from domain.goals import goal_warnings
from models.content import NotificationType
from storage import notification_types, ticks
from storage.catalog import announce

router = APIRouter(prefix="/notification-types", tags=["notification types"], route_class=FrontDoor)


@router.put(
    "/{key}",
    response_model=SavedType,
    response_model_exclude_unset=True,
    responses={201: {"model": SavedType, "description": "A new type, or a new version of it"}},
)
@scope("manage")
async def put_notification_type(
    key: Key, body: TypeBody, request: Request, response: Response, caller: CallerDep, parts: PartsDep
) -> SavedType:
    """The same type again changes nothing; any change is a new version, used from now on."""
    if body.key not in (None, key):
        raise invalid(at("/key", "must be the key in the path"))
    if body.twice:
        raise invalid(*(at("/always", f"{name} is on the route too: it would go out twice") for name in body.twice))
    if body.without_template:
        raise invalid(
            *(at(f"/templates/{channel}", "is required, since the route has it") for channel in body.without_template)
        )
    async with parts.database.transaction() as session:
        row, written = await notification_types.put(session, caller.tenant, key, body.spec(key))
        warnings = _goal_warnings(row, parts) + await template_warnings(session, caller.tenant, body)
        if written:
            before = await notification_types.previous_spec(session, row)
            await auditing.note(session, caller, "notification_type.saved", subject_of(key), before, row.spec)
            await ticks.want(session, caller.tenant, key)
            await announce(session)
            warnings += await preference_warnings(session, caller.tenant, before, row.spec)
    parts.catalog.flush()
    if written:
        response.status_code = 201
        response.headers["Location"] = request.url.path
    return SavedType.model_validate(_fields(row) | ({"warnings": warnings} if warnings else {}))


@router.get("/{key}", response_model=TypeAnswer, response_model_exclude_unset=True)
@scope("read")
async def get_notification_type(key: str, caller: CallerDep, parts: PartsDep) -> TypeAnswer:
    """Its current version, with defaults written out."""
    async with parts.database.transaction() as session:
        row = await notification_types.current(session, caller.tenant, key)
    if row is None:
        raise unknown()
    return answer(row)


@router.get("", response_model=Page[TypeAnswer], response_model_exclude_unset=True)
@scope("read")
async def list_notification_types(paging: PagingDep, caller: CallerDep, parts: PartsDep) -> Page[TypeAnswer]:
    """All types in their current versions, by key."""
    async with parts.database.transaction() as session:
        rows = await notification_types.listed(session, caller.tenant, paging.after, paging.fetch)
    return paging.page(rows, lambda row: row.key, answer)


@router.delete("/{key}", status_code=204)
@scope("manage")
async def delete_notification_type(key: str, caller: CallerDep, parts: PartsDep) -> None:
    """No new sends; notifications already accepted go on under the version they were accepted with."""
    async with parts.database.transaction() as session:
        retired = await notification_types.retire(session, caller.tenant, key)
        if retired is None:
            raise unknown()
        await auditing.note(session, caller, "notification_type.deleted", subject_of(key), retired.spec)
        await ticks.want(session, caller.tenant, key)
        await announce(session)
    parts.catalog.flush()


def answer(row: NotificationType) -> TypeAnswer:
    return TypeAnswer.model_validate(_fields(row))


def _fields(row: NotificationType) -> Json:
    return {**row.spec, "version": row.version, "created_at": row.created_at}


def _goal_warnings(row: NotificationType, parts: Parts) -> list[str]:
    reports = {
        channel: [parts.providers[member.name].reports_up_to for member in pool]
        for channel, pool in parts.pools.items()
    }
    return list(goal_warnings(notification_types.value_of(row), reports))


def subject_of(key: str) -> str:
    """In the audit log."""
    return f"notification_type/{key}"


def unknown() -> Exception:
    return not_found("There is no notification type with this key.")
