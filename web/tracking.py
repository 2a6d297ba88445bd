"""Serve the tracking pixel and the links of emails: `/t/o/{token}` and `/t/c/{token}`. The API includes both at the
root.

Requests are not authenticated. The response is an image, the signed address or 404. Each event is stored as a receipt
and applied later.
"""

import asyncio
from typing import Protocol

import structlog
from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from config import Settings
from domain.clock import now
from domain.evidence import ReceiptKind, Reporter
from domain.names import derived_id
from domain.tracking import TraceSigner, TrackedAction
from storage import receipts
from storage.connections import DATABASE_ERRORS
from storage.database import Database
from storage.receipts import StoredReceipt

# Seconds. A slow database delays the redirect of a click by at most this time.
STORE_TIMEOUT = 1.0
# One transparent pixel.
TRANSPARENT_GIF = bytes.fromhex(
    "47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b"
)
NOT_FOUND_PAGE = "<!doctype html><title>Not found</title><p>This link is invalid or has expired.</p>"
HEADERS = {"X-Robots-Tag": "noindex"}

router = APIRouter(include_in_schema=False)
log = structlog.get_logger(__name__)


class TrackingContainer(Protocol):
    @property
    def settings(self) -> Settings: ...
    @property
    def database(self) -> Database: ...
    def wake_receipt_applier(self) -> None: ...


@router.api_route("/t/o/{token}", methods=["GET", "HEAD"])
async def track_open(token: str, request: Request) -> Response:
    """Record that the email was opened and return the pixel."""
    trace = await _record_event(request, token, ReceiptKind.OPENED)
    return _not_found() if trace is None else Response(TRANSPARENT_GIF, media_type="image/gif", headers=HEADERS)


@router.api_route("/t/c/{token}", methods=["GET", "HEAD"])
async def track_click(token: str, request: Request) -> Response:
    """Record the click and redirect to the address in the token, also while the database is unavailable."""
    trace = await _record_event(request, token, ReceiptKind.CLICKED)
    return _not_found() if trace is None else RedirectResponse(trace.target, 302, headers=HEADERS)


async def _record_event(request: Request, token: str, kind: ReceiptKind) -> TrackedAction | None:
    """Return the action of a valid token, or None. A HEAD request records nothing."""
    container: TrackingContainer = request.app.state.container
    trace = TraceSigner(container.settings.secret).read(token, kind)
    if trace is not None and request.method == "GET":
        await store_event(container, trace)
    return trace


async def store_event(container: TrackingContainer, trace: TrackedAction) -> bool:
    """Store the event, and return whether that succeeded in time."""
    try:
        async with asyncio.timeout(STORE_TIMEOUT):
            await receipts.store_in_own_transaction(container.database, [receipt_of(trace)])
    except DATABASE_ERRORS as error:
        log.warning(
            "tracking event not recorded", kind=trace.kind, attempt=str(trace.attempt_id), error=type(error).__name__
        )
        return False
    container.wake_receipt_applier()
    return True


def receipt_of(trace: TrackedAction) -> StoredReceipt:
    """Build the receipt. Its id allows one of each kind per attempt, so only the first event counts."""
    return StoredReceipt(
        id=derived_id("tracking", trace.attempt_id, trace.kind),
        provider=Reporter.TRACKING,
        kind=trace.kind,
        attempt_id=trace.attempt_id,
        provider_message_id=None,
        reason=None,
        occurred_at=now(),
        raw={},
    )


def _not_found() -> HTMLResponse:
    return HTMLResponse(NOT_FOUND_PAGE, 404, headers=HEADERS)
