"""Route for events that an application reports and no provider does: a notification was opened or clicked."""

from collections.abc import Sequence

from fastapi import APIRouter, Response

from api.authenticated_route import AuthenticatedRoute, scope
from api.dependencies import CallerDep, ContainerDep
from api.openapi import problem_responses
from api.problems import conflict, invalid, not_found
from api.routes.notifications import UNKNOWN
from api.schemas.base import Id
from api.schemas.notifications import NotificationEvent
from domain.channels import Channel
from domain.evidence import ReceiptKind, Reporter
from domain.validation_issues import issue_at
from storage import notifications, receipts
from storage.receipts import SentDelivery

router = APIRouter(route_class=AuthenticatedRoute, tags=["notifications"], prefix="/notifications")


@router.post("/{id}/events", status_code=204, responses=problem_responses(409))
@scope("send")
async def report_event(id: Id, body: NotificationEvent, caller: CallerDep, container: ContainerDep) -> Response:
    """Record that the recipient opened or clicked a notification. Idempotent; 409 if no channel has sent it."""
    async with container.database.transaction() as session:
        if await notifications.find(session, caller.tenant, id) is None:
            raise not_found(UNKNOWN)
        deliveries = await receipts.find_sent_deliveries(session, caller.tenant, [id])
        chosen = _find_delivery(deliveries, body.channel)
        await receipts.store_application_receipts(session, [chosen], ReceiptKind(body.event), Reporter.APPLICATION)
    container.wake_receipt_applier()
    return Response(status_code=204)


def _find_delivery(deliveries: Sequence[SentDelivery], channel: Channel | None) -> SentDelivery:
    """Return the latest delivery of the channel. Raise Problem if there is none, or if the channel is ambiguous."""
    channels = sorted({delivery.channel for delivery in deliveries})
    if not channels:
        raise conflict("This notification was not sent by any channel.")
    if channel is None and len(channels) > 1:
        raise invalid(issue_at("/channel", f"is required: the notification was sent by {' and '.join(channels)}"))
    if channel not in (None, *channels):
        raise conflict(f"This notification was not sent by {channel}, but by {' and '.join(channels)}.")
    of_channel = [delivery for delivery in deliveries if channel in (None, delivery.channel)]
    return max(of_channel, key=lambda delivery: (delivery.generation, delivery.step))
