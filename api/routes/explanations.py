"""Route that explains one notification in words."""

from typing import Any

from fastapi import APIRouter, Request, Response

from api.authenticated_route import AuthenticatedRoute, scope
from api.callers import CallerDep
from api.container import ContainerDep
from api.explaining import build_explanation, explanation_text
from api.problems import not_found
from api.routes.notifications import UNKNOWN
from api.schemas.base import Id
from api.schemas.explanations import Explanation
from domain.clock import now
from storage import notification_types, notifications, pauses

router = APIRouter(route_class=AuthenticatedRoute, tags=["notifications"], prefix="/notifications")

TEXT: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}


@router.get("/{id}/explain", response_model=Explanation, responses=TEXT)
@scope("read")
async def explain_notification(
    id: Id, request: Request, caller: CallerDep, container: ContainerDep
) -> Explanation | Response:
    """Explain which channels were used and why, as JSON, or as text if only `text/plain` is accepted."""
    async with container.database.transaction() as session:
        record = await notifications.read_record(session, caller.tenant, id, now())
        if record is None:
            raise not_found(UNKNOWN)
        row = record.notification
        notification_type = await notification_types.find_by_id(session, caller.tenant, row.type_id)
        active_pauses = await pauses.list_for_type(session, caller.tenant, row.notification_type)
    if notification_type is None:
        raise LookupError(f"no notification type {row.type_id}")
    explanation = build_explanation(record, notification_type, active_pauses, container.settings)
    return Response(explanation_text(explanation), media_type="text/plain") if wants_text(request) else explanation


def wants_text(request: Request) -> bool:
    """Return whether the client accepts text but not JSON. Clients that accept both get JSON."""
    accepted = {part.partition(";")[0].strip().lower() for part in request.headers.get("accept", "").split(",")}
    return "text/plain" in accepted and "application/json" not in accepted
