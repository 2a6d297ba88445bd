"""One notification in words: why each channel was or was not used, who was asked, and what is waited for."""

from typing import Any

from fastapi import APIRouter, Request, Response

from api.callers import CallerDep
from api.explaining import as_text, explanation
from api.front_door import FrontDoor, scope
from api.parts import PartsDep
from api.problems import not_found
from api.routes.notifications import UNKNOWN
from api.schemas.base import Id
from api.schemas.explanations import Explanation
from domain.clock import now
from storage import notification_types, notifications, pauses

router = APIRouter(route_class=FrontDoor, tags=["notifications"], prefix="/notifications")

TEXT: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}


@router.get("/{id}/explain", response_model=Explanation, responses=TEXT)
@scope("read")
async def explain_notification(id: Id, request: Request, caller: CallerDep, parts: PartsDep) -> Explanation | Response:
    """One readable account, as JSON or, for those who accept `text/plain` alone, as text."""
    async with parts.database.transaction() as session:
        record = await notifications.read(session, caller.tenant, id, now())
        if record is None:
            raise not_found(UNKNOWN)
        row = record.notification
        kind = await notification_types.by_id(session, caller.tenant, row.type_id)
        in_force = await pauses.for_type(session, caller.tenant, row.notification_type)
    if kind is None:
        raise LookupError(f"no notification type {row.type_id}")
    told = explanation(record, kind, in_force, parts.settings)
    return Response(as_text(told), media_type="text/plain") if wants_text(request) else told


def wants_text(request: Request) -> bool:
    """Text is named and JSON is not: whoever takes both, or anything, gets JSON."""
    accepted = {part.partition(";")[0].strip().lower() for part in request.headers.get("accept", "").split(",")}
    return "text/plain" in accepted and "application/json" not in accepted
