"""Route that explains one notification in words."""

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request, Response

from api.authenticated_route import AuthenticatedRoute, scope
from api.dependencies import CallerDep, ContainerDep
from api.notification_views import temporal_url, wait_fields
from api.problems import not_found
from api.routes.notifications import UNKNOWN
from api.schemas.base import Id
from api.schemas.explanations import Explanation, ExplanationLine
from config import Settings
from domain.clock import now
from domain.explaining.explanations import explain, summary
from domain.holds import ActivePause
from domain.names import workflow_id
from models.notification_types import NotificationTypeVersion
from services.explaining import history_of
from storage import holds, notification_types, notifications
from storage.notifications import NotificationRecord

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
        active_pauses = await holds.list_for_type(session, caller.tenant, row.notification_type)
    if notification_type is None:
        raise LookupError(f"no notification type {row.type_id}")
    explanation = build_explanation(record, notification_type, active_pauses, container.settings)
    return Response(explanation_text(explanation), media_type="text/plain") if wants_text(request) else explanation


def wants_text(request: Request) -> bool:
    """Return whether the client accepts text but not JSON. Clients that accept both get JSON."""
    accepted = {part.partition(";")[0].strip().lower() for part in request.headers.get("accept", "").split(",")}
    return "text/plain" in accepted and "application/json" not in accepted


def build_explanation(
    record: NotificationRecord,
    notification_type: NotificationTypeVersion,
    pauses: tuple[ActivePause, ...],
    settings: Settings,
) -> Explanation:
    history = history_of(record, notification_type, pauses)
    row = record.notification
    return Explanation(
        id=row.id,
        summary=summary(history),
        **wait_fields(record.waits.of_notification),
        lines=[ExplanationLine(at=line.at, text=line.text) for line in explain(history, now())],
        temporal_url=temporal_url(settings, workflow_id(row.id, row.generation)),
    )


def explanation_text(explanation: Explanation) -> str:
    """Return one line each, prefixed with its time where it has one."""
    lines = [f"{_format_time(line.at)}  {line.text}" if line.at else line.text for line in explanation.lines]
    return (
        "\n".join([explanation.summary, "", *lines, "", str(explanation.id), *filter(None, [explanation.temporal_url])])
        + "\n"
    )


def _format_time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
