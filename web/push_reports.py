"""Accept what browsers report about web push messages: `POST /t/p/{token}/{event}`. The API includes it at the root.

A browser has no API key. The signed token came to it inside the encrypted message. Each event is stored as a receipt
and applied later.
"""

from fastapi import APIRouter, Request, Response

from domain.evidence import ReceiptKind
from domain.tracking import TraceSigner, TrackedAction
from web.tracking import HEADERS, TrackingContainer, store_event

EVENTS = {"delivered": ReceiptKind.DELIVERED, "clicked": ReceiptKind.CLICKED}
# The service worker runs at the origin of the site.
REPORT_HEADERS = {**HEADERS, "Access-Control-Allow-Origin": "*"}
RETRY_HEADERS = {**REPORT_HEADERS, "Retry-After": "5"}

router = APIRouter(include_in_schema=False)


@router.post("/t/p/{token}/{event}")
async def report_push(token: str, event: str, request: Request) -> Response:
    """Record the event. 503 if it cannot be stored now: the service worker repeats it."""
    container: TrackingContainer = request.app.state.container
    message = TraceSigner(container.settings.secret).read(token, ReceiptKind.DELIVERED)
    if message is None or event not in EVENTS:
        return Response(status_code=404, headers=REPORT_HEADERS)
    reported = TrackedAction(kind=EVENTS[event], attempt_id=message.attempt_id, provider=message.provider)
    is_stored = await store_event(container, reported)
    return Response(status_code=204 if is_stored else 503, headers=REPORT_HEADERS if is_stored else RETRY_HEADERS)
