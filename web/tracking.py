"""Where pixel and links of our e-mails lead: `/t/o/{token}` and `/t/c/{token}`. Included by the API at the root.

Whoever opens these is a stranger: they get an image, the address that we signed, or nothing. What they did is stored as
a receipt for the applier.
"""

import asyncio
from collections.abc import Callable
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
from storage.database import Database
from storage.outages import DATABASE_ERRORS
from storage.receipts import StoredReceipt

# Seconds that somebody waits for the page they have clicked, if the database is slow.
STORE_TIMEOUT = 1.0
# One transparent dot.
TRANSPARENT_GIF = bytes.fromhex(
    "47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b"
)
NOT_FOUND_PAGE = "<!doctype html><title>Not found</title><p>This link is not valid, or not any more.</p>"
HEADERS = {"X-Robots-Tag": "noindex"}

router = APIRouter(include_in_schema=False)
log = structlog.get_logger(__name__)


class TrackingContainer(Protocol):
    @property
    def settings(self) -> Settings: ...
    @property
    def database(self) -> Database: ...
    @property
    def on_receipts(self) -> Callable[[], None]: ...


@router.api_route("/t/o/{token}", methods=["GET", "HEAD"])
async def track_open(token: str, request: Request) -> Response:
    trace = await _record_event(request, token, ReceiptKind.OPENED)
    return _not_found() if trace is None else Response(TRANSPARENT_GIF, media_type="image/gif", headers=HEADERS)


@router.api_route("/t/c/{token}", methods=["GET", "HEAD"])
async def track_click(token: str, request: Request) -> Response:
    """To the address that the token holds, also while the database is away."""
    trace = await _record_event(request, token, ReceiptKind.CLICKED)
    return _not_found() if trace is None else RedirectResponse(trace.target, 302, headers=HEADERS)


async def _record_event(request: Request, token: str, kind: ReceiptKind) -> TrackedAction | None:
    """None for a token that is not ours. A HEAD asks whether there is something, and does nothing."""
    container: TrackingContainer = request.app.state.container
    trace = TraceSigner(container.settings.secret).read(token, kind)
    if trace is not None and request.method == "GET":
        await _store(container, trace)
    return trace


async def _store(container: TrackingContainer, trace: TrackedAction) -> None:
    try:
        async with asyncio.timeout(STORE_TIMEOUT):
            await receipts.store_in_own_transaction(container.database, [receipt_of(trace)])
    except DATABASE_ERRORS as error:
        log.warning("not recorded", kind=trace.kind, attempt=str(trace.attempt_id), error=type(error).__name__)
    else:
        container.on_receipts()


def receipt_of(trace: TrackedAction) -> StoredReceipt:
    """One of each kind per attempt, however often it happens: the first time counts."""
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
