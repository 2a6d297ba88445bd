"""What an application reports of a notification that no provider reports: it was opened or clicked."""

from collections.abc import Sequence

from fastapi import APIRouter, Response

from api.callers import CallerDep
from api.front_door import FrontDoor, scope
from api.openapi import answers
from api.parts import PartsDep
from api.problems import at, conflict, invalid, not_found
from api.routes.notifications import UNKNOWN
from api.schemas.base import Id
from api.schemas.notifications import NotificationEvent
from domain.channels import Channel
from domain.evidence import ReceiptKind, Reporter
from storage import app_receipts, notifications
from storage.app_receipts import SentDelivery

router = APIRouter(route_class=FrontDoor, tags=["notifications"], prefix="/notifications")


@router.post("/{id}/events", status_code=204, responses=answers(409))
@scope("send")
async def report_event(id: Id, body: NotificationEvent, caller: CallerDep, parts: PartsDep) -> Response:
    """Record that the recipient opened or clicked it, as a provider's receipt does. Idempotent; 409 if not sent."""
    async with parts.database.transaction() as session:
        if await notifications.find(session, caller.tenant, id) is None:
            raise not_found(UNKNOWN)
        deliveries = await app_receipts.sent_deliveries(session, caller.tenant, [id])
        chosen = _chosen(deliveries, body.channel)
        await app_receipts.report(session, [chosen], ReceiptKind(body.event), Reporter.APPLICATION)
    parts.on_receipts()
    return Response(status_code=204)


def _chosen(deliveries: Sequence[SentDelivery], channel: Channel | None) -> SentDelivery:
    """The latest of the channel. Raise a Problem if there is none, or if it is not clear which channel is meant."""
    channels = sorted({delivery.channel for delivery in deliveries})
    if not channels:
        raise conflict("This notification was not sent by any channel.")
    if channel is None and len(channels) > 1:
        raise invalid(at("/channel", f"is required: the notification was sent by {' and '.join(channels)}"))
    if channel not in (None, *channels):
        raise conflict(f"This notification was not sent by {channel}, but by {' and '.join(channels)}.")
    of_channel = [delivery for delivery in deliveries if channel in (None, delivery.channel)]
    return max(of_channel, key=lambda delivery: (delivery.generation, delivery.step))
